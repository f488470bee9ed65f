"""Detectors: how suspicious is an input?"""
