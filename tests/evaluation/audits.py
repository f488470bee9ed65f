"""A small audit as most tests want it, and what two equal ones agree on."""

import dataclasses
import json

from evaluation.world import data, model
from holdfast.attacks.evasion.pgd import Pgd
from holdfast.evaluation.audit import audit

FEW = Pgd(steps=4)


def run(out, n=40, threat="linf:0.2", suite=FEW, of=None, **more):
    return audit(of or model()[0], data(n), threat=threat, suite=suite, out=out, **more)


def essence(folder):
    """What two equal runs agree on: the document and the table without times and circumstances."""
    document = json.loads((folder.path / "summary.json").read_text())
    for circumstance in ("seconds", "asked", "remembered"):
        document["cost"].pop(circumstance)
    document["masking"].pop("seconds")
    document.pop("provenance")
    for threat in document["threats"]:
        for attack in threat["attacks"]:
            attack.pop("seconds")
    examples = folder.examples
    arrays = [getattr(examples, f.name).tobytes() for f in dataclasses.fields(examples)] if examples else None
    return document, folder.samples.to_pylist(), arrays


def asked_for(folder, n=40, **more):
    """Rows the model saw during an audit, without what every start costs: the fingerprint and the measured pace."""
    m, net = model()
    net.rows = 0
    found = run(folder, n, of=m, **more)
    return net.rows - (64 + 2 * min(n, 32)), found
