"""Every learner of the catalog of defenses. A new one is a new row in its family's list."""

from cases.training import TRAINING

LEARNERS = [*TRAINING]
