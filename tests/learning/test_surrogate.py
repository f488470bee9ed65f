"""A stand-in taught by decisions: what is asked, how often, and that nothing else of the target is seen."""

import dataclasses

import pytest
import torch

import holdfast as hf
from holdfast.core.errors import ModelError, ParameterError
from holdfast.learning.learner import Learner
from holdfast.learning.surrogate import Surrogate
from laws.oracles import linear


@dataclasses.dataclass(frozen=True, kw_only=True)
class Given(Learner):
    """Learns nothing: the plane it was given."""

    w: tuple[float, ...] = (1.0, -2.0, 0.0)

    def fit(self, dataset, seed=0, on_event=None):
        w = torch.tensor([self.w], dtype=torch.float64)
        return linear(torch.cat([-w, w]), torch.zeros(2, dtype=torch.float64))


class Oracle:
    """Says 1 where the sum is above 1.5, and remembers what it was asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, x):
        self.asked.append(torch.as_tensor(x))
        return (self.asked[-1].sum(1) > 1.5).long()

    def model(self):
        return hf.wrap(self, bounds=(0, 1), output="labels", classes=2)


def inputs(n=10):
    x = 0.05 + 0.9 * torch.rand(n, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return hf.Dataset(x, torch.zeros(n, dtype=torch.long), classes=("low", "high"))


def test_new_points_lie_a_step_of_the_gradients_signs_away_and_in_the_box():
    oracle, data = Oracle(), inputs()
    taught = Surrogate(of=Given(), rounds=1, step=0.1).fit(oracle.model(), data)
    old, new = taught.lessons.x[:10], taught.lessons.x[10:]
    assert torch.equal(old, data.x)
    toward = torch.where((old.sum(1) > 1.5)[:, None], 1.0, -1.0)  # class 1 gains along w, class 0 against it
    assert torch.allclose(new, (old + 0.1 * toward * torch.tensor([1.0, -1.0, 0.0])).clamp(0, 1))
    assert torch.equal(taught.lessons.y, (taught.lessons.x.sum(1) > 1.5).long())
    assert taught.queries == 20


@pytest.mark.parametrize(
    ("rounds", "queries", "asked"), [(0, None, 10), (2, None, 40), (2, 25, 25), (3, 7, 7), (1, 10, 10)]
)
def test_as_many_questions_as_said(rounds, queries, asked):
    oracle = Oracle()
    model = oracle.model()
    hf.run(hf.attacks.Noise(samples=1), model, inputs().x, inputs().y, "linf:0.1")  # settles what wrapping asks
    oracle.asked.clear()
    taught = Surrogate(of=Given(), rounds=rounds, queries=queries).fit(model, inputs(), seed=3)
    assert taught.queries == len(taught.lessons) == asked
    again = Surrogate(of=Given(), rounds=rounds, queries=queries).fit(model, inputs(), seed=3)
    assert torch.equal(again.lessons.x, taught.lessons.x)


def test_on_digits_a_stand_in_that_asks_knows_the_target_better_than_one_that_does_not():
    digits = hf.data.load("digits")
    target = hf.Train(network="mlp", width=32, epochs=10).fit(digits.train, seed=1).seen_as("labels")
    few = digits.train.take(torch.arange(80))
    of = hf.Train(network="mlp", width=32, epochs=20)
    agree = []
    for rounds in (0, 3):
        taught = Surrogate(of=of, rounds=rounds).fit(target, few)
        agree.append(float((taught.model.predict(digits.test.x) == target.predict(digits.test.x)).double().mean()))
    assert agree[1] > agree[0] + 0.02


def test_what_cannot_be_taught():
    data = inputs()
    with pytest.raises(ModelError, match="HF240"):
        Surrogate(of=Given()).fit(torch.nn.Linear(3, 2), data)
    from sklearn.tree import DecisionTreeClassifier

    forest = Surrogate(of=hf.Fit(estimator=DecisionTreeClassifier()), rounds=1)
    with pytest.raises(ModelError, match="HF241"):
        forest.fit(Oracle().model(), data)
    assert dataclasses.replace(forest, rounds=0).fit(Oracle().model(), data).queries == 10
    with pytest.raises(ParameterError, match="HF001"):
        Surrogate(of=Given(), step=0.0)
