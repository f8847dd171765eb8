"""Synthetic bicycles: parametric drawings of 22 parts whose states can be seen."""
