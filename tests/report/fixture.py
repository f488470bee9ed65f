"""Runs written by hand from scikit-learn's digits: what a real audit leaves, without one."""

import dataclasses
import json
import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from holdfast.evaluation import summary as records
from holdfast.evaluation.document import to_json
from holdfast.evaluation.statistics import rate
from holdfast.evaluation.summary import Summary

ALL = "all samples that are not invalid"
LITERAL = "linf:1/8"
COUNTS = {"apgd-ce": 61, "apgd-t": 14, "square": 3}
CONFIGS = {
    "apgd-ce": {"name": "Apgd", "steps": 100, "restarts": 1, "loss": "ce"},
    "apgd-t": {"name": "Apgd", "steps": 100, "restarts": 1, "loss": "targeted-dlr"},
    "square": {"name": "Square", "queries": 5000},
}


def digits(n=120):
    from sklearn.datasets import load_digits

    found = load_digits()
    return (found.images[:n, None] / 16).astype(np.float32), found.target[:n].astype(np.int64)


def rows(n=120):
    """One row for each sample under the one threat: 7 wrong, 78 broken, the rest not broken; and the changed images."""
    x, y = digits(n)
    draw = np.random.default_rng(0)
    kinds = np.array(["wrong"] * 7 + ["broken"] * 78 + ["unbroken"] * (n - 85))
    draw.shuffle(kinds)
    by = iter([name for name, count in COUNTS.items() for _ in range(count)])
    changed = np.clip(x + draw.choice([-0.125, 0, 0.125], x.shape), 0, 1).astype(np.float32)
    table = []
    for i in range(n):
        broken, delta = kinds[i] == "broken", (changed[i] - x[i]).astype(np.float64)
        other = int((y[i] + draw.integers(1, 10)) % 10)
        table.append(
            {
                "sample": 3 * i,
                "label": int(y[i]),
                "predicted": other if kinds[i] == "wrong" else int(y[i]),
                "threat": LITERAL,
                "status": str(kinds[i]),
                "broken_by": next(by) if broken else None,
                "adversarial_label": other if broken else None,
                "margin": float(draw.normal()),
                "linf": float(np.abs(delta).max()) if broken else None,
                "l2": float(np.sqrt((delta**2).sum())) if broken else None,
                "l1": float(np.abs(delta).sum()) if broken else None,
                "l0": float((delta != 0).sum()) if broken else None,
                "queries": int(draw.integers(8, 900)),
                "gradients": int(draw.integers(8, 200)),
                "eight_bit": bool(draw.random() < 0.9) if broken else None,
                "psnr": 19.2 if broken else None,
                "ssim": 0.83 if broken else None,
                "confidence": float(draw.uniform(0.6, 1)),
                "adversarial_confidence": float(draw.uniform(0.4, 1)) if broken else None,
                "group": None,
            }
        )
    return x, changed, table


def threat(table, names):
    """What the rows say, as the evaluation would count it."""
    n, held = len(table), sum(row["status"] == "unbroken" for row in table)
    right = sum(row["status"] != "wrong" for row in table)
    broken = [row for row in table if row["status"] == "broken"]
    per_class, flows = [], {}
    for label in range(10):
        mine = [row for row in table if row["label"] == label]
        per_class.append(
            records.ClassFacts(
                label=label,
                name=names[label],
                clean=rate(sum(r["status"] != "wrong" for r in mine), len(mine), "samples of the class"),
                robust=rate(sum(r["status"] == "unbroken" for r in mine), len(mine), "samples of the class"),
            )
        )
    for row in broken:
        flows[row["label"], row["adversarial_label"]] = flows.get((row["label"], row["adversarial_label"]), 0) + 1
    left, attacks = right, []
    for stage, (name, count) in enumerate(COUNTS.items()):
        attacks.append(
            records.AttackFacts(
                name=name,
                config=CONFIGS[name],
                stage=stage,
                attempted=left,
                broken=count,
                seconds=1.7 * (stage + 1),
                queries_median=14.0 + 40 * stage,
                gradients_median=None if name == "square" else 13.0,
                forwards=9000,
                zero_gradients=12,
                nonfinite_gradients=0,
                gradients=8000,
            )
        )
        left -= count
    spread = {
        norm: records.Spread(
            min=min(r[norm] for r in broken),
            median=float(np.median([r[norm] for r in broken])),
            max=max(r[norm] for r in broken),
            n=len(broken),
        )
        for norm in records.NORMS
    }
    shares = [right, 103, 94, 77, 52, 40, held]
    curve = tuple(records.CurvePoint(radius=i / 48, rate=rate(k, n, ALL)) for i, k in enumerate(shares))
    return records.ThreatFacts(
        literal=LITERAL,
        words="any pixel may move by at most 1/8",
        nist="NISTAML.022 Evasion",
        atlas="AML.T0015, AML.T0043.000",
        knowledge="gradients",
        queries=None,
        empirical_robust_accuracy=rate(held, n, ALL),
        success_rate=rate(len(broken), right, "samples that were right before the attack"),
        attacks=tuple(attacks),
        distances=spread,
        curve=curve,
        per_class=tuple(per_class),
        confusions=tuple(_confusion(a, b, c) for (a, b), c in flows.items()),
        eight_bit=rate(70, len(broken), "broken samples"),
        psnr=records.Spread(min=18.1, median=19.2, max=21, n=len(broken)),
        ssim=records.Spread(min=0.71, median=0.83, max=0.9, n=len(broken)),
        loss=records.Loss(clean=0.09, adversarial=1.84, n=n),
        control=rate(6, right, "samples that were right before the attack"),
        statuses={"wrong": 7, "broken": 78, "unbroken": held},
    )


def _confusion(source, into, count):
    return records.Confusion(source=source, into=into, count=count)


def summary(table=None, **changes) -> Summary:
    """A complete summary of the digits run; `changes` replace fields."""
    table = rows()[2] if table is None else table
    names = tuple(map(str, range(10)))
    facts = threat(table, names)
    n, right, held = len(table), sum(r["status"] != "wrong" for r in table), facts.empirical_robust_accuracy.k
    worst = min(facts.per_class, key=lambda c: c.robust.low)
    examples = [row["sample"] for row in table if row["status"] == "broken"][:6]
    found = Summary(
        holdfast="0.1.0",
        complete=True,
        stopped="",
        verdict=records.Verdict(
            text=f"digits-mlp withstands at most {100 * held / n:.1f} % of 120 digits when any pixel may move by 1/8.",
            state="measured",
        ),
        rates=records.Rates(
            clean_accuracy=rate(right, n, ALL), empirical_robust_accuracy=facts.empirical_robust_accuracy
        ),
        model=records.ModelFacts(
            name="digits-mlp",
            fingerprint="7c1e5f0a9b2d4c63",
            adapter="torch",
            classes=10,
            class_names=names,
            parameters="aa55",
            notes=("softmax cut open",),
            stages=(),
        ),
        data=records.DataFacts(
            name="digits",
            split="test",
            n=n,
            total=360,
            limited=True,
            seed=0,
            digest="90ab12cd34ef5678",
            shape=(1, 8, 8),
            bounds=(0.0, 1.0),
            license="CC BY 4.0",
            kind="image",
        ),
        threats=(facts,),
        transfer=(records.Transfer(model="digits-forest", threat=LITERAL, rate=rate(31, 74, "adversarial inputs")),),
        findings=(
            records.Finding(
                id="f1",
                title="Most samples break within the budget",
                text=f"{len(table) - held - 7} of {right} samples that were right fall to a change of at most 1/8 "
                "a pixel; the median one takes 14 queries.",
                rate=facts.success_rate,
                threat=LITERAL,
                samples=tuple(examples[:3]),
                next="holdfast harden digits-mlp digits --threat linf:1/8",
            ),
            records.Finding(
                id="f2",
                title=f"Class {worst.name} is the weakest",
                text="Its interval lies lowest of the ten classes.",
                rate=worst.robust,
                threat=LITERAL,
                samples=tuple(examples[3:5]),
                next="holdfast show runs/digits --where label=3",
            ),
        ),
        masking=records.Masking(
            state="suspect",
            reasons=("9 of 30 samples do not follow their gradient",),
            samples=30,
            checks=(
                records.MaskingCheck(
                    name="determinism",
                    threat="",
                    state="passed",
                    text="0 of 30 samples get another answer in a second pass; up to 2 are within chance",
                    rate=rate(0, 30, "samples of the battery"),
                    allowed=2,
                    source="Athalye et al., ICML 2018",
                ),
                records.MaskingCheck(
                    name="slope",
                    threat="",
                    state="suspect",
                    text="9 of 30 samples do not follow their gradient; up to 4 are within chance",
                    rate=rate(9, 30, "samples of the battery"),
                    allowed=4,
                    source="Pintor et al., NeurIPS 2022",
                ),
                records.MaskingCheck(
                    name="larger", threat=LITERAL, state="not_applicable", text="the threat has no radius"
                ),
            ),
            forwards=4200,
            seconds=0.8,
        ),
        coverage=records.Coverage(
            statuses={"wrong": 7, "broken": 78, "unbroken": held},
            errors=(),
            not_tested=(
                "Attacks adapted by a person to this model.",
                "Changes other than linf:1/8: rotations, patches, other norms.",
                "Gradient masking: the checks of masking did not run.",
            ),
        ),
        limits=("An empirical rate is an upper bound of what holds.", "120 of 360 samples were looked at."),
        cost=records.Cost(seconds=10.2, queries=61234, gradients=21034, forwards=63000, checks=240),
        provenance=records.Provenance(
            command="holdfast audit digits-mlp digits --threat linf:1/8 --suite standard --seed 0 -n 120 "
            "-o runs/digits",
            seed=0,
            suite="standard",
            started="2026-11-21T13:00:00+00:00",
            finished="2026-11-21T13:00:10+00:00",
            python="3.12.1",
            torch="2.13.0",
            numpy="2.4.1",
            platform="Linux x86_64",
            threads=2,
            device="cpu",
            precision="float32",
        ),
    )
    return dataclasses.replace(found, **changes)


def write(folder: pathlib.Path, found: Summary | None = None, table=None, pictures=True) -> pathlib.Path:
    """A run folder with that summary (identity parts of a real run are left out: a report does not read them)."""
    x, changed, own = rows()
    table = own if table is None else table
    found = summary(table) if found is None else found
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps({}))
    (folder / "summary.json").write_text(to_json(found))
    pq.write_table(pa.Table.from_pylist(table), folder / "samples.parquet")
    if pictures:
        broken = [i for i, row in enumerate(table) if row["status"] == "broken"]
        chosen = broken[:14] + [i for i, row in enumerate(table) if row["status"] == "unbroken"][:6]
        np.savez(
            folder / "examples.npz",
            sample=np.array([table[i]["sample"] for i in chosen]),
            threat=np.array([table[i]["threat"] for i in chosen]),
            kind=np.array([table[i]["status"] for i in chosen]),
            clean=x[chosen],
            adversarial=changed[chosen],
        )
    return folder
