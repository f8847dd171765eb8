"""``Record``: one image and what is known about it. Lazy, frozen, picklable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anydet.dataclass import dataclass
from anydet.errors import TransformError
from anydet.types import ByteImage, ImagePredictions, IntArray, Intrinsics, Labels, Size

if TYPE_CHECKING:
    from anydet.data.record.class_mask import ClassMask
    from anydet.data.record.pixels import Pixels
    from anydet.data.record.transforms import Transform


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """One image and what is known about it.

    Pixels come from ``image()`` and nowhere else: decode-ahead, views, slices, corruptions, video frames and
    remote storage all hand over records whose ``image()`` is theirs. A record derived from another is the
    source record plus a list of transforms.

    Attributes:
        key: path relative to the split's image folder, unix slashes; joins predictions to ground truth.
        pixels: where ``image()`` reads.
        path: the file, for messages; adapters never open it, and it need not exist.
        stated_wh: (width, height) that the data set states for the source image, or ``None``.
        labels: ground truth of the source image, or ``None``; ``derive`` drops it where pixels move.
        camera: intrinsics of the source image.
        class_mask: which class each pixel of the source image shows, or ``None``; dropped as ``labels`` are.
        depth_path: depth image or array.
        cad_points_path: model points of the object.
        extra: free data of the data set (image id, sidecar keys).
        transforms: what was done to the source image, first one first.
    """

    key: str
    pixels: Pixels
    path: Path | None = None
    stated_wh: Size | None = None
    labels: Labels | None = None
    camera: Intrinsics | None = None
    class_mask: ClassMask | None = None
    depth_path: Path | None = None
    cad_points_path: Path | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    transforms: tuple[Transform, ...] = ()

    def image(self) -> ByteImage:
        """(H, W, 3) uint8 RGB, transforms applied.

        Raises:
            ImageError: the file cannot be decoded; names it.
            TransformError: a transform gives something else, or an image of another size than its ``size``
                says, by which results would be mapped back wrongly.
        """
        image = self.pixels.read()
        for transform in self.transforms:
            size_wh = transform.size((image.shape[1], image.shape[0]))
            image = transform.image(image)
            _check_transformed(image, size_wh, transform, self.key)
        return image

    def class_map(self) -> IntArray | None:
        """(H, W) class of each pixel of the image, -1 where unlabeled; ``None`` without class mask."""
        return None if self.class_mask is None else self.class_mask.read()

    @property
    def size_wh(self) -> Size:
        """(width, height) in pixels after the transforms, without decoding where that is possible."""
        return self._sizes()[-1]

    @property
    def intrinsics(self) -> Intrinsics | None:
        """Camera of ``image()``, transforms applied."""
        camera = self.camera
        if camera is None or not self.transforms:
            return camera
        for transform, size in zip(self.transforms, self._sizes(), strict=False):
            camera = transform.intrinsics(camera, size)
        return camera

    def derive(self, transform: Transform) -> Record:
        """The same source image with one more transform.

        Labels and class mask stay where the transform changes values of pixels alone, and are dropped where
        it moves pixels.
        """
        derived = replace(self, transforms=(*self.transforms, transform))
        return derived if transform.keeps_geometry else replace(derived, labels=None, class_mask=None)

    def with_pixels(self, pixels: Pixels) -> Record:
        """The same record with its source image read elsewhere (decoded ahead, for example)."""
        return replace(self, pixels=pixels)

    def undo(self, predictions: ImagePredictions, to: Record | None = None) -> ImagePredictions:
        """Map results on ``image()`` back to the image of a record that this one comes from.

        Args:
            predictions: in pixels of ``image()``.
            to: the record from which this one was derived; by default the source image, before all
                transforms. A record that comes back to itself changes nothing.

        Raises ``ValueError`` where this record was not derived from ``to``.
        """
        kept = 0 if to is None else len(to.transforms)
        if to is not None and not self.derives_from(to):
            raise ValueError(f"record {self.key!r} was not derived from record {to.key!r}")
        added = self.transforms[kept:]
        if not added:
            return predictions
        # A transform needs the size that it was applied to, which is that after the ones before it.
        sizes = self._sizes()[kept:-1]
        for transform, size in zip(reversed(added), reversed(sizes), strict=True):
            predictions = transform.undo(predictions, size)
        return replace(predictions, intrinsics=self.camera if to is None else to.intrinsics)

    def derives_from(self, other: Record) -> bool:
        """Whether this is ``other`` with no transform or more: same key, its transforms first."""
        first = self.transforms[: len(other.transforms)]
        # By identity: transforms of plugins may hold arrays, whose equality is no single truth value.
        return (
            self.key == other.key
            and len(first) == len(other.transforms)
            and all(a is b for a, b in zip(first, other.transforms, strict=True))
        )

    def _sizes(self) -> list[Size]:
        """Size of the source image and after each transform."""
        sizes = [self.stated_wh or self.pixels.size_wh()]
        for transform in self.transforms:
            sizes.append(transform.size(sizes[-1]))
        return sizes


def _check_transformed(image: object, size_wh: Size, transform: Transform, key: str) -> None:
    shape = getattr(image, "shape", None)
    if shape != (size_wh[1], size_wh[0], 3) or getattr(image, "dtype", None) != "uint8":
        got = type(image).__name__ if shape is None else f"{getattr(image, 'dtype', '')} {shape}"
        error = TransformError(
            f"transform {type(transform).__name__} gave {got} as the image of {key!r}, where its size says "
            f"uint8 {(size_wh[1], size_wh[0], 3)}",
            fix="correct its image or its size",
        )
        error.transform = transform
        raise error
