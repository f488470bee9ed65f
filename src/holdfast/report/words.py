"""The fixed sentences and number formats of every view, in one place."""

import dataclasses
import math

from holdfast.evaluation.statistics import Rate
from holdfast.evaluation.summary import ClassFacts, MaskingCheck, Summary, ThreatFacts, subset_seed
from holdfast.models.cuts import decisions
from holdfast.report.visible import short

NAME = 48
NOTHING = "not measurable (no sample)"
MASKING = (
    "Do the attacks see where to go? A model whose gradient is hidden looks robust without being so. Each check "
    "counts, on a few samples, a sign that a model without masking hardly shows; more of it than chance allows is "
    "suspect. No sign is no proof: the checks know the published kinds of masking."
)
CHECKS = {
    "determinism": "the same input, the same answer",
    "company": "an answer does not depend on the batch",
    "saturation": "scores leave a gradient",
    "gradients": "gradients are there",
    "slope": "a short step brings what the gradient promised",
    "direction": "the gradient beats random directions",
    "doubling": "twice the steps and restarts bring little",
    "larger": "a larger radius never helps the defender",
    "reach": "the gradient leads to another class in the box",
    "black_box": "no attack without gradients finds more",
    "transfer": "inputs made on a substitute find no more",
    "noise": "plain noise finds no more",
}
STATES = {
    "passed": ("●", "no sign"),
    "suspect": ("!", "suspect"),
    "not_applicable": ("–", "not applicable"),
    "not_run": ("◌", "not run"),
}
UPPER = (
    "“Not broken” is an upper bound: it counts the samples that these attacks failed on. A stronger attack can only "
    "lower it. The interval describes sampling: how far the rate may move with other samples of the same kind."
)
EMPTY = "Nothing broke within this budget; that does not show that nothing can."
UNREMARKED = "Too few samples broke for a finding; that does not show that more cannot."
UNLISTED = "The run does not say what it left untested."
RECIPE = (
    "Chosen by a fixed rule, never by hand. Of the broken samples of each threat: the smallest, the median and the "
    "largest change, the smallest of each attack and of each class; then up to twelve that held, those nearest to "
    "breaking first."
)
CHANGES = "Of a row that broke, what changed is told in words, the value before and the value after."
HIDDEN = (
    "The rows of these data stay out of reports. The same audit with --show-rows says what changed in those that broke "
    "(in Python: dataclasses.replace(data, shared=True))."
)
CURVE = (
    "Each point counts the samples that no change of at most this size broke. Below the radius of the threat only the "
    "first attack of the plan searched, and only the samples that broke: a looser upper bound there."
)
TOGETHER = (
    "Queries and gradients are the median over the samples in the row; they are what all searches under that threat "
    "took until one broke the sample. Cheapest: the samples that fell in no fewer queries under another threat. What a "
    "smaller radius broke counts under every larger one."
)
NAMES = {
    "linf": "L∞ (largest change of one value)",
    "l2": "L2 (Euclidean length)",
    "l1": "L1 (sum of changes)",
    "l0": "L0 (number of changed values)",
    "cost": "cost (what the changes cost an attacker)",
}
SYMBOLS = {
    "broken": "✕",
    "unbroken": "●",
    "wrong": "▲",
    "undecided": "◌",
    "error": "!",
    "certified": "■",
    "rejected": "⊘",
    "invalid": "–",
}
STATUS_WORDS = {
    "wrong": "already misclassified before any attack",
    "broken": "an attack found an allowed change that alters the decision",
    "unbroken": "no attack of this run found one (shown as “not broken”)",
    "undecided": "the run was stopped before the plan was finished for it",
    "error": "could not be judged; counted as not broken",
    "certified": "a proof says that no allowed change alters the decision",
    "rejected": "the strongest input found is of the wrong class, and a detector refuses it; counted as not broken",
    "invalid": "not an input of the declared space; outside every rate",
}
GLOSSARY = (
    ("clean accuracy", "Samples classified correctly (and accepted) as they are.", "all samples that are not invalid"),
    (
        "empirical robust accuracy, “not broken”",
        "Samples that are right and that no attack of this run broke: the worst case over the attacks and over the "
        "threats, sample by sample. An upper bound of the true robust accuracy.",
        "all samples that are not invalid",
    ),
    (
        "clean, rejected",
        "Samples that a detector or validator in front of the model rejects as they are: the benign reject rate.",
        "all samples that are not invalid",
    ),
    ("success rate", "Samples that an attack broke.", "samples that were right before the attack"),
    (
        "evasion rate",
        "Where one direction alone is audited, the success rate: samples of the classes to hide that an attack carried "
        "into the wanted class.",
        "samples of those classes that were right before the attack",
    ),
    ("tried / broke", "Samples an attack was run on, and those it broke that earlier attacks had not.", ""),
    (
        "interval",
        "The exact (Clopper-Pearson) 95 % interval of the share, or, where samples come in groups, one from a cluster "
        "bootstrap over the groups; it covers the sampling of the inputs, not the strength of the attacks.",
        "",
    ),
    (
        "queries, gradients",
        "Inputs whose output, and whose gradient, the attack asked for; the median over the samples that it broke.",
        "broken samples",
    ),
    (
        "survives 8 bits",
        "Broken samples whose changed input still alters the decision after it is stored with 8 bits a value.",
        "broken samples",
    ),
    (
        "control",
        "Samples that plain random noise of the same size breaks.",
        "samples that were right before the attack",
    ),
    (
        "transfer",
        "Adversarial inputs made against this model that a second model gets wrong too.",
        "adversarial inputs whose original the second model gets right",
    ),
    (
        "PSNR, SSIM",
        "How alike the original and the changed image are, in decibels and between −1 and 1.",
        "broken samples",
    ),
    (
        "zero or non-finite gradients",
        "Gradients that were exactly zero, or held a NaN or an infinity: a sign that gradient attacks may be blind.",
        "gradients asked for",
    ),
)


def percent(share: float) -> str:
    """`50.5 %`, with a space that does not break; 0 and 100 only where it is exactly that."""
    if 0 < share < 0.0005:
        return "<\u00a00.1\u00a0%"
    if 0.9995 <= share < 1:
        return ">\u00a099.9\u00a0%"
    return f"{100 * share:.1f}\u00a0%"


def interval(rate: Rate) -> str:
    """`[43.4, 57.6]`, in percent."""
    return f"[{100 * rate.low:.1f}, {100 * rate.high:.1f}]"


def rate(found: Rate | None) -> str:
    """`50.5 % [43.4, 57.6] (101/200)`, or that there was nothing to measure."""
    return NOTHING if found is None else f"{percent(found.point)} {interval(found)} ({found.k}/{found.n})"


def number(value: float | None) -> str:
    """A number with at most four significant digits; whole ones with separators; a dash for nothing."""
    if value is None:
        return "–"
    if not math.isfinite(value):
        return "∞" if value > 0 else "–"
    if abs(value - round(value)) < 1e-9 or abs(value) >= 1000:
        return f"{round(value):,}".replace(",", "\u202f")
    return f"{value:.3g}"


def times(value: float) -> str:
    """How much a picture is amplified: `1.5`, `32`."""
    return f"{value:.2g}" if value < 10 else f"{value:.0f}"


def seconds(value: float) -> str:
    """`0.42 s`, `12 s`, `3 min 20 s`, `2 h 5 min`."""
    if value < 10:
        return f"{value:.2g}\u00a0s" if value >= 0.01 else "<\u00a00.01\u00a0s"
    whole = round(value)
    if whole < 100:
        return f"{whole}\u00a0s"
    if whole < 6000:
        return f"{whole // 60}\u00a0min {whole % 60}\u00a0s"
    return f"{whole // 3600}\u00a0h {whole % 3600 // 60}\u00a0min"


def size(value: float) -> str:
    """A radius or a distance: `8/255` where it is a whole number of 255ths, else at most three digits."""
    steps = value * 255
    if 0 < value < 1 and abs(steps - round(steps)) < 1e-4:
        return f"{round(steps)}/255"
    return number(value)


def class_name(summary: Summary, label: int | None) -> str:
    """The name of a class, its number where it has none."""
    if label is None:
        return "–"
    names = summary.model.class_names
    return short(names[label], NAME) if 0 <= label < len(names) else str(label)


def headline(summary: Summary) -> list[tuple[str, Rate | None]]:
    """What stands beside the headline, with its name: clean accuracy, rejected while clean, not broken."""
    rates = summary.rates
    refused = [("clean, rejected", rates.benign_reject_rate)] if rates.benign_reject_rate is not None else []
    return [
        ("clean accuracy", rates.clean_accuracy),
        *refused,
        ("not broken, at most", rates.empirical_robust_accuracy),
    ]


def no_findings(summary: Summary) -> str:
    """What stands where no rule has found anything."""
    return UNREMARKED if summary.coverage.statuses.get("broken", 0) else EMPTY


def scale(summary: Summary) -> str:
    """`200 of 10,000 samples (seeded random subset)` or `360 samples`."""
    data = summary.data
    if data.n == data.total and not data.limited:
        return f"{number(data.n)} samples"
    how = f", a simple random subset with seed {subset_seed(data)}" if data.limited else ""
    return f"{number(data.n)} of {number(data.total)} samples{how}"


def decided(summary: Summary) -> str:
    """Which class is decided at which threshold, as a sentence; empty where the highest score decides."""
    return "".join(decisions(summary.model.notes)[:1])


def stopped(summary: Summary) -> str:
    """Why a partial run is partial, and what to make of its numbers."""
    why = summary.stopped or "work is left"
    return (
        f"Stopped: {why}. The same command continues it. Samples not yet tried count as not broken, so rates may fall."
    )


def replayed(summary: Summary) -> str:
    """What of an earlier run was tried first, as a sentence; empty where nothing was."""
    found = summary.replay
    if found is None:
        return ""
    source = f"{short(found.run, 60)} (inputs {found.inputs[:8]})"
    told = f"Replay of {source}: {found.tried} of {summary.data.n} samples had an input to try first"
    if not found.stored:
        return f"{told}; that run holds none for these samples."
    beyond = f" ({found.stored - found.tried} more do not fit these threats)" if found.stored > found.tried else ""
    return f"{told}{beyond}, {found.broken} broke."


def hardest(summary: Summary) -> str:
    """What became of the samples that a baseline held most narrowly, as a sentence; empty where none were chosen."""
    found = summary.hardest
    if found is None:
        return ""
    told = dataclasses.replace(found, baseline=short(found.baseline, 60))
    return f"Hardest samples of the baseline: {told}. They were chosen by that, so their share is no rate of the model."


def masking(summary: Summary) -> str:
    """`masking: no sign of masking`, `masking: suspect: reasons`, or `masking: not checked`.

    Where some checks do not apply, a clean verdict says how many it rests on.
    """
    found = summary.masking
    if found is None:
        return "masking: not checked"
    told = ": ".join([found.state, *(["; ".join(found.reasons)] if found.reasons else [])])
    names = {check.name for check in found.checks}
    applied = {check.name for check in found.checks if check.state in ("passed", "suspect")}
    few = found.state == "no sign of masking" and applied != names
    return f"masking: {told} ({len(applied)} of {len(names)} checks apply)" if few else f"masking: {told}"


def checks(summary: Summary) -> list[MaskingCheck]:
    """The checks of the battery, what is suspect first, what does not apply last."""
    order = list(STATES)
    found = () if summary.masking is None else summary.masking.checks
    worst = {"suspect": -1}
    return sorted(found, key=lambda check: worst.get(check.state, order.index(check.state)))


def masking_cost(summary: Summary) -> str:
    """What the battery looked at and spent, as a sentence."""
    found = summary.masking
    if found is None or not found.samples:
        return "The battery did not run."
    return (
        f"{counted(found.samples, 'sample')}, {seconds(found.seconds)}, {number(found.forwards)} of the run's "
        f"{number(summary.cost.forwards)} rows through the model."
    )


def sentences(text: str) -> tuple[str, str]:
    """The first sentence of a verdict, and the rest."""
    first, dot, rest = text.partition(". ")
    return (first + ".", rest) if dot else (text, "")


def cost(summary: Summary) -> str:
    """What the whole run spent, in one sentence, and what of it was remembered in another."""
    spent = summary.cost
    told = (
        f"In all: {seconds(spent.seconds)}, {number(spent.queries)} queries, {number(spent.gradients)} gradients, "
        f"{number(spent.forwards)} rows through the model, {number(spent.checks)} verification passes."
    )
    if not spent.asked + spent.remembered:
        return told
    share = f"{100 * spent.remembered / (spent.asked + spent.remembered):.1f} %"
    return (
        f"{told} Beside the first look, the model was asked about {number(spent.asked)} rows; "
        f"{number(spent.remembered)} ({share}) were known already and not asked again. Budgets count both."
    )


def counted(count: int, one: str) -> str:
    """`1 query`, `3 queries`, `2 gradients`."""
    many = one[:-1] + "ies" if one.endswith("y") else one + "s"
    return f"{number(count)} {one if count == 1 else many}"


def sight(threat: ThreatFacts) -> str:
    """What the attacker sees: of gradients, which not every model shows, only where some were asked for."""
    if threat.knowledge == "gradients" and threat.attacks and not any(a.gradients for a in threat.attacks):
        return "may see gradients, and no attack asked for one"
    return f"sees {threat.knowledge}"


def runnable(text: str) -> bool:
    """Whether a finding's next step is a command or a line of code rather than advice in words."""
    return text.startswith(("holdfast ", "hf.", "run."))


def stages(threat: ThreatFacts) -> list[str]:
    """A name for each attack of a threat; two of one kind are told apart by the parameters in which they differ."""
    told = []
    for attack in threat.attacks:
        kin = [other.config for other in threat.attacks if other.name == attack.name]
        differ = [key for key in attack.config if any(other.get(key) != attack.config[key] for other in kin)]
        told.append(" ".join([attack.name, *(f"{key}={attack.config[key]}" for key in differ)]))
    return told


def success(summary: Summary) -> str:
    """What the success rate is called: of one direction alone it is the evasion rate."""
    return (
        f"evasion rate: {short(summary.data.direction, 80)}"
        if summary.data.direction
        else "success rate of the attacks"
    )


def possible(threat: ThreatFacts) -> str:
    """How many successes in a table are rows that the schema allows, in words; empty where there are none."""
    if threat.valid is None:
        return ""
    k, n = threat.valid.k, threat.valid.n
    rest = "impossible ones are never asked about" if k == n else "the others count as not broken"
    return f"{k} of {n} successes are possible rows; {rest}"


def weakest(threat: ThreatFacts) -> list[ClassFacts]:
    """Classes, weakest first: by the lower end of the interval of what was not broken, then by its upper end."""
    return sorted(threat.per_class, key=lambda c: (c.robust.low, c.robust.high, c.label))


def together(summary: Summary) -> str:
    """What several threats break together, in a sentence; empty for a single threat."""
    found = summary.together
    if found is None or found.broken is None:
        return ""
    parts = [
        f"{one.broken} under {' and '.join(one.threats)}" + " alone" * (len(one.threats) == 1)
        for one in found.combinations[:3]
    ]
    more = sum(one.broken for one in found.combinations[3:])
    parts += [f"{more} under other combinations"] if more else []
    told = (
        f"{found.broken.k} of {found.broken.n} right samples break under at least one of {len(summary.threats)} threats"
    )
    return told + (f": {'; '.join(parts)}" if parts else "")
