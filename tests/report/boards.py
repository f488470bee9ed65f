"""A leaderboard by hand: two threats, three models, claims, history and best known results."""

from holdfast.evaluation.board import Board, Known, LeftOut, Past, Ranking, Row
from holdfast.evaluation.claims import Verified
from holdfast.evaluation.statistics import rate


def row(model, best, worst, held, clean, threats, **more):
    return Row(
        run=f"runs/{model}",
        model=model,
        fingerprint=model,
        best=best,
        worst=worst,
        clean=rate(clean, 60, "samples"),
        robust=rate(held, 60, "samples"),
        threats={threat: rate(count, 60, "samples") for threat, count in threats.items()},
        total=200,
        **{
            "state": "measured",
            "seconds": 3.0,
            "queries": 1000 + held,
            "finished": "2026-01-02T03:04:05+00:00",
            "command": f"holdfast audit {model} digits",
        }
        | more,
    )


def ranking(threats, rows):
    return Ranking(data="digits", threats=threats, suite="pgd", samples=60, tests=len(rows) - 1, rows=tuple(rows))


OLD = Past(
    run="runs/old-a",
    clean=rate(58, 60, "samples"),
    robust=rate(41, 60, "samples"),
    seed=7,
    finished="2025-12-01T00:00:00+00:00",
)
KNOWN = Known(rate=rate(35, 60, "samples"), runs=2, suite="standard", finished="2026-01-05T00:00:00+00:00")
CLAIMS = {
    state: Verified(value=value, state=state, card="README.md")
    for state, value in {"refuted": 0.93, "agrees": 0.6, "lower": 0.1}.items()
}
BOARD = Board(
    rankings=(
        ranking(
            ("l2:1/2", "linf:1/10"),
            [
                row("alpha", 1, 1, 40, 58, {"l2:1/2": 45, "linf:1/10": 41}, history=(OLD,), known=KNOWN),
                row("beta", 2, 3, 20, 50, {"l2:1/2": 25, "linf:1/10": 21}),
                row("gamma", 2, 3, 18, 55, {"l2:1/2": 30, "linf:1/10": 19}, state="doubtful"),
            ],
        ),
    ),
    under=(
        ranking(
            ("linf:1/10",),
            [
                row("alpha", 1, 1, 41, 58, {}, claimed=CLAIMS["refuted"], claimed_clean=CLAIMS["agrees"]),
                row("beta", 2, 3, 21, 50, {}, claimed=CLAIMS["agrees"]),
                row("gamma", 2, 3, 19, 55, {}, state="doubtful", claimed=CLAIMS["lower"]),
            ],
        ),
        ranking(("l2:1/2",), [row("alpha", 1, 1, 45, 58, {}), row("gamma", 2, 2, 30, 55, {})]),
    ),
    left_out=(LeftOut(run="runs/part", why="HF413 not complete"),),
)
