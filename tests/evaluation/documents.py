"""One small document with every section filled."""

from holdfast.evaluation.statistics import rate
from holdfast.evaluation.summary import (
    AttackFacts,
    ClassFacts,
    Confusion,
    Cost,
    Coverage,
    CurvePoint,
    DataFacts,
    Failure,
    Finding,
    Loss,
    ModelFacts,
    Provenance,
    Rates,
    Spread,
    Summary,
    ThreatFacts,
    Transfer,
    Verdict,
)

THREAT = ThreatFacts(
    literal="linf:8/255", words="any pixel may move by at most 8/255", nist="NISTAML.022", atlas="AML.T0015", knowledge="gradients",
    queries=None, empirical_robust_accuracy=rate(3, 5, "samples"), success_rate=rate(1, 4, "right samples"),
    attacks=(AttackFacts(name="pgd", config={"steps": 40}, stage=0, attempted=4, broken=1, seconds=0.5, queries_median=7.0,
                         gradients_median=7.0, forwards=200, zero_gradients=0, nonfinite_gradients=0, gradients=150),),
    distances={"linf": Spread(min=0.03, median=0.03, max=0.03, n=1)}, curve=(CurvePoint(radius=0.0, rate=rate(4, 5, "samples")),
                                                                            CurvePoint(radius=8 / 255, rate=rate(3, 5, "samples"))),
    per_class=(ClassFacts(label=1, name="one", clean=rate(4, 5, "label 1"), robust=rate(3, 5, "label 1")),),
    confusions=(Confusion(source=1, into=2, count=1),), eight_bit=rate(1, 1, "broken samples"), psnr=Spread(min=30, median=30, max=30, n=1),
    ssim=Spread(min=0.9, median=0.9, max=0.9, n=1), loss=Loss(clean=0.1, adversarial=1.5, n=5), control=rate(0, 4, "right samples"),
    statuses={"broken": 1, "unbroken": 3, "wrong": 1})  # fmt: skip

SUMMARY = Summary(
    holdfast="0.1.0", complete=True, stopped="", verdict=Verdict(text="3 of 5 samples were not broken.", state="measured"),
    rates=Rates(clean_accuracy=rate(4, 5, "samples"), empirical_robust_accuracy=rate(3, 5, "samples")),
    model=ModelFacts(name="net", fingerprint="ab", adapter="torch", classes=10, class_names=(), parameters="cd"),
    data=DataFacts(name="digits", split="test", n=5, total=9, limited=True, seed=0, digest="ef", shape=(1, 8, 8), bounds=(0.0, 1.0),
                   license="", kind="image"),
    threats=(THREAT,), transfer=(Transfer(model="other", threat="linf:8/255", rate=rate(1, 1, "broken samples")),),
    findings=(Finding(id="0123", title="Right answers break", text="1 of 4.", rate=rate(1, 4, "right samples"), threat="linf:8/255",
                      samples=(3,), next="train"),),
    coverage=Coverage(statuses={"broken": 1, "unbroken": 3, "wrong": 1}, errors=(Failure(sample=4, reason="ValueError: no"),),
                      not_tested=("poisoned training data",)),
    limits=("An upper bound.",), cost=Cost(seconds=1.0, queries=10, gradients=9, forwards=20, checks=1),
    provenance=Provenance(command="holdfast audit", seed=0, suite="pgd", started="2026-01-01T00:00:00+00:00",
                          finished="2026-01-01T00:00:01+00:00", python="3.12", torch="2", numpy="2", platform="Linux", threads=1,
                          device="cpu", precision="float32"))  # fmt: skip
