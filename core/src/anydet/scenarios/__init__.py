"""Scenarios: declared changes and selections of a data set, on each of which a model is measured."""
