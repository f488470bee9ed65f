"""Every learner of the catalog of defenses. A new one is a new row in its family's list."""

from cases.distillation import DISTILLATION
from cases.encoding import ENCODING
from cases.ensembles import ENSEMBLES
from cases.regularization import REGULARIZATION
from cases.training import TRAINING

HARDENED = [*TRAINING]
"""Those that promise to withstand more than what they harden."""

LEARNERS = [*HARDENED, *REGULARIZATION, *DISTILLATION, *ENSEMBLES, *ENCODING]
