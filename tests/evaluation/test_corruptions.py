"""Accuracies under the common corruptions: counts, means, intervals, the page and the command."""

import json

import pytest
import torch

import holdfast as hf
from holdfast.cli.main import main
from holdfast.core.errors import DataError, ModelError, ParameterError
from holdfast.core.progress import RunDone
from holdfast.data.corruptions.corrupt import corrupt
from holdfast.evaluation.corruptions import Corruptions
from holdfast.evaluation.document import schema, to_json
from holdfast.report.corruptions import FORMS, render


def samples(n=30, **more):
    draw = torch.Generator().manual_seed(0)
    x = torch.rand(n, 1, 12, 12, generator=draw)
    x[::2] *= 0.6
    return hf.Dataset(x, (x.mean((1, 2, 3)) > 0.4).long(), name="light", **more)


def model():
    """Light or dark: right on every sample as it is."""
    return hf.wrap(lambda x: x.mean((1, 2, 3)) > 0.4, bounds=(0, 1), classes=2, output="labels")


def test_every_cell_is_the_count_of_right_answers():
    data, events = samples(), []
    found = hf.corruptions(model(), data, names=["brightness", "shot_noise"], severities=[1, 5], on_event=events.append)
    assert found.clean.k == found.clean.n == 30
    for name in ("brightness", "shot_noise"):
        cells = {c.severity: c.accuracy for c in found.cells if c.corruption == name}
        for severity in (1, 5):
            x = corrupt(data, name, severity).x
            assert cells[severity].k == int(((x.mean((1, 2, 3)) > 0.4).long() == data.y).sum())
        assert (cells[0].k, cells[0].n) == (cells[1].k + cells[5].k, 60)
        assert cells[0].method == "cluster bootstrap"
        assert cells[0].groups == 30
    assert found.mean.k == sum(c.accuracy.k for c in found.cells if c.severity == 0)
    assert found.mean.n == 120
    assert cells[1].k > 0
    assert {c.corruption: c.accuracy.k for c in found.cells if c.severity == 5}["brightness"] < 30
    assert isinstance(events[-1], RunDone)
    assert "worst is brightness" in str(found)


def test_whole_groups_are_drawn_where_samples_come_in_groups():
    groups = torch.arange(30) // 6
    found = hf.corruptions(model(), samples(groups=groups), names=["brightness"], severities=[3])
    assert found.mean.groups == found.clean.groups == 5


def test_the_same_question_has_the_same_answer():
    one, other = (hf.corruptions(model(), samples(), severities=[2], batch=b) for b in (7, 256))
    assert one == other
    assert {c.corruption for c in one.cells} == {c.corruption for c in other.cells}
    assert len({c.corruption for c in one.cells}) == 15


@pytest.mark.parametrize(("names", "severities"), [(["fogg"], [1]), (["fog"], [0]), (["fog"], [])])
def test_unknown_ones_are_refused_before_any_pass(names, severities):
    with pytest.raises(ParameterError, match="HF001"):
        hf.corruptions(model(), samples(), names=names, severities=severities)


def test_what_cannot_be_asked():
    with pytest.raises(DataError, match="HF120"):
        hf.corruptions(model(), samples().take(torch.arange(0)))
    with pytest.raises(ModelError, match="HF240"):
        hf.corruptions(torch.nn.Flatten(), samples())


def test_the_document_and_every_form_of_the_page():
    jsonschema = pytest.importorskip("jsonschema")
    found = hf.corruptions(model(), samples(), names=["frost", "fog"], severities=[1])
    jsonschema.validate(json.loads(to_json(found)), schema(Corruptions))
    for form in FORMS:
        page = render(found, form)
        assert "frost (own texture)" in page or form == ".json"
        assert "fog" in page


def test_the_command(tmp_path, capsys):
    words = ["corrupt", "digits-mlp", "digits", "--limit", "40", "--only", "contrast", "--severity", "5", "-o"]
    assert main([*words, str(tmp_path / "page.html")]) == 0
    shown = capsys.readouterr().out
    assert "Common corruptions" in shown
    assert "contrast" in shown
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")
    assert main([*words[:-1], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["severities"] == [5]
    assert main(["corrupt", "digits-mlp", "breast_cancer"]) == 3
    assert main(["corrupt", "digits-mlp", "digits", "--only", "rain", "-q"]) == 2
    assert "HF001" in capsys.readouterr().err


def test_ctrl_c_says_that_nothing_is_kept(capsys, monkeypatch):
    def interrupted(*asked, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("holdfast.evaluation.corruptions.corrupt", interrupted)
    assert main(["corrupt", "digits-mlp", "digits", "--limit", "10"]) == 130
    assert "Interrupted. Nothing is kept; --only NAME" in capsys.readouterr().err
