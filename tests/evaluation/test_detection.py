"""Areas and intervals beside other computations of them; a judgment whose every figure is known in closed form."""

import dataclasses
import math
import pathlib
import runpy

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

import holdfast as hf
from holdfast.attacks.evasion.pgd import Pgd
from holdfast.attacks.evasion.square import Square
from holdfast.core.errors import DataError, ParameterError, ThreatError
from holdfast.data.dataset import Dataset
from holdfast.defenses.fitting import Flag
from holdfast.defenses.preprocessing.bit_depth import BitDepth
from holdfast.evaluation.detection import Detection, Unseen, detection
from holdfast.evaluation.metrics.detection import Auroc, at_rate, auroc, caught
from holdfast.evaluation.statistics import rate
from holdfast.models.stage import Stage
from laws.oracles import torch_model


def scores(n, shift, seed, digits=9):
    draw = torch.Generator().manual_seed(seed)
    return ((torch.randn(n, generator=draw, dtype=torch.float64) + shift) * 10**digits).round() / 10**digits


@pytest.mark.parametrize("digits", [0, 9], ids=["ties", "no ties"])
def test_the_area_is_that_of_scikit_learn_and_its_error_that_of_delong(digits):
    a, c = scores(40, 1.0, 1, digits), scores(70, 0.0, 2, digits)
    found = auroc(a, c)
    assert found.point == pytest.approx(roc_auc_score([1] * 40 + [0] * 70, torch.cat([a, c]).numpy()))
    wins = (a[:, None] > c).double() + 0.5 * (a[:, None] == c).double()
    error = math.sqrt(float(wins.mean(1).var()) / 40 + float(wins.mean(0).var()) / 70)
    reach = 1.959964 * error / (found.point * (1 - found.point))
    middle = math.log(found.point / (1 - found.point))
    assert found.low == pytest.approx(1 / (1 + math.exp(reach - middle)), rel=1e-6)
    assert found.high == pytest.approx(1 / (1 + math.exp(-reach - middle)), rel=1e-6)
    assert str(found).startswith(f"{found.point:.3f} [")


@pytest.mark.parametrize("alike", [0.0, 0.9], ids=["strangers", "made of the clean ones"])
def test_intervals_cover_as_often_as_they_say(alike):
    """Normal scores with a known area; attacked ones share most of their noise with the sample they come from."""
    truth, draw, hits, width = norm.cdf(1 / math.sqrt(2)), np.random.default_rng(0), 0, 0.0
    for _ in range(300):
        clean = draw.standard_normal(60)
        attacked = 1 + alike * clean + math.sqrt(1 - alike**2) * draw.standard_normal(60)
        found = auroc(torch.from_numpy(attacked), torch.from_numpy(clean), range(60) if alike else None)
        hits += found.low <= truth <= found.high
        width += found.high - found.low
    assert 0.91 <= hits / 300 <= 0.985
    assert width / 300 < (0.12 if alike else 0.2), "pairs that are alike tell more"


def test_a_perfect_score_has_an_exact_bound():
    found = auroc(torch.ones(20), torch.zeros(50))
    assert (found.point, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(0.025 ** (1 / 20))
    chance = auroc(torch.zeros(20), torch.zeros(50))
    assert chance.point == 0.5
    assert chance.low < 0.3 < 0.7 < chance.high


def test_thresholds_and_shares():
    clean = torch.arange(100).double()
    assert at_rate(clean, 0.05) == 94
    assert int((clean > at_rate(clean, 0.05)).sum()) == 5
    rate = caught(torch.tensor([90.0, 95.0, 99.0]), 94.0, [-1, -1, -1])
    assert (rate.k, rate.n) == (2, 3)
    for attacked, clean, level in (
        (torch.zeros(0), torch.ones(3), 0.95),
        (torch.tensor([torch.nan]), torch.ones(3), 0.95),
        (torch.ones(2), torch.ones(3), 1.0),
    ):
        with pytest.raises(ParameterError, match="HF001"):
            auroc(attacked, clean, level=level)


def setting():
    """One number; class 1 above 0.5; values above 0.61 are rejected."""
    model = torch_model(lambda x: 20 * torch.cat([0.5 - x, x - 0.5], 1), 2)
    stage = Flag(threshold=0.61, of="high", score=lambda x: x[:, 0], unit=0.05)
    x = torch.tensor([[0.05], [0.2], [0.35], [0.4], [0.45], [0.55], [0.58], [0.7]], dtype=torch.float64)
    return model, stage, Dataset(x, [0, 0, 0, 0, 0, 1, 0, 1])


def test_every_figure_of_a_judgment_is_the_one_in_closed_form():
    """Oblivious attacks reach 0.55 to 0.65 from 0.35 to 0.45; the joint one needs a place in (0.5, 0.61]."""
    model, stage, data = setting()
    attacks = (Pgd(steps=40, step=0.05), Square(steps=50))
    shifted = Dataset(data.x + 0.2, data.y)
    found = detection(
        model, stage, data, "linf:0.2", unseen=attacks[:1], joint=attacks, harmless={"brighter": shifted}, rates=(0.2,)
    )
    assert (found.clean.k, found.clean.n) == (7, 8)  # 0.58 is wrong
    assert found.accepted.k == 6  # 0.7 is rejected
    assert found.rejected["clean"].k == 1
    assert found.rejected["brighter"].k == 4  # 0.65, 0.75, 0.78, 0.9; 0.6 is not
    only = found.unseen[0]
    assert (only.broken.k, only.broken.n) == (5, 7)  # 0.35, 0.4, 0.45 upward; 0.55 and 0.7 - 0.2 = 0.5 downward
    assert found.undefended.k == 2
    assert only.rejected.k == 1  # 0.65; 0.6 is below the threshold
    ends = [0.55, 0.6, 0.65, 0.35, 0.5]
    wins = [sum((e > c) + (e == c) / 2 for c in data.x[:, 0].tolist()) / 8 for e in ends]
    assert only.area.point == pytest.approx(sum(wins) / 5, abs=0.03)
    # joint: 0.35 .. 0.45 reach (0.5, 0.61], 0.55 goes below, 0.7 reaches 0.5, a tie for class 0; 0.58 is wrong
    assert found.fooled.k == 6
    assert found.joint.k == 2  # 0.05 and 0.2
    assert "joint attack" in str(found)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Turned(Stage):
    """Rejects what is high, and turns the rest around, so that the model behind is wrong."""

    def apply(self, x, space):
        return 1 - x

    def suspicion(self, x, space):
        return 20 * (x[:, 0] - 0.61)


def test_accepted_answers_are_those_of_the_model_behind_the_stage():
    model, _, data = setting()
    found = detection(model, Turned(), data, "linf:0.01", unseen=(Pgd(steps=2),), joint=(Pgd(steps=2),), harmless={})
    assert found.clean.k == 7
    assert found.accepted.k == 1, "0.58, which the model alone gets wrong"
    assert found.joint.k == 1
    assert found.fooled.k == 6
    assert found.rejected["clean"].k == 1


def test_without_success_there_is_no_area_and_without_a_detector_no_judgment():
    model, stage, data = setting()
    part = data.take([0, 1])
    found = hf.detection(model, stage, part, "linf:0.1", unseen=(Pgd(steps=5),), joint=(Pgd(steps=5),))
    assert found.unseen[0].area is None
    assert found.unseen[0].rejected is None
    assert found.joint.k == 2
    assert list(found.rejected) == ["clean"]
    with pytest.raises(ThreatError, match="HF306"):
        hf.detection(model, BitDepth(), part, "linf:0.1")
    with pytest.raises(DataError, match="HF120"):
        hf.detection(model, stage, part.take([]), "linf:0.1")


def test_the_table_of_all_detectors_has_areas_beside_joint_robust_accuracy_and_rejects():
    """A detector of `benchmarks/detectors.py` whose every figure is another one."""
    shares = [rate(k, 200, "samples") for k in range(1, 12)]
    areas = [Auroc(point=p, low=0.1, high=0.9, attacked=5, clean=5) for p in (0.5, 0.625, 0.75)]
    unseen = tuple(
        Unseen(
            attack="a", broken=shares[0], area=area, rejected=None, at=dict(zip((0.01, 0.05), shares[k:], strict=False))
        )
        for k, area in enumerate(areas, 1)
    )
    found = Detection(
        detector="d",
        threat="linf:1/5",
        clean=shares[0],
        accepted=shares[0],
        rejected={"clean": shares[5], "noise": shares[6]},
        undefended=shares[0],
        unseen=(*unseen[:2], dataclasses.replace(unseen[2], area=None, at={})),
        joint=shares[7],
        fooled=shares[8],
    )
    study = runpy.run_path(str(pathlib.Path(__file__).parents[2] / "benchmarks" / "detectors.py"))
    head, _, line = (row.strip("| ").split(" | ") for row in study["table"]({"d": found}).splitlines())
    told = {name: value.split(" ")[0] for name, value in zip(head, line, strict=True)}
    assert told == {
        "detector": "d",
        "area, PGD": "0.500",
        "area, APGD": "0.625",
        "area, Square": "-",
        "caught at 1 %": "1.0",
        "caught at 5 %": "1.5",
        "rejects clean": "3.0",
        "noise": "3.5",
        "joint: right and accepted": "4.0",
        "wrong and accepted": "4.5",
    }
