"""A curriculum of attacks: when it grows, what a batch holds, what is told."""

import dataclasses

import pytest
import torch
from torch import nn

import holdfast as hf
from cases.training import PLAIN, hints
from holdfast.core.progress import Note
from holdfast.data.dataset import Dataset
from holdfast.defenses.training._worst import Worst
from holdfast.defenses.training.curriculum_adversarial_training import (
    CurriculumAdversarialTraining,
    _Examined,
    _Lesson,
    _Plan,
    _Tells,
)
from holdfast.learning.judging import Judged
from holdfast.threats.space import Box

PLAN = _Plan(most=3, level=0.8, stay=2)


def judged(*shares):
    return [Judged(0.0, 50, share) for share in shares]


@pytest.mark.parametrize(
    ("shares", "strengths"),
    [
        ([0.9, 0.85, 0.8, 0.95, 0.9], [0, 1, 2, 3, 3, 3]),  # at the level each time; never beyond the highest
        ([0.5, 0.6, 0.7, 0.75], [0, 0, 0, 0, 0]),  # it still rises
        ([0.5, 0.5, 0.4, 0.3, 0.2, 0.2, 0.2], [0, 0, 0, 1, 1, 1, 2, 2]),  # two epochs without a rise, each time anew
        ([0.7, 0.6, 0.75, 0.6, 0.7], [0, 0, 0, 0, 0, 1]),  # a rise starts the wait again
    ],
)
def test_the_strength_grows_at_the_level_or_after_a_wait(shares, strengths):
    assert [PLAN.strength(judged(*shares[:k])) for k in range(len(shares) + 1)] == strengths


def lesson(mixing=True):
    worst = Worst(threat=hf.Linf(0.1), space=Box(), steps=3, step=0.5)
    return _Lesson(worst=worst, mixing=mixing, plan=PLAN)


def test_a_batch_holds_all_strengths_up_to_the_present_one():
    torch.manual_seed(2)
    net = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
    draw = torch.Generator().manual_seed(1)
    x, y = torch.rand(11, 6, generator=draw), torch.arange(11) % 3
    now = lesson().after(judged(0.9, 0.9))
    assert now.strength == 2
    found = now(net, x, y, torch.Generator().manual_seed(4))
    other = torch.Generator().manual_seed(4)
    assert torch.equal(found[:4], x[:4])  # 11 = 4 + 4 + 3
    for steps, rows in ((1, slice(4, 8)), (2, slice(8, 11))):
        worst = Worst(threat=hf.Linf(0.1), space=Box(), steps=steps, step=0.5)
        assert torch.equal(found[rows], worst(net, x[rows], y[rows], other))
    assert not torch.equal(found[4:8], x[4:8])
    alone = lesson(mixing=False).after(judged(0.9, 0.9))(net, x, y, torch.Generator().manual_seed(4))
    worst = Worst(threat=hf.Linf(0.1), space=Box(), steps=2, step=0.5)
    assert torch.equal(alone, worst(net, x, y, torch.Generator().manual_seed(4)))
    assert torch.equal(lesson()(net, x, y, torch.Generator()), x)  # the first lesson is clean
    assert len(lesson().after(judged(0.9, 0.9))(net, x[:1], y[:1], torch.Generator())) == 1


def test_what_an_epoch_learned_from_is_what_it_is_examined_on():
    recipe = CurriculumAdversarialTraining(of=PLAIN, threat=hf.Linf(0.1), steps=3, level=0.8, stay=2)
    made = recipe.training(hints(), 0)
    assert (made.patience, made.perturb.strength, made.judge.strength) == (PLAIN.epochs, 0, 0)
    for shares in ([], [0.9], [0.9, 0.9]):
        assert made.perturb.after(judged(*shares)).strength == made.judge.after(judged(*shares)).strength == len(shares)


def test_the_examination_asks_the_same_samples_at_both_strengths():
    data = hints(80)
    model = dataclasses.replace(PLAIN, epochs=4).fit(data)
    made = CurriculumAdversarialTraining(
        of=PLAIN, threat=hf.Linf(0.1), validation_samples=40, validation_steps=5
    ).training(data, 1)
    found = made.judge(model, data)
    part = data.sample(40, 1)
    assert found.easy == float((model.predict(part.x) == part.y).double().mean())
    assert found == dataclasses.replace(made.judge.full(model, data), easy=found.easy)
    harder = dataclasses.replace(made.judge, strength=3)(model, data)
    assert found.score == harder.score < harder.easy + 1e-9 < found.easy
    assert isinstance(made.judge, _Examined)


def test_the_training_grows_and_says_so():
    notes = []
    of = dataclasses.replace(PLAIN, epochs=5)
    recipe = CurriculumAdversarialTraining(
        of=of, threat=hf.Linf(0.1), steps=2, step=0.6, level=0.01, validation_steps=2, validation_samples=20
    )
    recipe.fit(hints(), 0, lambda event: notes.append(event.text) if isinstance(event, Note) else None)
    assert [text[:8] for text in notes[:2]] == ["epoch 1:", "epoch 2:"]
    assert "at 0 of 2 steps (n = 10), on with 1" in notes[0]
    assert not any("below its full strength" in text for text in notes)
    stuck = dataclasses.replace(recipe, level=1.0, stay=9, threat=hf.Linf(0.4))
    stuck.fit(hints(), 0, lambda event: notes.append(event.text) if isinstance(event, Note) else None)
    assert "ended below its full strength" in notes[-1]


def test_what_is_told_never_ends_the_training():
    tells = _Tells(plan=PLAN, last=3)
    assert tells(judged(0.5)) is None
    assert tells(judged(0.5, 0.9)).text == "epoch 2: 90.0% hold at 0 of 3 steps (n = 50), on with 1"
    last = tells(judged(0.5, 0.9, 0.2))
    assert last.text.endswith("20.0% hold at 1 of 3 steps (n = 50); train for more epochs")
    assert not last.stop


def test_a_checkpoint_knows_the_plan():
    data = Dataset(hints(20).x, hints(20).y)
    own = CurriculumAdversarialTraining()
    others = [{"steps": 8}, {"step": 0.3}, {"level": 0.8}, {"stay": 4}, {"mixing": False}, {"threat": hf.Linf(0.2)}]
    kinds = [own, *(dataclasses.replace(own, **one) for one in others)]
    assert len({one.training(data, 0)._identity(data, 0) for one in kinds}) == len(kinds)
