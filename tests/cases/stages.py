"""Every stage that needs no fitting, with the inputs it is tested on. A new one is a new row in its family's list."""

from cases.preprocessing import PREPROCESSING

STAGES = [*PREPROCESSING]
