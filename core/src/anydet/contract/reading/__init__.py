"""Predictions files of every shape to raw entries and columns."""
