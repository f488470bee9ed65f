"""What an audit takes over from runs before it: inputs that are tried first, and samples that are attacked first."""

import dataclasses

PLACE = "hardest"  # the folder of the run of a baseline's hardest samples, inside that of the random sample


@dataclasses.dataclass(frozen=True, kw_only=True)
class Hardest:
    """Samples that a baseline held, nearest to breaking first, attacked again before a random remainder.

    They were chosen by what a run found on them, so their share estimates nothing, and has no interval.

    Args:
        baseline: The baseline's folder name.
        model: Fingerprint of its model.
        held: Samples that it held under all threats of this run.
        tried: Of those, how many were attacked here.
        broken, wrong: Of those, how many an attack breaks now, and how many the model gets wrong before any attack.
        left: Of those, how many could not be judged.
        samples: Numbers of a few that are broken or wrong now.
    """

    baseline: str
    model: str
    held: int
    tried: int
    broken: int
    wrong: int
    left: int
    samples: tuple[int, ...] = ()

    @property
    def lost(self) -> int:
        """Samples that the baseline held and this run does not."""
        return self.broken + self.wrong

    @property
    def parts(self) -> str:
        """`4 broken, 1 wrong before any attack`, and how many were not judged, where some were not."""
        left = f", {self.left} not judged" if self.left else ""
        return f"{self.broken} broken, {self.wrong} wrong before any attack{left}"

    def __str__(self) -> str:
        """`5 of the 20 samples that baseline held most narrowly (of 94) are lost: 4 broken, 1 wrong before any attack`.

        The name of the folder is a stranger's.
        """
        which = f"the {self.tried} samples that {self.baseline} held most narrowly (of {self.held} that it held)"
        return f"{self.lost} of {which} are lost: {self.parts}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class EarlierRun:
    """A run whose adversarial inputs were tried first: its folder's name, its model's fingerprint, its inputs' digest.

    Of the samples, it had one for `stored`, for `tried` one inside a threat; these broke `broken`. `knows`: oblivious
    (made on the model behind this one's stages), defense-aware (on this very model), or empty.
    """

    run: str
    model: str
    inputs: str
    stored: int
    tried: int
    broken: int
    knows: str = ""
