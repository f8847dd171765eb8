"""Plain data that crosses every border: frozen dataclasses over numpy arrays, no tensors, no files.

Two views of the same detections exist. ``ImagePredictions`` is one image, the grain at which adapters and
views work. ``DetectionColumns`` and ``GroundTruthColumns`` are arrays over all images, the grain at which
reading, evaluation, fusion and reports work; nothing there holds a Python object per detection.

A value missing in an optional column is NaN, or -1 for integers; a column without any value is ``None``.
``anydet.columns`` takes and joins rows of all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from anydet.columns import Columns
from anydet.dataclass import dataclass

if TYPE_CHECKING:
    from typing_extensions import Self

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]
BoolArray: TypeAlias = NDArray[np.bool_]
ByteImage: TypeAlias = NDArray[np.uint8]
Size: TypeAlias = tuple[int, int]
"""(width, height) in pixels."""


@dataclass(frozen=True, slots=True)
class ClassTable:
    """Names of the contiguous class ids 0..N-1, beside the source's own ids.

    Attributes:
        names: name of class i.
        source_ids: id of class i in the source (COCO's 1..90); 0..N-1 where the source has no other.
        frequencies: "r", "c" or "f" (rare, common, frequent) a class, where the source says (LVIS); else ().
        source_names: the source's own ids where some are text or integers of more than 64 bits;
            ``source_ids`` are then their ranks. Else ().
    """

    names: tuple[str, ...]
    source_ids: tuple[int, ...] = ()
    frequencies: tuple[str, ...] = ()
    source_names: tuple[int | str, ...] = ()

    def __post_init__(self) -> None:
        if not self.source_ids:
            object.__setattr__(self, "source_ids", tuple(range(len(self.names))))
        if len(self.source_ids) != len(self.names):
            raise ValueError(f"{len(self.names)} class names but {len(self.source_ids)} source ids")

    def __len__(self) -> int:
        return len(self.names)

    @property
    def own_ids(self) -> tuple[int | str, ...]:
        """Id of class i as the source writes it."""
        return self.source_names or self.source_ids


@dataclass(frozen=True, slots=True)
class Intrinsics:
    """Pinhole camera, in pixels of the image it belongs to."""

    fx: float
    fy: float
    cx: float
    cy: float


@dataclass(frozen=True, slots=True)
class RLE:
    """A binary mask in COCO's compressed run-length code.

    Attributes:
        size_hw: (height, width) of the mask in pixels.
        counts: the compressed counts as ASCII text.
    """

    size_hw: tuple[int, int]
    counts: str


Polygons: TypeAlias = tuple[tuple[float, ...], ...]
"""COCO polygons: each ring is x1, y1, x2, y2, ... in pixels; their union is the mask."""
Segmentation: TypeAlias = RLE | Polygons | None


@dataclass(frozen=True, slots=True, eq=False)
class Poses(Columns):
    """6-DoF poses of N objects, each field ``None`` where it is not predicted.

    Attributes:
        log_z: (N,) log of the object center's depth in meters.
        rot6d: (N, 6) first two columns of R (Zhou et al. 2019, "On the Continuity of Rotation
            Representations in Neural Networks").
        rotations: (N, 3, 3) object to camera.
        translations_m: (N, 3) meters, camera frame.
        offsets_px: (N, 2) projected 3-D center minus box center, pixels of the original image.
        k_delta: (N, 4) dfx, dfy, dcx, dcy: fx' = fx (1 + dfx), cx' = cx + dcx.
        log_sigma_z: (N,) predicted uncertainty of ``log_z``.
        log_sigma_rot: (N,) predicted uncertainty of the rotation.
    """

    log_z: FloatArray | None = None
    rot6d: FloatArray | None = None
    rotations: FloatArray | None = None
    translations_m: FloatArray | None = None
    offsets_px: FloatArray | None = None
    k_delta: FloatArray | None = None
    log_sigma_z: FloatArray | None = None
    log_sigma_rot: FloatArray | None = None


@dataclass(frozen=True, slots=True)
class Classification:
    """What an image as a whole shows: best class, its score, and all scores where known."""

    class_id: int
    score: float
    scores: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ImagePredictions(Columns):
    """One image's result, detections in the order the adapter gave them.

    Attributes:
        image: key that joins predictions to ground truth.
        size_wh: (width, height) of the original image, pixels.
        boxes_xyxy_px: (N, 4) float64, pixels of the original image, x2/y2 exclusive.
        scores: (N,) float64 in [0, 1].
        class_ids: (N,) int64, contiguous 0..C-1.
        states: (N,) int64, -1 where unknown.
        state_scores: (N, S) float64, NaN where unknown.
        masks: one RLE (or ``None``) a detection, of the original image's size; a tuple, or a column that
            makes them when taken (``mask_columns.MaskColumn``).
        keypoints: (N, K, 3) x, y in pixels of the original image, and score; NaN where missing.
        keypoint_visibility: (N, K) int64 0 unlabeled, 1 hidden, 2 visible; -1 where unknown.
        poses: 6-DoF poses.
        detection_extra: free data a detection carries, or ``None`` in the rows without.
        classification: image-level class.
        semantic_mask: class id -> mask of all pixels of that class.
        intrinsics: camera of the original image.
        preprocess: what the adapter did to the image.
        extra: free data the image carries.
    """

    image: str
    size_wh: Size
    boxes_xyxy_px: FloatArray
    scores: FloatArray
    class_ids: IntArray
    states: IntArray | None = None
    state_scores: FloatArray | None = None
    masks: Sequence[RLE | None] | None = None
    keypoints: FloatArray | None = None
    keypoint_visibility: IntArray | None = None
    poses: Poses | None = None
    detection_extra: tuple[Mapping[str, Any] | None, ...] | None = None
    classification: Classification | None = None
    semantic_mask: Mapping[int, RLE] | None = None
    intrinsics: Intrinsics | None = None
    preprocess: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    ROWS = (
        "boxes_xyxy_px",
        "scores",
        "class_ids",
        "states",
        "state_scores",
        "masks",
        "keypoints",
        "keypoint_visibility",
        "poses",
        "detection_extra",
    )

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def empty(cls, image: str, size_wh: Size, *, extra: Mapping[str, Any] | None = None) -> Self:
        """The result of an image on which nothing was found."""
        none = np.zeros(0)
        return cls(image, size_wh, np.zeros((0, 4)), none, none.astype(np.int64), extra=extra or {})


@dataclass(frozen=True, slots=True, eq=False)
class Labels(Columns):
    """Ground truth of one image, one row an annotation.

    Boxes are stored as x, y, width, height because that is what COCO's arithmetic is exact in.

    Attributes:
        class_ids: (N,) int64, contiguous.
        boxes_xywh_px: (N, 4) float64, pixels of the original image.
        areas: (N,) float64 square pixels: the source's own where it has one, else width x height.
        iscrowd: (N,) bool.
        annotation_ids: (N,) int64 ids of the source, or ``None`` where it has none.
        segmentations: RLE, polygons or ``None`` a row.
        keypoints: (N, K, 3) x, y in pixels and visibility 0, 1, 2.
        states: (N,) int64.
        poses: 6-DoF poses.
        area_stated: (N,) bool, whether ``areas`` is the source's own or of its mask, not width x height;
            ``None`` where all are.
    """

    class_ids: IntArray
    boxes_xywh_px: FloatArray
    areas: FloatArray
    iscrowd: BoolArray
    annotation_ids: IntArray | None = None
    segmentations: Sequence[Segmentation] | None = None
    keypoints: FloatArray | None = None
    states: IntArray | None = None
    poses: Poses | None = None
    area_stated: BoolArray | None = None

    def __len__(self) -> int:
        return len(self.class_ids)


@dataclass(frozen=True, slots=True, eq=False)
class ImageColumns(Columns):
    """What is predicted or known of images as wholes, one row an image.

    Attributes:
        class_ids: (I,) int64 what the image shows, -1 where unknown.
        confidences: (I,) float64 score of that class, NaN where unknown.
        class_scores: (I, C) float64 of all classes, NaN where unknown.
        semantic_masks: class id -> mask of all pixels of that class, or ``None`` where unknown; pixels in no
            mask are of no class, or not labeled.
        cameras: (I, 4) float64 fx, fy, cx, cy in pixels of the original image, NaN where unknown.
        part_states: (I, C) int64 state of each part (class) on the image, with a box or without, -1 where
            unknown.
    """

    class_ids: IntArray | None = None
    confidences: FloatArray | None = None
    class_scores: FloatArray | None = None
    semantic_masks: Sequence[Mapping[int, RLE] | None] | None = None
    cameras: FloatArray | None = None
    part_states: IntArray | None = None


@dataclass(frozen=True, slots=True, eq=False)
class DetectionColumns(Columns):
    """Detections of many images as arrays.

    Attributes:
        images: keys of all images that were predicted, empty ones too.
        sizes_wh: (I, 2) int64 original sizes in pixels, -1 where unknown.
        image_index: (N,) int64 into ``images``.
        class_ids: (N,) int64.
        boxes_xywh_px: (N, 4) float64, pixels of the original image; x, y, width, height, because that is
            what COCO's arithmetic is exact in.
        scores: (N,) float64.
        areas: (N,) float64 square pixels, width x height.
        areas_stated: whether ``areas`` count as they are (COCO results), even where masks are scored; else
            engines measure masks then.
        classes: names that the file states, or ``None``.
        states, state_scores, masks, keypoints, keypoint_visibility, poses: as in ``ImagePredictions``.
        lenient: (N,) bool, detections that are not counted where they match nothing, because nobody looked
            for all objects of their class on their image.
        about: what is predicted of the images as wholes, one row for each of ``images``.
    """

    images: tuple[str, ...]
    sizes_wh: IntArray
    image_index: IntArray
    class_ids: IntArray
    boxes_xywh_px: FloatArray
    scores: FloatArray
    areas: FloatArray
    classes: tuple[str, ...] | None = None
    states: IntArray | None = None
    state_scores: FloatArray | None = None
    masks: Sequence[RLE | None] | None = None
    keypoints: FloatArray | None = None
    poses: Poses | None = None
    keypoint_visibility: IntArray | None = None
    lenient: BoolArray | None = None
    areas_stated: bool = False
    about: ImageColumns | None = None

    ROWS = (
        "image_index",
        "class_ids",
        "boxes_xywh_px",
        "scores",
        "areas",
        "states",
        "state_scores",
        "masks",
        "keypoints",
        "poses",
        "keypoint_visibility",
        "lenient",
    )

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True, slots=True, eq=False)
class Federation:
    """What was looked for on each image of a federated data set (Gupta et al. 2019, "LVIS").

    Attributes:
        absent: (P, 2) int64 image index and class id: the image was searched and has none of the class.
        incomplete: (Q, 2) int64 image index and class id: not every object of the class is annotated.
    """

    absent: IntArray
    incomplete: IntArray


@dataclass(frozen=True, slots=True)
class SymmetryAxis:
    """An axis around which an object looks the same at every angle.

    Attributes:
        direction: unit vector in the model's frame.
        point_m: a point on the axis, meters.
    """

    direction: tuple[float, float, float]
    point_m: tuple[float, float, float]


@dataclass(frozen=True, slots=True, eq=False)
class ObjectModel:
    """The shape of an object, in its own frame, and how it looks the same.

    Attributes:
        name: as it is called where it comes from.
        points_m: (P, 3) vertices in meters.
        diameter_m: largest distance between two vertices.
        symmetries: (D, 4, 4) rigid motions that change nothing; the first is the identity.
        axes: axes of continuous symmetry.
    """

    name: str
    points_m: FloatArray
    diameter_m: float
    symmetries: FloatArray
    axes: tuple[SymmetryAxis, ...] = ()

    @property
    def symmetric(self) -> bool:
        """Whether it looks the same in more than one pose."""
        return len(self.symmetries) > 1 or bool(self.axes)


@dataclass(frozen=True, slots=True, eq=False)
class GroundTruthColumns:
    """Ground truth of many images as arrays.

    Attributes:
        images: keys of all images, those without annotations too.
        sizes_wh: (I, 2) int64 original sizes in pixels, -1 where unknown.
        image_index: (N,) int64 into ``images``.
        labels: the annotations, one row each.
        classes: the class table.
        source: where the boxes come from, for the protocol ("COCO JSON annotations/...", "YOLO labels/...").
        image_ids: (I,) int64 the source's own ids (COCO), or ``None``.
        federation: what was looked for, where not all classes were on all images (LVIS).
        about: what is known of the images as wholes, one row for each of ``images``.
        state_names: names of the states 0, 1, ... of annotations; () where the source has none.
        objects: the three-dimensional model of each class whose pose is evaluated, by class id.
        image_names: (I,) the source's own ids where they are text or integers of more than 64 bits;
            ``image_ids`` are then their ranks.
    """

    images: tuple[str, ...]
    sizes_wh: IntArray
    image_index: IntArray
    labels: Labels
    classes: ClassTable
    source: str
    image_ids: IntArray | None = None
    federation: Federation | None = None
    about: ImageColumns | None = None
    state_names: tuple[str, ...] = ()
    objects: Mapping[int, ObjectModel] | None = None
    image_names: tuple[int | str, ...] | None = None

    def __len__(self) -> int:
        return len(self.image_index)


@dataclass(frozen=True, slots=True)
class AdapterSettings:
    """Settings of an adapter in a run; frozen and picklable, so that workers can build their own.

    Attributes:
        config: path or name of the adapter's configuration, or ``None`` for its base one.
        checkpoint: weights to load, a file or the folder of a run, or ``None``.
        device: "cpu", "cuda", "cuda:0", or what the adapter documents.
        batch_size: records a chunk; the adapter may batch less where its model must.
        score_floor: detections below it need not be returned.
        max_detections: a hint; the pipeline alone cuts.
        seed: of every random choice.
        options: the adapter's own options, already checked against its schema.
    """

    config: str | None = None
    checkpoint: str | None = None
    device: str = "cpu"
    batch_size: int = 1
    score_floor: float = 0.0
    max_detections: int = 100
    seed: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
