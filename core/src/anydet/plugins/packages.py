"""Names of packages that bring what is not installed."""

from __future__ import annotations

# Only what core's documentation names and cannot be derived from the name itself.
_PACKAGES = {
    ("scenes", "bikes"): "anydet-delftbikes",
    ("scenes", "pose"): "anydet-bop",
    ("evaluators", "presence"): "anydet-delftbikes",
}


def package_of(kind: str, name: str) -> str:
    """The distribution that probably registers a name: plugins are called as what they bring."""
    return _PACKAGES.get((kind, name), f"anydet-{name.replace('_', '-')}")
