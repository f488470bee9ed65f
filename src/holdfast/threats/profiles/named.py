"""Profiles by name."""

import difflib

from holdfast.core.errors import ThreatError
from holdfast.threats.profiles.measured import HEALTH
from holdfast.threats.profiles.money import FRAUD
from holdfast.threats.profiles.network import INTRUSION
from holdfast.threats.profiles.posted import PHISHING, SPAM
from holdfast.threats.profiles.profile import Profile
from holdfast.threats.profiles.programs import MALWARE

PROFILES = {found.name: found for found in (INTRUSION, MALWARE, PHISHING, SPAM, FRAUD, HEALTH)}


def profile(name: str) -> Profile:
    """A profile by its name: intrusion, malware, phishing, spam, fraud, health.

    Raises:
        ThreatError: HF310 for a name that there is not.
    """
    if name not in PROFILES:
        near = difflib.get_close_matches(str(name), PROFILES, 1)
        raise ThreatError(
            "HF310",
            f"There is no profile {name!r}",
            expected=", ".join(PROFILES),
            fix=f"did you mean {near[0]}?" if near else "holdfast list profiles",
        )
    return PROFILES[name]
