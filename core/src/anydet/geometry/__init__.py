"""Boxes, masks, rotations and cameras: pure functions on numpy arrays."""
