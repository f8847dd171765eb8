"""Predictions from one kind of file into another, with a list of what got lost."""
