"""``Dependency``: one package that anydet's metadata requires, for itself or for an extra."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion

IMPORT_NAMES = {
    "pillow": "PIL",
    "pyyaml": "yaml",
    "mlflow-skinny": "mlflow",
    "opencv-python-headless": "cv2",
}
"""Distribution, lower case, -> what is imported, where the two differ by more than a dash."""


@dataclass(frozen=True, slots=True)
class Dependency:
    """A distribution and the versions of it that work.

    Attributes:
        name: of the distribution.
        versions: the declared range.
        extra: the extra that requires it, "" for a dependency proper.
    """

    name: str
    versions: SpecifierSet = field(default_factory=SpecifierSet)
    extra: str = ""

    @property
    def module(self) -> str:
        """What Python imports."""
        return IMPORT_NAMES.get(self.name.lower(), self.name.replace("-", "_"))

    @property
    def purpose(self) -> str:
        """What requires it."""
        return f"extra {self.extra}" if self.extra else "required"

    def allows(self, found: str) -> bool:
        """Whether an installed version is in the range; one that is no version by PEP 440 is not."""
        try:
            # nightly builds of torch are pre-releases, and by default a range has none of these
            return self.versions.contains(found, prereleases=True)
        except InvalidVersion:
            return False


def dependencies(lines: Iterable[str], extras: Iterable[str]) -> Iterator[Dependency]:
    """The dependencies of ``importlib.metadata.requires`` that apply to this Python and platform.

    Args:
        lines: such as ``pyarrow>=16; extra == 'parquet'``.
        extras: names of all extras; a marker can only be evaluated for one of them, it does not name its own.
    """
    choices = ("", *extras)
    for requirement in map(Requirement, lines):
        marker = requirement.marker
        extra = next((name for name in choices if not marker or marker.evaluate({"extra": name})), None)
        if extra is not None:
            yield Dependency(requirement.name, requirement.specifier, extra)
