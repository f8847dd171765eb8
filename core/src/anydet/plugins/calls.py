"""Calls into plugin code: whatever it raises names the plugin."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from anydet.dataclass import dataclass
from anydet.errors import MEMORY_FIX, AnydetError, PluginError
from anydet.plugins.manager import described, kept_surroundings, noun
from anydet.text import quoted

if TYPE_CHECKING:
    from anydet.plugins.manager import Plugins


@dataclass(frozen=True, slots=True)
class PluginCalls:
    """Calls of something registered.

    Attributes:
        kind: a key of ``KINDS``.
        name: registered name.
        plugins: that have it, which know its package; where they are strict, foreign exceptions pass, with
            their traceback.
    """

    kind: str
    name: str
    plugins: Plugins | None = None

    @property
    def strict(self) -> bool:
        """Whether what a plugin raises is raised as it is."""
        return self.plugins is not None and self.plugins.strict

    @contextmanager
    def to(self, method: str, image: str | None = None) -> Iterator[None]:
        """Around a call: an exception that is no ``AnydetError`` becomes a ``PluginError``."""
        try:
            with kept_surroundings():
                yield
        except (AnydetError, KeyboardInterrupt):
            raise
        except MemoryError as exc:
            where = "" if image is None else f" on image {quoted(image)}"
            error = self.error(f"ran out of memory in {method}{where}")
            raise PluginError(error.problem, fix=MEMORY_FIX) from exc
        except BaseException as exc:  # foreign code: SystemExit and the like too
            if self.strict:
                raise
            where = "" if image is None else f" on image {image!r}"
            text = " ".join(described(exc).split())
            raise self.error(f"failed in {method}{where}: {text}", strict_helps=True) from exc

    def error(self, problem: str, *, strict_helps: bool = False) -> PluginError:
        """What went wrong, after kind, name and package, and how to find out more."""
        group = "adapters" if self.kind == "adapters" else "plugins"
        fixes = [f"run 'anydet {group} check {self.name}'"]
        if strict_helps:
            fixes.append("ANYDET_STRICT=1 shows the traceback")
        owner = self.plugins.owner(self.kind, self.name) if self.plugins else None
        known = owner is not None and owner.distribution != "?"
        package = f" of the package {owner.distribution} {owner.version}" if owner and known else ""
        return PluginError(f"{noun(self.kind)} {self.name!r}{package} {problem}", fix="; ".join(fixes))
