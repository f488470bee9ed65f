"""Exit codes, a public enum: scripts may rely on them."""

import enum


class ExitCode(enum.IntEnum):
    """What the process tells its caller."""

    PASSED = 0
    FAILED = 1
    USAGE = 2
    INCOMPLETE = 3
    UNTRUSTWORTHY = 4
    EMPTY = 5
    INTERRUPTED = 130


MEANING = {
    ExitCode.PASSED: "the work was done (and the policy passed, where there is one)",
    ExitCode.FAILED: "a policy or a check failed",
    ExitCode.USAGE: "the command line or a setting could not be understood",
    ExitCode.INCOMPLETE: "the work could not be done or is incomplete: data or model refused, crash, disk full",
    ExitCode.UNTRUSTWORTHY: "there is a result, and it should not be trusted yet: see its findings",
    ExitCode.EMPTY: "nothing was evaluated: no eligible sample",
    ExitCode.INTERRUPTED: "interrupted; the same command continues",
}


def of_verdict(state: str, interrupted: bool = False) -> ExitCode:
    """The code of a run whose verdict is in `state`: measured, partial, empty or doubtful."""
    if interrupted:
        return ExitCode.INTERRUPTED
    return {"measured": ExitCode.PASSED, "empty": ExitCode.EMPTY, "doubtful": ExitCode.UNTRUSTWORTHY}.get(
        state, ExitCode.INCOMPLETE
    )
