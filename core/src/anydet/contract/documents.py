"""The schema's entry as msgspec structs: the fast path.

What a decoder here accepts is valid by ``predictions.schema.json``; the reverse does not hold (``1.0`` is an
integer to JSON Schema and not to msgspec), so whoever is refused here is judged by the schema.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType, json

INT_MAX = 2**31 - 1

Unit: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
NonNegative: TypeAlias = Annotated[float, Meta(ge=0)]
Positive: TypeAlias = Annotated[float, Meta(gt=0)]
Index: TypeAlias = Annotated[int, Meta(ge=0, le=INT_MAX)]
Side: TypeAlias = Annotated[int, Meta(ge=1, le=INT_MAX)]
Vector3: TypeAlias = tuple[float, float, float]
Vector4: TypeAlias = tuple[float, float, float, float]
Vector6: TypeAlias = tuple[float, float, float, float, float, float]
Free: TypeAlias = dict[str, Any]


# gc=False: none of these is ever part of a cycle, and the collector need not visit hundreds of thousands.
class Box(Struct, forbid_unknown_fields=True, gc=False):
    """Four numbers under the names of the default format."""

    cx: float
    cy: float
    w: NonNegative
    h: NonNegative


class Mask(Struct, forbid_unknown_fields=True, gc=False):
    """COCO compressed run-length code; size is height, width."""

    size: tuple[Side, Side]
    # The code has six bits a character, counted from "0".
    counts: Annotated[str, Meta(pattern="^[0-o]+$")]


class Keypoint(Struct, forbid_unknown_fields=True, gc=False):
    """One point, as fractions of the image."""

    x: float
    y: float
    score: Unit | UnsetType = UNSET
    v: Annotated[int, Meta(ge=0, le=2)] | UnsetType = UNSET


class Detection(Struct, forbid_unknown_fields=True, gc=False):
    """One object."""

    class_id: Index
    score: Unit
    bbox: Box | tuple[float, float, NonNegative, NonNegative]
    state: Index | UnsetType = UNSET
    state_scores: list[Unit] | UnsetType = UNSET
    mask: Mask | UnsetType = UNSET
    keypoints: list[Keypoint] | UnsetType = UNSET
    log_z: float | UnsetType = UNSET
    rot6d: Vector6 | UnsetType = UNSET
    R: tuple[Vector3, Vector3, Vector3] | UnsetType = UNSET
    t: Vector3 | UnsetType = UNSET
    offsets: tuple[float, float] | UnsetType = UNSET
    k_delta: Vector4 | UnsetType = UNSET
    log_sigma_z: float | UnsetType = UNSET
    log_sigma_rot: float | UnsetType = UNSET
    extra: Free | UnsetType = UNSET


class ImageSize(Struct, forbid_unknown_fields=True, gc=False):
    """Of the original image, pixels."""

    width: Side
    height: Side


class ImageClass(Struct, forbid_unknown_fields=True, gc=False):
    """What the image as a whole shows."""

    class_id: Index
    score: Unit
    scores: list[Unit] | UnsetType = UNSET


class Camera(Struct, forbid_unknown_fields=True, gc=False):
    """Pinhole intrinsics, pixels of the original image."""

    fx: Positive
    fy: Positive
    cx: float
    cy: float


SemanticMask: TypeAlias = dict[Annotated[str, Meta(pattern="^(0|[1-9][0-9]{0,8})$")], Mask]


class Entry(Struct, forbid_unknown_fields=True):
    """One image."""

    image: Annotated[str, Meta(min_length=1)]
    detections: list[Detection]
    image_size: ImageSize | UnsetType = UNSET
    classification: ImageClass | UnsetType = UNSET
    semantic_mask: SemanticMask | UnsetType = UNSET
    intrinsics: Camera | UnsetType = UNSET
    preprocess: Free | UnsetType = UNSET
    extra: Free | UnsetType = UNSET


decode_entry = json.Decoder(Entry).decode
decode_detections = json.Decoder(list[Detection]).decode
