"""Synthetic scenes of textured solids whose 6-DoF poses are known."""
