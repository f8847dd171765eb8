"""Optimizer, learning-rate schedule, weight average, early stopping."""
