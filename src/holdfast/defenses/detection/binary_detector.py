"""Clean against attacked, Gong, Wang and Ku 2017, arXiv:1704.04960; Metzen et al., ICLR 2017, arXiv:1702.04267."""

import dataclasses

from torch import Tensor

from holdfast.attacks.attack import Attack
from holdfast.attacks.evasion.pgd import Pgd
from holdfast.attacks.run import run
from holdfast.core.errors import DataError
from holdfast.core.params import Count, Positive
from holdfast.data.dataset import Dataset
from holdfast.defenses.detection._binary import learned
from holdfast.defenses.detection._looks import Layer, gathered, looked
from holdfast.defenses.fitting import Detector, Score
from holdfast.models.model import Model
from holdfast.threats.threats import Linf, Threat

LEAST = 2  # attacked inputs to learn from


@dataclasses.dataclass(frozen=True, kw_only=True)
class BinaryDetector(Detector):
    """A small network that has learned to tell clean inputs from attacked copies of them.

        x'_i <- the strongest point of `attack` around x_i, where it breaks the model
        weights <- argmin mean log(1 + exp(g(f(x_i)))) + mean log(1 + exp(-g(f(x'_i))))        score(x) = g(f(x))

    With layer="inputs" it is the detector of Gong et al., on features that of Metzen et al., who put it on inner
    layers. The only detector here that learns from attacks: what it knows is the attack and the radius that it was
    shown. The threshold is set on clean samples like that of every detector.

    Deviations: one layer, the input of the last linear one; no adversarial training of the detector itself ("dynamic"
    in Metzen et al.), which Carlini and Wagner found to break as well.

    What it was not shown it need not know: attacks that go another way are accepted, and harmless changes may look
    attacked to it (most noisy and all brighter digits do; benchmarks/detectors.py, with `--oblivious --threat` for
    other radii and norms). Broken by Carlini and Wagner, "Adversarial Examples Are Not Easily Detected", AISec 2017,
    arXiv:1705.07263, with an attack on model and detector together.

    Cost: one pass through a network of three small convolutions, and one through the model where it looks at that.
    Learning: the attack on the clean samples, and `epochs` passes over them.

    Args:
        fpr: Share of clean inputs that may be rejected.
        held_out: Share of the data that sets the threshold.
        layer: What it looks at: "inputs", "features" or "scores" (log-probabilities).
        attack: Whose results it learns from.
        threat: How far that may go.
        width: Channels of its first convolution, or a quarter of its hidden units.
        epochs: Passes over the attacked inputs.
        rate: Learning rate at the start.
    """

    layer: Layer = "inputs"
    attack: Attack = Pgd()
    threat: Threat = Linf(8 / 255)
    width: Count = 16
    epochs: Count = 20
    rate: Positive = 3e-3

    def learn(self, model: Model, data: Dataset, seed: int) -> Score:
        """The attack on the model as it is without the detector, and a network.

        Raises:
            ModelError: HF256 where the model shows no features.
            DataError: HF137 where the attack breaks fewer than two samples.
            ThreatError: HF303 or HF304 where the attack does not fit the threat or the model.
        """
        look = (lambda x: x) if self.layer == "inputs" else looked(model, self.layer)
        out = run(self.attack, model, data.x, data.y, self.threat, seed=seed, ids=data.ids, perturb=True)
        if int(out.success.sum()) < LEAST:
            raise DataError(
                "HF137",
                "The attack leaves no attacked inputs to learn from",
                seen=f"{int(out.success.sum())} of {len(data)} samples broken under {self.threat.literal}",
                expected=f"at least {LEAST}",
                fix="a larger radius, another attack, or more data",
            )
        clean, attacked = gathered(look, data.x), gathered(look, out.strongest[out.success])
        net = learned(clean, attacked, self.width, self.epochs, self.rate, seed)

        def score(x: Tensor) -> Tensor:
            odds: Tensor = net(look(x))
            return odds.double()

        return score
