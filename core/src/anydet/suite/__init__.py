"""Prediction files of many models under one protocol: the same conditions, the same numbers, a ranking."""
