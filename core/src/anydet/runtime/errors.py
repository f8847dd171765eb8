"""What can go wrong with a model file."""

from __future__ import annotations

from anydet.errors import AnydetError


class ModelError(AnydetError):
    """A model file is missing, broken, does not run here, or is not of the family that the preset names."""
