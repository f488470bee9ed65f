"""Learners of networks that read a code of the input: an instance that bites; none of them can be switched off."""

from cases.regularization import TINY, Case
from holdfast.defenses.preprocessing.thermometer import Thermometer

ENCODING = [Case(Thermometer(of=TINY, levels=4), None, "the network reads bits")]
