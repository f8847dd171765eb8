"""The data set formats that are installed."""

from __future__ import annotations

import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from anydet.data.dataset.protocols import ObjectModelFormat
from anydet.data.opening import DeferredFormat
from anydet.dataclass import dataclass
from anydet.errors import AnydetError, AnydetWarning, PluginError
from anydet.plugins.calls import PluginCalls
from anydet.plugins.manager import Plugins

if TYPE_CHECKING:
    from anydet.data.dataset.protocols import Dataset, DatasetFormat
    from anydet.scanner import Scanner


@dataclass(frozen=True, slots=True)
class GuardedFormat(DeferredFormat):
    """A format of a plugin: where it fails to look at a path, the others still do.

    Attributes:
        calls: its name, for what it raises.
    """

    calls: PluginCalls

    def matching(self, path: Path) -> DatasetFormat | None:
        """As for all formats; one that fails is left out with a warning."""
        try:
            known = self.load()
            with self.calls.to("matches"):
                matches = known.matches(path)
            if not isinstance(matches, bool):
                raise self.calls.error(f"gave {type(matches).__name__} in matches, not True or False")
        except AnydetError as exc:
            if self.calls.strict:
                raise
            warnings.warn(f"{exc.problem}; it is left out", AnydetWarning, stacklevel=2)
            return None
        return known if matches else None

    def open(
        self,
        known: DatasetFormat,
        path: Path,
        split: str | None,
        images: Path | None,
        scanner: Scanner | None,
    ) -> Dataset:
        """As for all formats; what it raises names the format."""
        with self.calls.to("open"):
            dataset = DeferredFormat.open(self, known, path, split, images, scanner)
            if not isinstance(getattr(dataset, "keys", None), tuple):
                raise self.calls.error(f"gave {type(dataset).__name__} in open, not a Dataset")
        return dataset


def installed_formats(plugins: Plugins) -> list[DeferredFormat]:
    """All registered formats; each is imported when its turn comes."""
    return [_format(plugins, name) for name in plugins.specs("datasets")]


def _format(plugins: Plugins, name: str) -> DeferredFormat:
    load = partial(plugins.load, "datasets", name)
    if plugins.owner("datasets", name) is None:
        return DeferredFormat(name, load)
    return GuardedFormat(name, load, PluginCalls("datasets", name, plugins))


def object_model_format(plugins: Plugins) -> ObjectModelFormat:
    """The first installed format that reads object models.

    Raises:
        PluginError: none of them does.
    """
    for listed in installed_formats(plugins):
        try:
            known = listed.load()
        except PluginError as exc:
            warnings.warn(f"{exc.problem}; it is left out", AnydetWarning, stacklevel=2)
            continue
        if isinstance(known, ObjectModelFormat):
            return known
    raise PluginError("no installed data set format reads object models", fix="pip install anydet-bop")
