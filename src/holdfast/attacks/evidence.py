"""How each attack was checked beyond the laws that all of them keep, with the command that shows it again."""

import dataclasses
from typing import Literal

Kind = Literal["reproduced", "second implementation", "cross-checked", "closed forms"]


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What speaks for an attack or a defense.

    Args:
        kind: A `second implementation` written from the paper gives the same, an attack's question by question; what
            another library's was run beside is `cross-checked`; where a published finding was seen again it is
            `reproduced`; `closed forms` are all there is for the others.
        text: The figure; where two numbers stand, ours is the first.
        command: What prints it.
    """

    kind: Kind
    text: str
    command: str


def _beside(text: str, script: str) -> Evidence:
    return Evidence("cross-checked", text, f"benchmarks/{script}.py")


def _twice(text: str, script: str) -> Evidence:
    """Beside a peer, and the same points as a second implementation."""
    return _beside(
        f"{text}; the same points, question by question, as a second implementation (tests/attacks/test_references.py)",
        script,
    )


def _forms(text: str, test: str = "tests/laws/test_strength.py") -> Evidence:
    return Evidence("closed forms", text, f"pytest {test}")


EVIDENCE = {
    "Alma": _beside(
        "adv_lib, 100 steps: median L2, MNIST 1.69, 1.70, digits 0.509, 0.511; L1, MNIST 5.97, 7.93", "minimal"
    ),
    "Apgd": _twice(
        "adv_lib under L1, 300 digits, 100 steps: broken 97, 94; by the ratio 103, 100; toward nine classes 115, 114; "
        "torchattacks and ART (speed.py), 64 road signs at linf 8/255, 50 steps: not broken 57.8; 57.8, 57.8 %",
        "l1_peers",
    ),
    "Boundary": _beside("Foolbox, digits, 2,255 queries: median L2 0.518, 0.929", "queries"),
    "BrendelBethge": _beside(
        "Foolbox, 100 digits, 200 steps: median Linf 0.104, 0.107; L2 0.534, 0.537; L1 1.43, 1.40", "minimal"
    ),
    "Capgd": _forms("the strongest of all rows on linear scores, encoded levels too", "tests/attacks/test_capgd.py"),
    "CarliniWagner": _twice("Foolbox, 5 x 200 steps: median L2, digits 0.511, 0.659; MNIST 2.45, 2.98", "minimal"),
    "CarliniWagnerL0": _beside(
        "ART, at most 65 rounds of 4 x 10 steps, 100 digits: median L0 2, 26 in 79, 16,015 passes", "minimal"
    ),
    "CarliniWagnerLinf": _beside("adv_lib, digits, budgets not equal: median 0.097, 0.167", "minimal"),
    "CarliniWagnerTable": _forms(
        "at most 3 % above the nearest row of a straight boundary", "tests/attacks/test_carlini_wagner_table.py"
    ),
    "Ddn": _twice(
        "Foolbox, 100 steps: median L2, digits 0.508, 0.520; MNIST 2.19, 2.28; 64 road signs, 50 steps (speed.py): "
        "0.487, 0.491",
        "minimal",
    ),
    "DeepFool": _beside("Foolbox, digits, 50 steps: median L2 0.510, 0.523", "minimal"),
    "Ead": _beside("Foolbox, digits, 6 x 100 steps: median L1 1.339, 1.493 (our beta was chosen on them)", "minimal"),
    "Eot": _forms("the attack itself where nothing is random"),
    "FabT": _twice(
        "torchattacks, 64 road signs, 20 steps, 2 targets: not broken at linf 8/255 59.4, 60.9 %; median Linf 0.0348, "
        "0.0380",
        "speed",
    ),
    "FirstOf": _forms("the union of its attacks"),
    "Fmn": _beside(
        "adv_lib, MNIST, 300 steps: median Linf 0.422, 0.423; L2 1.96, 2.15; L0 22, 22; "
        "Foolbox, digits, 100 steps: L1 1.34, 1.55",
        "minimal",
    ),
    "GenAttack": _beside("Foolbox, digits, second class, 601 queries: broken 0.30, 0.22", "queries"),
    "GeoDa": _beside("ART, digits, 1,954 queries: median L2 0.549, 2.415", "queries"),
    "GraphSearch": _forms(
        "finds what there is on tables small enough to ask about every row", "tests/attacks/test_graph_search.py"
    ),
    "HopSkipJump": _beside(
        "ART, random forest, 1,164 queries: median L2 0.706, 0.991; 50 digits, 1,753 queries: median Linf 0.108, 0.156",
        "queries",
    ),
    "HopSkipJumpTable": _forms(
        "at most 10 % above the nearest row of a straight boundary, and the nearest of all rows of a small table",
        "tests/attacks/test_hop_skip_jump_table.py",
    ),
    "Jsma": _forms("the least number of values on planes"),
    "Lbfgs": _forms("at most 2 % above the nearest point"),
    "LeafTuple": _beside(
        "ART's HopSkipJump, a forest on digits: median Linf 0.094, 0.288; exact distance 0.094", "forest_peers"
    ),
    "LocalSearch": _beside("AutoAttack on nine networks: what is missed, and what is found beyond", "frugal"),
    "Moeva2": _forms(
        "nothing that a wide beam does not find where every row can be asked about", "tests/attacks/test_moeva2.py"
    ),
    "Nes": _beside("Foolbox's PGD with evolution strategies, digits, 2,041 queries: broken 0.28, 0.06", "queries"),
    "NewtonFool": _beside("Foolbox, digits, 100 steps: median L2 0.561, 0.610; MNIST: found 0.96, 1.00", "minimal"),
    "Noise": _forms("what all others must beat"),
    "OnePixel": _beside("ART, digits, 4,356 queries, 2 pixels: broken 0.73, 0.69", "queries"),
    "Pdpgd": _beside(
        "adv_lib, MNIST, 300 steps: median Linf 0.221, 0.222; L2 1.89, 1.87; L1 5.11, 5.11; L0 6, 6", "minimal"
    ),
    "Pgd": _twice(
        "Foolbox, torchattacks and ART, 64 road signs at linf 8/255, 40 steps: not broken 59.4; 57.8, 57.8, 59.4 %",
        "speed",
    ),
    "Pointwise": _beside("Foolbox, digits, fewer queries than it: median L0 2, 2", "queries"),
    "RayS": _twice(
        "ART's HopSkipJump, another method, digits, 475 and 1,753 queries: median Linf 0.098, 0.157", "queries"
    ),
    "Repeat": _forms("more times never hurt"),
    "SelectivePgd": _forms(
        "a step by hand; past detectors that Apgd does not pass", "tests/attacks/test_selective_pgd.py"
    ),
    "SigmaZero": _beside("adv_lib, MNIST, 300 steps: median L0 8, 9", "minimal"),
    "SignOpt": _beside("ART, digits, 2,174 queries: median L2 0.518, 0.520", "queries"),
    "SimBa": _beside("ART, digits, 229 queries: broken 0.16, 0.12", "queries"),
    "SparseFool": _beside("torchattacks, digits, 20 steps: median L1 1.334, 1.366; found 1.00, 0.89", "minimal"),
    "Spsa": _beside("torchattacks, digits, 2,560 queries: broken 0.31, 0.29", "queries"),
    "Square": _twice(
        "torchattacks and ART, 64 road signs at linf 8/255, 300 questions: not broken 71.9; 71.9, 71.9 %; "
        "L1, which no peer has, by the second implementation alone",
        "speed",
    ),
    "SuperDeepFool": _beside("adv_lib, digits, 20 rounds: median L2 0.511, 0.513", "minimal"),
    "SurFree": _beside("Foolbox's HopSkipJump, digits, 3,184 queries: median L2 0.514, 1.296", "queries"),
    "TransferPgd": _beside(
        "torchattacks, 10 steps: the same points for all of 300 digits, with momentum, lookahead, kernel, and for 40 "
        "with diversity; on the joint logits of two networks too; neighbors, a mean of our own: wrong on two other "
        "networks 212, 216 of 600",
        "transfer_peers",
    ),
    "Zoo": _beside("ART, digits, 20,642 queries: median L2 0.518, 0.933 (which is shown probabilities)", "queries"),
}

# What attacks without being an Attack: it is made once for many inputs, or asks two models, or follows nothing.
OTHERS = {
    "crafted.AdversarialPatch": _beside(
        "ART, MNIST, 60 passes over 64 digits, an eighth of the picture: others read as the class aimed at, put on by "
        "ours 0.107, 0.074, by ART 0.089, 0.051; cells shuffled 0.022, 0.025",
        "crafted_peers",
    ),
    'crafted.AdversarialPatch(on="object")': _beside(
        "RP2 of Eykholt et al. written a second time, and ART, 160 rendered signs, 120 passes, 15 % of a sign covered, "
        "put on by Pillow, means of three seeds: others read as the class aimed at, in inks 0.266, 0.260, 0.140, any "
        "colors 0.368, 0.358, 0.167, cells shuffled 0.012, 0.018; read wrongly, RP2 alone, in inks 0.737, 0.735, any "
        "colors 0.808, 0.818, shuffled 0.708, 0.776; its poses and light are those of SciPy and NumPy "
        "(tests/attacks/test_crafted.py), and each cell is nearly the best ink for its place",
        "sticker_peers",
    ),
    "corruptions": Evidence(
        "cross-checked",
        "the published formulas a second time with NumPy, SciPy and Pillow; shot noise by its moments; glass, snow, "
        "frost and JPEG by what they do",
        "pytest tests/data/test_corruptions.py",
    ),
    "crafted.UniversalPerturbation": _beside(
        "ART with DeepFool, digits, Linf 0.1, made on 100: right 0.950 before, 0.869, 0.905 after; asked 1,164, 12,080 "
        "times",
        "crafted_peers",
    ),
    "spatial": _beside(
        "Foolbox, 300 digits, turns of 20 degrees: the same pictures (1e-6), broken 147, 147; shifts of 0.4 pixels: "
        "101, 101, the same samples; both at once, along other axes: 278, 278",
        "spatial_peers",
    ),
    "Surrogate": _beside(
        "ART's Copycat, digits, 100 questions: agrees with the target on 0.772, 0.773; augmented to 6,400 on 0.891",
        "transfer_peers",
    ),
    "transfer": _beside(
        "ART's Copycat, digits, one step of 0.15 on stand-ins of 100 questions: broken 0.381, 0.385; of 6,400 0.440",
        "transfer_peers",
    ),
}
