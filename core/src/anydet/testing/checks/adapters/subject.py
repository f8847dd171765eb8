"""``AdapterSubject``: the adapter under test, how to build it, and what to show it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anydet.data.record.record import Record
from anydet.plugins.adapter import Adapter, TrainResult
from anydet.plugins.manager import Plugins
from anydet.plugins.options import load_schema
from anydet.plugins.specs import AdapterSpec
from anydet.testing.comparison import Tolerance
from anydet.testing.images import default_images, in_memory
from anydet.testing.kit import NotApplicable, Subject
from anydet.types import AdapterSettings, ByteImage, ImagePredictions

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True)
class AdapterSubject(Subject):
    """An adapter under test. Checks build as many instances as they need.

    Attributes:
        spec: what the plugin registered.
        build: gives a new adapter.
        settings: what it is built with.
        images: (H, W, 3) uint8 RGB each; give those in which the adapter finds something.
        train: trains an adapter on a tiny data set of the author's, writing into the folder; ``None`` leaves
            training unchecked.
        tolerance: what counts as the same result.
    """

    spec: AdapterSpec
    build: Callable[[AdapterSettings], Adapter]
    settings: AdapterSettings
    images: tuple[ByteImage, ...] = field(default_factory=default_images)
    train: Callable[[Adapter, Path], TrainResult] | None = None
    tolerance: Tolerance = field(default_factory=Tolerance)

    @classmethod
    def installed(
        cls, plugins: Plugins, name: str, folder: Path, options: Mapping[str, Any] | None = None
    ) -> Self:
        """The installed adapter called ``name``, in chunks of two.

        With the options that its schema has under ``x-check``, with which the checks are quick, and its own
        defaults for the others.
        """
        spec = plugins.spec("adapters", name)
        quick = load_schema(spec.options_schema).get("x-check", {})
        settings = plugins.settings(
            name, options={**quick, **(options or {})}, batch_size=2, score_floor=0.001
        )
        return cls(spec, partial(plugins.adapter, name), settings, folder=folder)

    def set_up(self) -> None:
        """Build it once, and close it."""
        self.adapter().close()

    def adapter(self, **changes: Any) -> Adapter:
        """A new adapter, with some settings changed."""
        return self.build(replace(self.settings, **changes))

    def records(self) -> list[Record]:
        """The images as records in memory; new ones at each call."""
        return in_memory(self.images)

    def predict(self, records: Sequence[Record], **changes: Any) -> list[ImagePredictions]:
        """Predictions of a new adapter for one chunk of records."""
        with self.adapter(**changes) as adapter:
            return list(adapter.predict(records))

    def require(self, capability: str) -> None:
        """Leave the check unless the adapter declares a capability."""
        if capability not in self.spec.capabilities:
            raise NotApplicable(f"it does not declare the capability {capability!r}")

    def require_pixels(self) -> None:
        """Leave the check unless the adapter looks at images."""
        with self.adapter() as adapter:
            if not adapter.needs_pixels:
                raise NotApplicable("it needs no pixels")


def require_findings(results: Sequence[ImagePredictions]) -> None:
    """Leave a check that compares results when there is nothing to compare."""
    if not any(len(r) or r.classification or r.semantic_mask for r in results):
        raise NotApplicable("it finds nothing in the kit's images; give it images of its own")
