"""Checks that refuse inputs which no honest source produces."""
