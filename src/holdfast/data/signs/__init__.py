"""Drawings and scenes of the `road_signs` set: shapes as distances, a bitmap font, backgrounds, light."""
