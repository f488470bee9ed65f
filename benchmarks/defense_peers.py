"""Defenses beside ART, OpenCV and scikit-learn: the same pictures through both, and the same training steps.

    make bench-env
    .venv-bench/bin/python benchmarks/defense_peers.py

`BitDepth` and `Thermometer` beside ART's FeatureSqueezing and ThermometerEncoding on digits, `NonLocalMeans` beside
OpenCV's fastNlMeansDenoising on a photograph; it answers in whole gray levels.

`AdversarialTraining`, `Trades` and `WeightPerturbation` around both beside ART's AdversarialTrainer (what its
AdversarialTrainerMadryPGD trains with), AdversarialTrainerTRADESPyTorch and AdversarialTrainerAWPPyTorch: ours trains a
network on digits and notes each batch and the harder inputs that it found; ART's trainer starts from the same weights
and takes the same batches, harder inputs and rates. Its own inner attack is not asked, for it climbs the cross-entropy
where TRADES climbs the divergence. What is compared is the weights after each whole training.

`AdversarialRounds` of a logistic regression beside scikit-learn's, learned anew in a plain loop on the rows that ART's
FastGradientMethod turns: the coefficients after three rounds.

At the end whole trainings of ART's AdversarialTrainerMadryPGD, with its own inner attack, beside ours from the same
weights: what both withstand of the same attack, paired over samples and seeds.
"""

import argparse
import contextlib
import copy
import dataclasses
import io
import logging
import statistics
import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import holdfast as hf
from holdfast.data import Dataset
from holdfast.defenses.training._recipe import Recipe
from holdfast.evaluation.paired import over_groups
from holdfast.learning.objective import Objective, Step
from holdfast.learning.schedule import one_cycle
from holdfast.learning.train import Train
from holdfast.models.source import source_of
from holdfast.models.wrap import wrap
from holdfast.threats.space import space_of

D = hf.defenses
RADIUS, STEPS, STEP = 0.1, 7, 0.25
OF = Train(batch=50, rate=0.05, momentum=0.9, weight_decay=0.0, smoothing=0.0, average=0.0, normalize=False)


def told(name: str, peer: str, text: str) -> None:
    """A row."""
    print(f"{name:24s} {peer:44s} {text}", flush=True)


def pictures(x: Tensor) -> None:
    """Stages that ART and OpenCV have too."""
    import cv2
    from art.defences.preprocessor import FeatureSqueezing, ThermometerEncoding
    from sklearn.datasets import load_sample_image

    space, given = space_of(x), x.numpy()
    for bits in (1, 3, 5):
        theirs, _ = FeatureSqueezing(clip_values=(0.0, 1.0), bit_depth=bits)(given)
        apart = np.abs(D.BitDepth(bits=bits).apply(x, space).numpy() - theirs).max()
        told("BitDepth", f"ART's FeatureSqueezing, {bits} bits", f"{len(x)} digits, apart at most {apart:.1e}")
    between = 0.97 * x + 0.011  # no value on a threshold: ART's bit needs more than it, that of the paper as much
    for levels in (10, 16):
        coder = ThermometerEncoding(clip_values=(0.0, 1.0), num_space=levels, channels_first=True)
        theirs, _ = coder(between.numpy().copy())
        ours = D.Thermometer(levels=levels).code.apply(between, space).numpy()
        apart = np.abs(ours - theirs.reshape(ours.shape)).max()
        told("Thermometer", f"ART's ThermometerEncoding, {levels} levels", f"bits apart at most {apart:.1e}")
    photo = load_sample_image("flower.jpg")[200:264, 250:330]
    for search, patch, strength in ((11, 3, 4.0), (11, 3, 10.0), (13, 3, 20.0)):
        for picture in (photo[..., 0], photo):
            z = torch.from_numpy(np.atleast_3d(picture).transpose(2, 0, 1).copy())[None].double() / 255
            stage = D.NonLocalMeans(search=search, patch=patch, strength=strength)
            ours = 255 * stage.apply(z, space_of(z))[0].numpy()
            options = {"templateWindowSize": patch, "searchWindowSize": search}
            h: Any = strength if picture.ndim == 2 else [strength]
            theirs = np.atleast_3d(cv2.fastNlMeansDenoising(picture.copy(), h=h, **options)).transpose(2, 0, 1)
            gap, moved = np.abs(ours - theirs), np.abs(ours - 255 * z[0].numpy())
            told(
                "NonLocalMeans",
                f"OpenCV's fastNlMeansDenoising, {search}-{patch}-{strength:g}, {len(z[0])} channels",
                f"gray levels apart: median {np.median(gap):.2f}, at most {gap.max():.2f}; moved by {moved.max():.0f}",
            )


@dataclasses.dataclass(frozen=True)
class Noted:
    """An objective that keeps what it was asked about."""

    of: Objective
    seen: list[tuple[Tensor, Tensor, Tensor]]

    def __call__(self, step: Step) -> Tensor:
        """The objective's."""
        self.seen.append((step.x.detach().clone(), step.harder.detach().clone(), step.y.clone()))
        return self.of(step)


def fresh(seed: int, data: Dataset) -> nn.Module:
    """A network with weights of a seed."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(data.x[0].numel(), 64), nn.ReLU(), nn.Linear(64, data.n_classes))


def classifier(net: nn.Module, data: Dataset) -> Any:
    """What ART trains."""
    from art.estimators.classification import PyTorchClassifier

    return PyTorchClassifier(
        net,
        nn.CrossEntropyLoss(),
        tuple(data.x.shape[1:]),
        data.n_classes,
        optimizer=torch.optim.SGD(net.parameters(), OF.rate, OF.momentum, nesterov=True),
        clip_values=(0.0, 1.0),
        device_type="cpu",
    )


def replayed(recipe: D.WeightPerturbation | Recipe, net: nn.Module, data: Dataset, train: Any) -> str:
    """Ours and then ART's steps on what ours saw: how far apart the weights end."""
    seen: list[tuple[Tensor, Tensor, Tensor]] = []
    how = recipe.training(data, 0)
    how = dataclasses.replace(how, start=wrap(net, data.bounds), objective=Noted(how.objective, seen))
    made = how.fit(data, 0)
    ours = torch.cat([p.detach().flatten() for p in source_of(made).ask.net.parameters()])
    theirs = copy.deepcopy(net)
    before = torch.cat([p.detach().flatten() for p in theirs.parameters()])
    art = classifier(theirs, data)
    step = train(art)
    for k, (x, harder, y) in enumerate(seen):
        art.optimizer.param_groups[0]["lr"] = one_cycle(k, len(seen), OF.rate)
        with contextlib.redirect_stderr(io.StringIO()):  # its progress bars
            step(x.numpy(), harder.numpy(), np.eye(data.n_classes, dtype=np.float32)[y.numpy()])
    after = torch.cat([p.detach().flatten() for p in theirs.parameters()])
    apart, way = float((ours - after).abs().max()), float((after - before).abs().max())
    return f"{len(seen)} steps, weights moved up to {way:.2f}, apart at most {apart:.1e}"


def known(harder: np.ndarray, x: np.ndarray) -> Any:
    """An attack that answers with the harder inputs that ours found, whatever the order."""
    from art.attacks import EvasionAttack
    from art.estimators import BaseEstimator

    found = {row.tobytes(): other for row, other in zip(x, harder, strict=True)}

    class Known(EvasionAttack):
        """Looks rows up."""

        attack_params = EvasionAttack.attack_params
        _estimator_requirements = (BaseEstimator,)

        def generate(self, x: np.ndarray, y: np.ndarray | None = None, **_: Any) -> np.ndarray:
            return np.stack([found[row.tobytes()] for row in x])

    return Known


def steps_of(kind: str, beta: float, gamma: float, data: Dataset) -> Any:
    """A function of ART's classifier that makes one of its trainers' steps."""
    from art.defences.trainer import AdversarialTrainer, AdversarialTrainerAWPPyTorch, AdversarialTrainerTRADESPyTorch

    def made(art: Any) -> Any:
        proxy = classifier(copy.deepcopy(art.model), data)
        proxy._optimizer = torch.optim.SGD(proxy.model.parameters(), 1.0)

        def step(x: np.ndarray, harder: np.ndarray, y: np.ndarray) -> None:
            attack = known(harder, x)(estimator=art)
            if kind == "plain":
                AdversarialTrainer(art, attack, ratio=1.0).fit(x, y, batch_size=len(x), nb_epochs=1)
                return
            if kind == "trades":
                trainer = AdversarialTrainerTRADESPyTorch(art, attack, beta)
            else:
                mode = kind.removesuffix("+awp").upper()
                trainer = AdversarialTrainerAWPPyTorch(art, proxy, attack, mode, gamma, beta, warmup=0)
                trainer._apply_wp = True
            trainer._batch_process(x, y)

        return step

    return made


def steps(data: Dataset, epochs: int) -> None:
    """Four recipes, step by step."""
    threat, of = hf.Linf(RADIUS), dataclasses.replace(OF, epochs=epochs)
    pgd = D.AdversarialTraining(of=of, threat=threat, steps=STEPS, step=STEP)
    trades = D.Trades(of=of, threat=threat, beta=6.0)
    rows = [
        ("AdversarialTraining", "AdversarialTrainer", "plain", pgd),
        ("Trades", "AdversarialTrainerTRADESPyTorch", "trades", trades),
        ("WeightPerturbation", "AdversarialTrainerAWPPyTorch, PGD", "pgd+awp", D.WeightPerturbation(of=pgd)),
        ("WeightPerturbation", "AdversarialTrainerAWPPyTorch, TRADES", "trades+awp", D.WeightPerturbation(of=trades)),
    ]
    for name, peer, kind, recipe in rows:
        radius = recipe.radius if isinstance(recipe, D.WeightPerturbation) else 0.0
        told(name, f"ART's {peer}", replayed(recipe, fresh(0, data), data, steps_of(kind, 6.0, radius, data)))


def trainings(data: Dataset, test: Dataset, epochs: int, seeds: int) -> None:
    """Whole trainings by both, audited by the same attack."""
    from art.defences.trainer import AdversarialTrainerMadryPGD

    threat, attack = hf.Linf(RADIUS), hf.attacks.Apgd(steps=30)
    held: dict[str, list[bool]] = {"ours": [], "ART": []}
    right: dict[str, list[bool]] = {"ours": [], "ART": []}
    for seed in range(seeds):
        net = fresh(seed, data)
        of = dataclasses.replace(OF, epochs=epochs, start=wrap(copy.deepcopy(net), data.bounds))
        ours = D.AdversarialTraining(of=of, threat=threat, steps=STEPS, step=STEP).fit(data, seed)
        art = classifier(net, data)
        trainer = AdversarialTrainerMadryPGD(
            art, eps=RADIUS, eps_step=STEP * RADIUS, max_iter=STEPS, num_random_init=1, batch_size=OF.batch
        )
        np.random.seed(seed)
        for epoch in range(epochs):
            art.optimizer.param_groups[0]["lr"] = one_cycle(epoch, epochs, OF.rate)
            with contextlib.redirect_stderr(io.StringIO()):
                trainer.fit(data.x.numpy(), np.eye(data.n_classes, dtype=np.float32)[data.y.numpy()], nb_epochs=1)
        for name, model in (("ours", ours), ("ART", wrap(art.model.eval(), data.bounds))):
            status = hf.run(attack, model, test.x, test.y, threat, seed=0).status
            held[name] += [one == "unbroken" for one in status]
            right[name] += [one != "wrong" for one in status]
    shares = ", ".join(f"{k} {statistics.mean(held[k]):.1%} of {statistics.mean(right[k]):.1%}" for k in held)
    found = over_groups(held["ART"], held["ours"], list(range(len(test))) * seeds)
    told("AdversarialTraining", "ART's AdversarialTrainerMadryPGD", f"{seeds} seeds, withstand {shares}; ours {found}")


def rounds(data: Dataset, count: int) -> None:
    """Logistic regression in rounds of one-step rows, by ours and by scikit-learn on what ART's attack makes."""
    from art.attacks.evasion import FastGradientMethod
    from art.estimators.classification import SklearnClassifier
    from sklearn.linear_model import LogisticRegression

    made = LogisticRegression(max_iter=10_000, tol=1e-8)
    recipe = D.AdversarialRounds(
        of=hf.Fit(estimator=made),
        threat=hf.Linf(RADIUS),
        rounds=count,
        attack=hf.attacks.Pgd(steps=1, step=1.0, random_start=False),
        samples=len(data),
    )
    net = source_of(recipe.fit(data, 0)).origin
    given, right = data.x.flatten(1).double().numpy(), data.y.numpy()
    x, y, added = given, right, []
    theirs = copy.deepcopy(made).fit(x, y)
    for _ in range(count):
        attack = FastGradientMethod(SklearnClassifier(theirs, clip_values=(0.0, 1.0)), eps=RADIUS)
        harder = attack.generate(given.astype(np.float32), np.eye(data.n_classes)[right])
        won = (theirs.predict(given) == right) & (theirs.predict(harder) != right)
        added.append(int(won.sum()))
        x, y = np.concatenate([x, harder[won]]), np.concatenate([y, right[won]])
        theirs = copy.deepcopy(made).fit(x, y)
    apart, size = np.abs(net.coef_ - theirs.coef_).max(), np.abs(theirs.coef_).max()
    plain = np.abs(copy.deepcopy(made).fit(given, right).coef_ - theirs.coef_).max()
    told(
        "AdversarialRounds",
        "scikit-learn on rows of ART's FastGradientMethod",
        f"{added} rows added, coefficients up to {size:.2f}, moved up to {plain:.2f}, apart at most {apart:.1e}",
    )


def main(given: argparse.Namespace) -> None:
    """All rows."""
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    digits = hf.data.load("digits")
    data, test = digits.train.sample(given.images, 0), digits.test.sample(given.test, 0)
    pictures(test.x)
    rounds(data, 3)
    steps(data, given.epochs)
    trainings(data, test, given.epochs, given.seeds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1000, help="to learn from")
    parser.add_argument("--test", type=int, default=300, help="of the test part")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=3)
    torch.set_num_threads(1)
    main(parser.parse_args())
