"""The one sentence of a run. It claims no more than was measured: not broken by these attacks within these budgets."""

from collections.abc import Sequence

from holdfast.evaluation.statistics import Rate
from holdfast.evaluation.summary import Rates, ThreatFacts, Verdict


def verdict(rates: Rates, threats: Sequence[ThreatFacts], stopped: str, doubts: Sequence[str]) -> Verdict:
    """The sentence and its state.

    Args:
        rates: The two headline rates.
        threats: What was tried.
        stopped: Why the run is not complete, empty if it is.
        doubts: Why the numbers should not be trusted yet.
    """
    robust, clean = rates.empirical_robust_accuracy, rates.clean_accuracy
    if robust is None or clean is None:
        return Verdict(text="No sample could be judged; nothing is known about this model.", state="empty")
    if clean.k == 0:
        refused = rates.benign_reject_rate
        fault = "is wrong on" if refused is None or not refused.k else "rejects or is wrong on"
        return Verdict(
            text=f"The model {fault} all {clean.n} samples before any attack, so no attack could show anything.",
            state="empty",
        )
    names = list(dict.fromkeys(a.name for t in threats for a in t.attacks if a.attempted)) or ["none"]
    under = " or ".join(t.literal for t in threats)
    refused = rates.benign_reject_rate
    rejects = "" if refused is None else f", and {percent(refused.point)} % of the clean samples are rejected"
    text = (
        f"{robust.k} of {robust.n} samples ({percent(robust.point)} %, {interval(robust)}) were not broken "
        f"under {under} by these attacks within these budgets ({', '.join(names)}); "
        f"clean accuracy is {percent(clean.point)} %{rejects}. "
        "A stronger attack can only lower this: it is an upper bound, "
        "and the interval is a sampling interval of that bound."
    )
    if stopped:
        return Verdict(
            text=f"Not finished ({stopped}), samples not yet tried count as not broken: {text}", state="partial"
        )
    if doubts:
        return Verdict(text=f"{text} Doubtful: {'; '.join(doubts)}.", state="doubtful")
    return Verdict(text=text, state="measured")


def percent(share: float) -> str:
    """`50.5`; 0 and 100 only where it is exactly that."""
    if 0 < share < 0.0005:
        return "under 0.1"
    if 0.9995 <= share < 1:
        return "over 99.9"
    return f"{100 * share:.1f}"


def interval(rate: Rate) -> str:
    """`95 % interval 43.4 to 57.6 %`, and over how many groups where the samples come in some."""
    over = "" if rate.groups is None else f" over {rate.groups} groups"
    return f"{100 * rate.level:g} % interval {100 * rate.low:.1f} to {100 * rate.high:.1f} %{over}"
