"""The version of the package, and the one home of it."""

from __future__ import annotations

__version__ = "0.1.0"
