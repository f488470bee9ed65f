"""Trainings inside a comparison of defenses that were interrupted: they go on where they were, to the same bits."""

import dataclasses

import pytest
import torch

import holdfast as hf
from holdfast.core.errors import Stop
from holdfast.core.progress import BatchDone
from holdfast.data import load
from holdfast.evaluation.defending import work
from holdfast.evaluation.defending.place import Place
from holdfast.evaluation.defending.protocol import Base, Protocol
from holdfast.evaluation.interrupt import Interrupt
from holdfast.learning.checkpoints import kept
from holdfast.learning.train import Train
from holdfast.models.settle import fingerprint

BASE = Base(network="mlp", width=8, depth=1, epochs=3, samples=120)
EPOCHS = 6  # of the two trainings inside each of these, together
TWICE = ["bagging(members=2)", "defensive_distillation", "voting(members=2)"]


def trained(folder, defense, stop=0):
    """What training a defense in a folder gives, and the epochs that took; stopped after some of them."""
    asked = Protocol(data="digits", threat="linf:1/10", defenses=(defense,), base=BASE, samples=10, held_out=20)
    heard = []

    def listen(event):
        if isinstance(event, BatchDone):
            heard.append(event)
            if len(heard) == stop:
                raise Stop

    with Interrupt(listen) as interrupt:
        at = work.Work(asked, folder, work.divided(asked, load("digits")), interrupt)
        (chain,) = asked.chains()
        try:
            return work._trained(at, at.place("it"), chain, work._Renamed(at, "it")), len(heard)
        except Stop:
            return None, len(heard)


@pytest.mark.parametrize("defense", TWICE)
def test_an_interrupted_training_goes_on_and_a_finished_one_is_kept(defense, tmp_path):
    (whole, _, notes), epochs = trained(tmp_path / "whole", defense)
    assert (epochs, notes) == (EPOCHS, ())
    folder, place = tmp_path / "parts", Place(tmp_path / "parts" / "it")
    assert trained(folder, defense, stop=4) == (None, 4)
    assert len(list(place.checkpoints.iterdir())) == 2
    begun = (place.path / "begun.json").read_text()
    (found, spent, _), epochs = trained(folder, defense)
    assert epochs == 2, "the first training is read, the second goes on after its first epoch"
    assert fingerprint(found, (1, 8, 8)) == fingerprint(whole, (1, 8, 8))
    assert f'"seconds": {spent.seconds}' not in begun
    assert spent.seconds > float(begun.partition('"seconds":')[2].partition(",")[0])
    assert not place.checkpoints.exists()
    assert not (place.path / "begun.json").exists()
    (again, cost, _), epochs = trained(folder, defense)
    assert (epochs, cost) == (0, spent)
    assert fingerprint(again, (1, 8, 8)) == fingerprint(whole, (1, 8, 8))


def nameless(shape, classes):
    """A network that no card can name."""
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, classes))


def test_what_no_card_can_name_keeps_its_checkpoints(tmp_path):
    learner = hf.defenses.Voting(of=(Train(network=nameless, epochs=2, batch=30),), members=2)
    data = load("digits").train.take(slice(0, 60))
    place = Place(tmp_path)
    found, spent = place.training(lambda: kept(learner, place.checkpoints).fit(data, 0))
    assert place.keep(found, BASE, data, spent) is None
    heard = []
    again, _ = place.training(lambda: kept(learner, place.checkpoints).fit(data, 0, heard.append))
    assert not any(isinstance(event, BatchDone) for event in heard)
    assert torch.equal(again.scores(data.x), found.scores(data.x))


def test_every_training_inside_a_learner_gets_the_folder_and_keeps_its_own():
    own = Train(checkpoint="mine.pt")
    made = kept(hf.defenses.Stacking(of=(own, hf.defenses.AdversarialTraining(of=Train()))), "folder")
    assert made.of[0] == own
    assert made.of[1].of.checkpoint == "folder"
    assert kept(hf.Fit(estimator=3), "folder") == hf.Fit(estimator=3)
    assert dataclasses.replace(made.of[1].of, checkpoint="") == Train()
