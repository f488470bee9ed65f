"""The story of `holdfast demo road-signs`: two networks learn, both are broken, one is hardened and attacked again.

Every finished step leaves a file in the folder and is reused: the same command continues where the last one stopped.
"""

import dataclasses
import pathlib
import time

from holdfast.cli.audit import Request, reproducing
from holdfast.cli.demo_pace import Pace
from holdfast.core.errors import UsageError
from holdfast.core.params import Count, Natural, Positive, check
from holdfast.core.records import canonical, config, digest
from holdfast.data import load, road_signs
from holdfast.data.dataset import Dataset
from holdfast.data.signs import cache
from holdfast.defenses.training.adversarial_training import AdversarialTraining
from holdfast.evaluation.audit import audit
from holdfast.evaluation.summary import Summary
from holdfast.learning.learner import Learner
from holdfast.learning.train import Train
from holdfast.models.card import read
from holdfast.models.files import load_model, save_model
from holdfast.models.model import Model
from holdfast.report.run import Run
from holdfast.threats.literals import parse

RENDERED = "road_signs"
JUDGING = ("samples", "judged", "suite")
"""Settings that change no network."""

ATTACKED, WITHSTOOD = 200.0, 500.0
"""Work of an audit for each sample, in training passes over one picture: where most break, and where many hold."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Story:
    """What is told; the defaults take about four minutes on two cores.

    Args:
        data: `road_signs`, rendered on the spot, or the name of any set of color images.
        threat: What every network is attacked with and the hardened one is trained against.
        pictures: Pictures to learn from.
        validation: Pictures by which the best epoch of the hardening is chosen.
        judged: Rendered pictures from which those of the audits are drawn.
        samples: Pictures of each audit.
        suite: Attacks of each audit.
        width: Channels of the first convolution of every network.
        epochs: Passes over the pictures of the two plain trainings.
        batch: Pictures in a step of every training.
        augment: What happens to the pictures on the way into a step of the plain trainings.
        rate: Highest learning rate of the plain trainings.
        hardening: Passes over the pictures of the adversarial training.
        gentle: Highest learning rate of the adversarial training.
        steps: Steps of the attack in it.
        patience: Passes without a better validation robustness after which it ends.
        seed: Of everything random.
    """

    data: str = RENDERED
    threat: str = "linf:4/255"
    pictures: Count = 6000
    validation: Count = 256
    judged: Count = road_signs.PARTS["test"][0]
    samples: Count = 200
    suite: str = "quick"
    width: Count = 16
    epochs: Count = 10
    batch: Count = 64
    augment: str = "affine+light"
    rate: Positive = 0.05
    hardening: Count = 8
    gentle: Positive = 0.05
    steps: Count = 2
    patience: Count = 3
    seed: Natural = 0

    def __post_init__(self) -> None:
        check(self)

    @property
    def mark(self) -> str:
        """A digest of all that decides what the networks learn."""
        return digest(canonical({k: v for k, v in config(self).items() if k not in JUDGING}))


@dataclasses.dataclass(frozen=True)
class Part:
    """One network of the story.

    Args:
        name: What people call it.
        stem: What its files and its run folder are called.
        network: Its name among the networks.
        width: Its width.
    """

    name: str
    stem: str
    network: str
    width: int


@dataclasses.dataclass(frozen=True)
class Judged:
    """One network after its audit.

    Args:
        part: Which.
        file: Where it is saved.
        folder: The run folder.
        page: The report.
        summary: What was found.
    """

    part: Part
    file: pathlib.Path
    folder: pathlib.Path
    page: pathlib.Path
    summary: Summary


@dataclasses.dataclass(frozen=True)
class Told:
    """The whole story: plain ResNet, VGG and hardened ResNet, and the seconds that this call spent, step by step."""

    story: Story
    judged: tuple[Judged, Judged, Judged]
    seconds: dict[str, float]


def tell(story: Story, folder: pathlib.Path, pace: Pace) -> Told:
    """Do what is missing in the folder and read the rest.

    Raises:
        UsageError: HF813 where the folder holds a story with other settings.
        KeyboardInterrupt: After Ctrl-C; what was finished is kept.
    """
    return _Teller(story, folder, pace).told()


class _Teller:
    """One call's work on one folder."""

    def __init__(self, story: Story, folder: pathlib.Path, pace: Pace):
        self.story, self.folder, self.pace = story, folder, pace
        self.resnet = Part("ResNet-18", "resnet18", "resnet18", story.width)
        self.vgg = Part("VGG-11", "vgg11", "vgg11", story.width)
        self.hardened = Part("hardened ResNet-18", "resnet18-hardened", "resnet18", story.width)
        self.parts: tuple[Dataset, Dataset] | None = None
        self.seconds: dict[str, float] = {}

    def told(self) -> Told:
        """Every step in its order."""
        self._plan()
        resnet = self._learned(self.resnet, self._plain(self.resnet))
        vgg = self._learned(self.vgg, self._plain(self.vgg))
        test = self._test()
        first = self._attacked(self.resnet, resnet, test, self.vgg, vgg)
        second = self._attacked(self.vgg, vgg, test, self.resnet, resnet)
        hardened = self._learned(self.hardened, self._robust(resnet))
        return Told(self.story, (first, second, self._attacked(self.hardened, hardened, test)), self.seconds)

    def _plan(self) -> None:
        """Tell the pace what is still to do; learning costs passes over pictures, an audit some for each sample."""
        s, work = self.story, {}
        for part, passes in (
            (self.resnet, s.epochs),
            (self.vgg, s.epochs),
            (self.hardened, s.hardening * (s.steps + 1)),
        ):
            if not self._file(part).is_file():
                work[_learning(part)] = float(s.pictures * passes)
            each = WITHSTOOD if part is self.hardened else ATTACKED
            work[_attacking(part)] = s.samples * each
        self.pace.plan(str(self.folder), s.samples, work)

    def _plain(self, part: Part) -> Train:
        s = self.story
        return Train(
            network=part.network,
            width=part.width,
            epochs=s.epochs,
            batch=s.batch,
            rate=s.rate,
            average=0.99,
            augment=s.augment,
            precision="auto",
            checkpoint=str(self._checkpoint(part)),
        )

    def _robust(self, start: Model) -> AdversarialTraining:
        s = self.story
        of = dataclasses.replace(
            self._plain(self.hardened), start=start, epochs=s.hardening, rate=s.gentle, patience=s.patience, augment=""
        )
        return AdversarialTraining(
            of=of,
            threat=parse(s.threat),
            steps=s.steps,
            step=1.25 / s.steps,
            validation_steps=5,
            validation_samples=s.validation,
        )

    def _learned(self, part: Part, learner: Learner) -> Model:
        """The network from its file, or trained and saved."""
        file = self._file(part)
        if not file.is_file():
            (self.folder / "training").mkdir(parents=True, exist_ok=True)
            train, validation = self._pictures()
            began = time.monotonic()
            with self.pace.step(_learning(part)) as listener:
                if isinstance(learner, AdversarialTraining):
                    made = learner.fit(train, self.story.seed, listener, validation)
                else:
                    made = learner.fit(train, self.story.seed, listener)
            self.seconds[_learning(part)] = time.monotonic() - began
            save_model(made, file, self._card(part, train))
            self._checkpoint(part).unlink(missing_ok=True)
        if read(file).more.get("story") != self.story.mark:
            raise UsageError(
                "HF813",
                f"The folder '{self.folder}' holds a demonstration with other settings",
                seen=file.name,
                fix="give another folder with -o",
            )
        return load_model(file)

    def _attacked(self, part: Part, model: Model, test: Dataset, *other: Part | Model) -> Judged:
        """The audit in its own run folder, and its report; `other` is who the adversarial pictures are shown to."""
        story, target = self.story, self.folder / part.stem
        second = next((p for p in other if isinstance(p, Part)), None)
        request = Request(
            model=str(self._file(part)),
            data=story.data,
            threat=(story.threat,),
            suite=story.suite,
            seed=story.seed,
            limit=story.samples,
            out=str(target),
            transfer_to=(str(self._file(second)),) if second else (),
        )
        began = time.monotonic()
        with self.pace.step(_attacking(part)) as listener:
            found = audit(
                model,
                test,
                threat=story.threat,
                suite=story.suite,
                seed=story.seed,
                out=target,
                limit=story.samples,
                transfer_to=[m for m in other if isinstance(m, Model)] or None,
                on_event=listener,
                command=reproducing(request),
            )
        if not found.summary.complete:
            raise KeyboardInterrupt
        self.seconds[_attacking(part)] = time.monotonic() - began
        page = Run(found).report(target / "report.html")
        return Judged(part, self._file(part), target, page, found.summary)

    def _pictures(self) -> tuple[Dataset, Dataset]:
        """Pictures to learn from and to choose by; made once, and only where something is still to be learned."""
        if self.parts is None:
            s, began = self.story, time.monotonic()
            if s.data == RENDERED:
                train = cache.kept(road_signs.render, s.pictures, road_signs.PARTS["train"][1])
                self.parts = train, cache.kept(road_signs.render, s.validation, road_signs.PARTS["val"][1])
            else:
                train, validation = load(s.data).part("train").divide(0.9, s.seed)
                self.parts = train.sample(s.pictures, s.seed), validation.sample(s.validation, s.seed)
            self.seconds["pictures"] = time.monotonic() - began
        return self.parts

    def _test(self) -> Dataset:
        if self.story.data != RENDERED:
            return load(self.story.data, split="test")
        made = cache.kept(road_signs.render, self.story.judged, road_signs.PARTS["test"][1])
        return dataclasses.replace(made, split="test")

    def _card(self, part: Part, data: Dataset) -> dict[str, object]:
        return {
            "name": part.name,
            "network": part.network,
            "width": part.width,
            "classes": data.n_classes,
            "shape": list(data.x.shape[1:]),
            "bounds": list(data.bounds),
            "class_names": list(data.classes),
            "story": self.story.mark,
        }

    def _file(self, part: Part) -> pathlib.Path:
        return self.folder / f"{part.stem}.safetensors"

    def _checkpoint(self, part: Part) -> pathlib.Path:
        return self.folder / "training" / f"{part.stem}.pt"


def _learning(part: Part) -> str:
    return f"train {part.name}"


def _attacking(part: Part) -> str:
    return f"attack {part.name}"
