"""Several models that decide together, as Learners."""
