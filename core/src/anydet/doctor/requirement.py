"""``Requirement``: what a package's metadata asks for."""

from __future__ import annotations

import re
from dataclasses import dataclass

IMPORT_NAMES = {"pillow": "PIL", "pyyaml": "yaml", "mlflow-skinny": "mlflow"}
"""Distribution, lower case, -> what is imported, where the two differ by more than a dash."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One line of a package's metadata, as far as this project writes them.

    Attributes:
        name: of the distribution.
        ranges: (operator, version), all of which hold.
        extra: the extra that asks for it, "" for a dependency proper.
    """

    name: str
    ranges: tuple[tuple[str, str], ...] = ()
    extra: str = ""

    @classmethod
    def parse(cls, text: str) -> Requirement:
        """``pyarrow>=16; extra == 'parquet'``."""
        wanted, _, marker = text.partition(";")
        name = re.match(r"[\w.-]+", wanted.strip())
        extra = re.search(r"extra\s*==\s*['\"]([\w-]+)['\"]", marker)
        ranges = re.findall(r"(>=|<=|==|!=|<|>)\s*([\w.+]+)", wanted)
        return cls(name.group() if name else wanted, tuple(ranges), extra.group(1) if extra else "")

    @property
    def module(self) -> str:
        """What Python imports."""
        return IMPORT_NAMES.get(self.name.lower(), self.name.replace("-", "_"))

    @property
    def purpose(self) -> str:
        """Who asks for it."""
        return f"extra {self.extra}" if self.extra else "required"

    def allows(self, found: str) -> bool:
        """Whether a version lies in all ranges, compared by its release numbers."""
        return all(_holds(_release(found), operator, _release(bound)) for operator, bound in self.ranges)


def _release(text: str) -> tuple[int, ...]:
    """(2, 4) of ``2.4.0+cpu``: trailing zeros mean nothing."""
    numbers = re.match(r"\d+(\.\d+)*", text)
    parts = [int(part) for part in numbers.group().split(".")] if numbers else []
    while parts and parts[-1] == 0:
        parts.pop()
    return tuple(parts)


def _holds(found: tuple[int, ...], operator: str, bound: tuple[int, ...]) -> bool:
    return {
        ">=": found >= bound,
        "<=": found <= bound,
        "==": found == bound,
        "!=": found != bound,
        ">": found > bound,
        "<": found < bound,
    }[operator]
