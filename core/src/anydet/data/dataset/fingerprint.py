"""Fingerprints of what a data set says."""

from __future__ import annotations

from hashlib import sha256


class Fingerprint:
    """sha256 over parts, each with its length, so that moving a byte from one to the next shows."""

    def __init__(self) -> None:
        self._hash = sha256()

    def add(self, part: bytes | str | None) -> None:
        """Add one part; ``None`` (no such file) differs from an empty one."""
        data = part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part
        self._hash.update(b"-" if data is None else b"%d:" % len(data))
        self._hash.update(data or b"")

    def __str__(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"
