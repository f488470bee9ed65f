"""`--profile`: the command that a run remembers says it, and without a threat the profile's is taken."""

import types

from holdfast.cli.audit import Request, reproducing
from holdfast.cli.subject import default_threat, remembered
from holdfast.data.dataset import Dataset
from holdfast.threats.profiles.named import profile


def test_a_run_remembers_its_profile():
    words = reproducing(Request(model="m.joblib", data="pima", profile="health", evade="positive:negative"))
    folder = types.SimpleNamespace(summary=types.SimpleNamespace(provenance=types.SimpleNamespace(command=words)))
    assert remembered(folder, "", "", "", "").profile == "health"
    plain = reproducing(Request(model="m.joblib", data="pima"))
    folder.summary.provenance.command = plain
    assert remembered(folder, "", "", "", "").profile == ""


def test_the_threat_of_a_profile_is_the_default():
    data = Dataset([[0.0]], [0], classes=("a", "b"))
    assert default_threat(data, "health") == profile("health").threat
    assert default_threat(data).startswith("linf:")
