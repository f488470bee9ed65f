"""`holdfast harden MODEL DATA`."""


def command() -> int:
    """Later."""
    return 0
