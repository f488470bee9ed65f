import gc

import pytest
import torch

from holdfast.api import audit, open_run
from holdfast.attacks.evasion.pgd import Pgd
from holdfast.core.errors import ModelError
from holdfast.core.progress import StageDone
from holdfast.data.dataset import Dataset
from holdfast.models.wrap import wrap


@pytest.fixture(scope="module")
def linear():
    """Two classes of 4x4 images that their mean tells apart, and samples at known distances from the cut."""
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 2))
    with torch.no_grad():
        net[1].weight[:] = torch.stack([-torch.ones(16), torch.ones(16)]) / 16
        net[1].bias[:] = torch.tensor([0.5, -0.5])
    offsets = torch.tensor([-0.3, -0.2, -0.1, -0.05, 0.05, 0.1, 0.2, 0.3])
    x = (0.5 + offsets)[:, None, None, None].expand(-1, 1, 4, 4).contiguous()
    return wrap(net, bounds=(0, 1), name="mean"), x, (offsets > 0).long()


def test_audit_of_a_pair_in_a_temporary_folder(linear, tmp_path):
    model, x, y = linear
    events = []
    run = audit(model, (x, y), threat="linf:0.15", suite=[Pgd()], on_event=events.append)
    assert (run.clean_accuracy.k, run.empirical_robust_accuracy.k, run.empirical_robust_accuracy.n) == (8, 4, 8)
    assert run.by_threat["linf:0.15"].attacks[0].broken == 4
    assert any(isinstance(event, StageDone) for event in events)
    page = run.report(tmp_path / "a.html").read_text()
    assert "4/8" in page
    assert page.count('<article class="card') == len(run.folder.examples)
    path = run.path
    del run
    gc.collect()
    assert not path.exists()


def test_a_folder_stays_and_opens_again(linear, tmp_path):
    model, x, y = linear
    run = audit(model, Dataset(x, y, name="toy"), threat="linf:0.15", suite=[Pgd()], out=tmp_path / "run")
    assert open_run(tmp_path / "run") == run
    del run
    gc.collect()
    assert (tmp_path / "run" / "summary.json").exists()


def test_an_unwrapped_model_is_refused_and_nothing_is_left(linear, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(ModelError, match="HF240"):
        audit(torch.nn.Linear(2, 2), (linear[1], linear[2]), threat="linf:0.1")
    with pytest.raises(ValueError, match="HF301"):
        audit(linear[0], (linear[1], linear[2]), threat="l7:0.1")
    assert list(tmp_path.iterdir()) == []
