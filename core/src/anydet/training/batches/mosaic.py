"""Four images in one (Bochkovskiy et al. 2020, "YOLOv4: Optimal Speed and Accuracy of Object Detection").

Made here because torchvision v2 has no mosaic, and because every random choice is owned by a generator of
the run's seed, epoch and index.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from anydet.data.dataset.protocols import Dataset
from anydet.data.record.class_mask import UNLABELED
from anydet.errors import OptionError
from anydet.training.batches.sample import Sample
from anydet.training.batches.transforms import pad, place_at_random, resize, scaled_wh
from anydet.types import Size

_LOOKED_AT = 16
_CENTER = 0.25, 0.75


@dataclass(frozen=True, slots=True)
class Mosaic:
    """A sample beside three others, on a canvas of its own size.

    The four meet at a point in the canvas's inner half. Each is scaled until it covers its quarter, and cut
    to it at random; objects that are cut away are dropped as by ``crop``. The result has the sample's
    key, no class as a whole, and no camera.

    Attributes:
        prob: fraction of samples that become mosaics.
    """

    prob: float

    def __call__(
        self, sample: Sample, rng: np.random.Generator, draw: Callable[[np.random.Generator], Sample]
    ) -> Sample:
        """The mosaic, or the sample itself.

        Args:
            sample: the first of the four; its place is random.
            rng: generator of every random choice.
            draw: gives the others.

        Raises:
            OptionError: one of them has poses: four cameras have no common intrinsics.
        """
        width, height = sample.size_wh
        if rng.random() >= self.prob or min(width, height) < 2:
            return sample
        tiles = [sample, *(draw(rng) for _ in range(3))]
        for tile in tiles:
            if tile.rotations is not None:
                raise _has_poses(tile.key)
        x, y = (min(max(1, round(side * rng.uniform(*_CENTER))), side - 1) for side in (width, height))
        sizes = [(x, y), (width - x, y), (x, height - y), (width - x, height - y)]
        order = rng.permutation(4).tolist()
        return _joined(sample, [_cover(tiles[i], size, rng) for i, size in zip(order, sizes, strict=True)])


def refuse_poses(dataset: Dataset, label_kinds: Collection[str]) -> None:
    """Raises ``OptionError`` where the first images have poses that are read: they cannot be in a mosaic."""
    if "poses" not in label_kinds:
        return
    # Before training begins: the first mosaic may be drawn only after many steps.
    for record in islice(dataset, _LOOKED_AT):
        if record.labels is not None and record.labels.poses is not None:
            raise _has_poses(record.key)


def _has_poses(key: str) -> OptionError:
    return OptionError(
        f"image {key}: has poses, and a mosaic of four images has no common intrinsics",
        fix="train with --mosaic-prob 0",
    )


def _cover(tile: Sample, size_wh: Size, rng: np.random.Generator) -> Sample:
    """A window of ``size_wh`` of the tile, scaled so that it just covers it."""
    (width, height), (own_width, own_height) = size_wh, tile.size_wh
    scaled = scaled_wh(tile.size_wh, max(width / own_width, height / own_height))
    resized = resize(tile, (max(width, scaled[0]), max(height, scaled[1])))
    return place_at_random(resized, size_wh, rng)


def _joined(sample: Sample, tiles: Sequence[Sample]) -> Sample:
    """Tiles at the top left, top right, bottom left and bottom right as one sample."""
    (x, y), (width, height) = tiles[0].size_wh, sample.size_wh
    margins = [
        (left, top, width - left - tile.size_wh[0], height - top - tile.size_wh[1])
        for tile, (left, top) in zip(tiles, [(0, 0), (x, 0), (0, y), (x, y)], strict=True)
    ]
    placed = [pad(tile, *margin) for tile, margin in zip(tiles, margins, strict=True)]
    return replace(
        sample,
        image=_quilt([tile.image for tile in tiles]),
        boxes=torch.cat([one.boxes for one in placed]),
        class_ids=torch.cat([one.class_ids for one in placed]),
        iscrowd=torch.cat([one.iscrowd for one in placed]),
        masks=_stacked([one.masks for one in placed], placed, 0),
        keypoints=_stacked([one.keypoints for one in placed], placed, 0),
        states=_stacked([one.states for one in placed], placed, -1),
        semantic=_semantic(tiles),
        intrinsics=None,
        label=-1,
    )


def _quilt(tiles: Sequence[Tensor]) -> Tensor:
    rows = [torch.cat([left, right], dim=-1) for left, right in (tiles[:2], tiles[2:])]
    return torch.cat(rows, dim=-2)


def _semantic(tiles: Sequence[Sample]) -> Tensor | None:
    if all(tile.semantic is None for tile in tiles):
        return None
    blank = [torch.full(tile.size_wh[::-1], UNLABELED) for tile in tiles]
    known = [tile.semantic for tile in tiles]
    return _quilt([empty if one is None else one for one, empty in zip(known, blank, strict=True)])


def _stacked(columns: Sequence[Tensor | None], samples: Sequence[Sample], missing: int) -> Tensor | None:
    """One column of all rows; ``missing`` where a sample has none, or fewer keypoints than another."""
    known = [column for column in columns if column is not None]
    if not known:
        return None
    inner = [max(column.shape[axis] for column in known) for axis in range(1, known[0].dim())]
    whole = known[0].new_full((sum(map(len, samples)), *inner), missing)
    start = 0
    for column, sample in zip(columns, samples, strict=True):
        if column is not None:
            inside = (slice(start, start + len(column)), *(slice(0, side) for side in column.shape[1:]))
            whole[inside] = column
        start += len(sample)
    return whole
