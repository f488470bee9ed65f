"""Alarms of a training: catastrophic and robust overfitting, told once, with both numbers."""

import dataclasses
import math

import pytest
import torch

import holdfast as hf
from cases.training import PLAIN, hints
from holdfast.core.errors import Stop
from holdfast.core.progress import BatchDone, Note
from holdfast.defenses.training._recipe import Withstands
from holdfast.defenses.training.adversarial_training import AdversarialTraining
from holdfast.defenses.training.fast_adversarial_training import FastAdversarialTraining, _Collapse
from holdfast.learning.judging import Judged, Overfitting, fell
from holdfast.learning.train import Train
from holdfast.models.source import source_of

QUICK = dataclasses.replace(PLAIN, epochs=8)


def judged(*shares, n=200):
    return [Judged(score, n, easy) for score, easy in shares]


GOOD = [(0.3, 0.4), (0.5, 0.6)]


def test_a_collapse_is_told_once_with_its_numbers():
    alarm = _Collapse(stop=True)
    epochs = judged(*GOOD, (0.02, 0.8), (0.0, 0.85))
    alert = alarm(epochs[:3])
    assert alert.stop
    assert alert.code == "HF261"
    assert (
        alert.text == "catastrophic overfitting in epoch 3: 2.0% withstand PGD after 50.0% in epoch 2, 80.0% a single "
        "step (n = 200); epoch 2 was taken"
    )
    assert alarm(epochs) is None  # told already
    assert "taken" not in _Collapse(stop=False)(epochs[:3]).text


@pytest.mark.parametrize(
    "last",
    [(0.45, 0.6), (0.26, 0.6), (0.05, 0.1), (0.55, 0.9)],
    ids=["noise", "a fall that is no collapse", "everything falls", "a rise"],
)
def test_what_is_no_collapse_is_not_told(last):
    assert _Collapse(stop=True)(judged(*GOOD, last)) is None


def test_a_fall_within_the_noise_of_few_samples_is_no_collapse():
    assert _Collapse(stop=True)(judged((0.2, 0.3), (0.05, 0.3), n=20)) is None
    assert _Collapse(stop=True)(judged((0.2, 0.3), (0.05, 0.3), n=2000)) is not None


def test_overfitting_is_told_after_several_epochs_below_the_best():
    alarm = Overfitting(epochs=2)
    low = [Judged(s, 400) for s in (0.3, 0.5, 0.45, 0.35, 0.36, 0.34)]
    assert [alarm(low[: k + 1]) is not None for k in range(6)] == [False, False, False, False, True, False]
    assert alarm(low[:5]).text == (
        "overfitting: 2 epochs in a row hold fewer validation samples than epoch 2, 36.0% after 50.0% (n = 400)"
    )
    assert not alarm(low[:5]).stop
    assert alarm([Judged(s, 20) for s in (0.3, 0.5, 0.45, 0.35, 0.36, 0.34)]) is None


def test_a_fall_is_measured_in_binomial_errors():
    for n in (50, 500):
        edge = 0.5 - 2 * math.sqrt(2 * 0.25 / n)
        assert not fell(Judged(0.5, n), Judged(edge + 0.02, n), 2.0)
        assert fell(Judged(0.5, n), Judged(edge - 0.02, n), 2.0)


@dataclasses.dataclass
class Told:
    """A judge whose judgments are given, and the models it saw."""

    shares: list
    seen: list = dataclasses.field(compare=False)

    def __call__(self, model, validation):
        self.seen.append({k: v.clone() for k, v in source_of(model).ask.net.state_dict().items()})
        return Judged(*self.shares[len(self.seen) - 1])

    def __repr__(self):
        return "told"


COLLAPSE = [(0.3, 100, 0.4), (0.5, 100, 0.6), (0.0, 100, 0.9), (0.7, 100, 0.9), *[(0.1, 100, 0.2)] * 8]


def fast(monkeypatch, judge, **more):
    recipe = FastAdversarialTraining(of=QUICK, threat=hf.Linf(0.1), **more)
    made = FastAdversarialTraining.training

    def training(self, dataset, seed):
        return dataclasses.replace(made(self, dataset, seed), judge=judge)

    monkeypatch.setattr(FastAdversarialTraining, "training", training)
    return recipe


def is_same(model, weights):
    return all(torch.equal(v, weights[k]) for k, v in source_of(model).ask.net.state_dict().items())


def test_at_a_collapse_the_training_stops_and_the_epoch_before_is_kept(monkeypatch, tmp_path):
    judge, notes = Told(COLLAPSE, []), []
    path = str(tmp_path / "state.pt")
    recipe = fast(monkeypatch, judge)
    recipe = dataclasses.replace(recipe, of=dataclasses.replace(QUICK, checkpoint=path))
    model = recipe.fit(hints(), 0, notes.append)
    assert len(judge.seen) == 3
    assert is_same(model, judge.seen[1])
    assert not is_same(model, judge.seen[2])
    assert [e.code for e in notes if isinstance(e, Note)] == ["HF261"]
    again = recipe.fit(hints(), 0)  # the checkpoint remembers that it ended
    assert len(judge.seen) == 3
    assert is_same(again, judge.seen[1])


def test_the_other_policies(monkeypatch):
    judge, notes = Told(COLLAPSE, []), []
    model = fast(monkeypatch, judge, collapse="tell").fit(hints(), 0, notes.append)
    assert len(judge.seen) == 8
    assert is_same(model, judge.seen[3])
    assert [e.code for e in notes if isinstance(e, Note)] == ["HF261", "HF262"]
    monkeypatch.undo()
    made = FastAdversarialTraining(of=QUICK, collapse="ignore").training(hints(), 0)
    assert made.patience == 0
    assert len(made.alarms) == 1


def test_an_interruption_between_two_epochs_loses_no_judgment(tmp_path):
    """The alarm reads epochs from before the interruption."""
    shares = [(0.5, 400), *[(0.2, 400)] * 7]
    judge, notes = Told(shares, []), []
    how = Train(**{f.name: getattr(QUICK, f.name) for f in dataclasses.fields(Train)})
    how = dataclasses.replace(how, patience=8, judge=judge, alarms=(Overfitting(),), checkpoint=str(tmp_path / "s.pt"))

    def stop(event):
        if isinstance(event, BatchDone) and event.done == 3:
            raise Stop

    with pytest.raises(Stop):
        how.fit(hints(), 0, stop)
    how.fit(hints(), 0, notes.append)
    texts = [e.text for e in notes if isinstance(e, Note)]
    assert len(texts) == 1
    assert "3 epochs in a row" in texts[0]


def test_the_judge_asks_both_attacks():
    data = hints(120, seed=9)
    model = PLAIN.fit(hints(), 0)
    judge = Withstands(threat=hf.Linf(0.05), steps=5, samples=80, seed=0, easy=True)
    part = data.sample(80, 0)
    found = judge(model, data)
    fgsm = hf.attacks.Pgd(steps=1, step=1.0, random_start=False)
    out = hf.run(fgsm, model, part.x, part.y, hf.Linf(0.05), seed=0)
    assert found.easy == out.status.count("unbroken") / 80
    pgd = hf.run(hf.attacks.Pgd(steps=5, step=0.25), model, part.x, part.y, hf.Linf(0.05), seed=0)
    assert found.score == pgd.status.count("unbroken") / 80 != found.easy
    assert math.isnan(dataclasses.replace(judge, easy=False)(model, data).easy)


def test_robust_overfitting_is_watched_by_every_recipe():
    assert AdversarialTraining().training(hints(), 0).alarms == (Overfitting(),)
