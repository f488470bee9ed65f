"""Attacks on the structure of tree ensembles: searches over boxes in which every tree has one answer."""
