"""Defenses at training time: a Learner in, a Learner out."""
