"""Fingerprints of keys and annotations."""

from __future__ import annotations

from hashlib import sha256


class Fingerprint:
    """sha256 over strings, each with its length, so that moving a byte from one to the next shows."""

    def __init__(self) -> None:
        self._hash = sha256()

    def add(self, content: bytes | str | None) -> None:
        """Add one string; ``None`` (no such file) differs from an empty one."""
        # File names need not be UTF-8; Python holds their other bytes as surrogates.
        data = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
        self._hash.update(b"-" if data is None else b"%d:" % len(data))
        self._hash.update(data or b"")

    def __str__(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"
