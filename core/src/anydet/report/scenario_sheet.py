"""A picture of scenarios: the same images in each of them, with their labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from anydet.data.dataset.protocols import Dataset
from anydet.report.lettering import caption
from anydet.report.marks import mark_labels
from anydet.report.overlay import draw_scaled
from anydet.report.sheet import contact_sheet
from anydet.types import ByteImage, ClassTable

_LONGEST_PX = 360
_LOOKED_AT = 50


def draw_scenarios(datasets: Mapping[str, Dataset], images: int = 2) -> ByteImage:
    """The first images with objects in each scenario, ``images`` of them side by side, with captions.

    Args:
        datasets: name -> changed data set; all of the same images.
        images: of each.
    """
    first = next(iter(datasets.values()))
    positions = list(_shown(first, images))
    columns = len(positions) * max(1, 4 // len(positions))
    panels = [_panel(dataset, position, name) for name, dataset in datasets.items() for position in positions]
    return contact_sheet(panels, columns)


def _shown(dataset: Dataset, images: int) -> Iterator[int]:
    """Positions of images with objects; where the first ones have too few, any."""
    # Labels of a large data set need not all be looked at.
    looked_at = range(min(len(dataset), _LOOKED_AT))
    labels = {position: dataset[position].labels for position in looked_at}
    full = [position for position, one in labels.items() if one is not None and len(one)]
    yield from (full + [position for position in looked_at if position not in full])[:images]


def _panel(dataset: Dataset, position: int, name: str) -> ByteImage:
    record = dataset[position]
    image = record.image()
    height, width = image.shape[:2]
    scale = min(1.0, _LONGEST_PX / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    classes: ClassTable | None = dataset.classes
    marks = (
        []
        if record.labels is None
        else mark_labels(record.labels, classes, (height, width), camera=record.camera)
    )
    return caption(draw_scaled(image, marks, size).picture, name)
