"""Learning from another model: an instance that bites; none of them can be switched off, for they see no label."""

from cases.regularization import TINY, Case
from holdfast.defenses.distillation.defensive_distillation import DefensiveDistillation
from holdfast.defenses.distillation.robust_distillation import RobustDistillation
from holdfast.threats.threats import Linf

DISTILLATION = [
    Case(DefensiveDistillation(of=TINY), None, "the student sees its teacher's labels"),
    Case(RobustDistillation(teacher=TINY, of=TINY, threat=Linf(0.1), steps=2), None, "no label is used"),
]
