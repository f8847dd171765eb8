"""Continual learning: tasks one after the other, and what of the earlier ones is left."""
