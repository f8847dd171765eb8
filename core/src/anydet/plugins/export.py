"""``ExportSpec``: a model as others can run it, and the description that travels in its file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from anydet.plugins.preprocess import Preprocess

KEY = "anydet"
"""Key of the description in the metadata of a model file."""

Meaning: TypeAlias = Literal[
    "boxes_cxcywh",
    "boxes_xyxy_px",
    "class_logits",
    "scores",
    "labels",
    "state_scores",
    "keypoints",
    "log_z",
    "rot6d",
    "offsets",
    "log_sigma_z",
    "log_sigma_rot",
    "camera_delta",
    "pixel_logits",
    "image_logits",
]
SHAPES: Mapping[Meaning, tuple[str, ...]] = {
    "boxes_cxcywh": ("B", "N", "4"),
    "boxes_xyxy_px": ("B", "N", "4"),
    "class_logits": ("B", "N", "C"),
    "scores": ("B", "N"),
    "labels": ("B", "N"),
    "state_scores": ("B", "N", "S"),
    "keypoints": ("B", "N", "3K"),
    "log_z": ("B", "N", "1"),
    "rot6d": ("B", "N", "6"),
    "offsets": ("B", "N", "2"),
    "log_sigma_z": ("B", "N", "1"),
    "log_sigma_rot": ("B", "N", "1"),
    "camera_delta": ("B", "4"),
    "pixel_logits": ("B", "C", "H", "W"),
    "image_logits": ("B", "C"),
}
"""Meaning of an output -> its axes: B images, N rows, C classes, S states, K keypoints.

* ``boxes_cxcywh``: center and size, normalized by the input's; ``boxes_xyxy_px``: corners in its pixels.
* ``class_logits``: of sigmoids, without background.
* ``scores``: probabilities; ``labels``: class ids, -1 in rows of padding.
* ``state_scores``: probabilities of each state.
* ``keypoints``: of each x, y from the box center in widths and heights of the box, and a logit of its score.
* ``log_z``, ``rot6d``, ``offsets``, ``log_sigma_z``, ``log_sigma_rot``, ``camera_delta``: as in
  ``geometry.pose_heads.PoseHeads``.
* ``pixel_logits``: of a softmax over the classes of each pixel; ``image_logits``: likewise of the image.
"""

NEEDED: Mapping[str, tuple[Meaning, ...]] = {
    "queries": ("boxes_cxcywh", "class_logits"),
    "detections": ("boxes_xyxy_px", "scores", "labels"),
    "pixels": ("pixel_logits", "image_logits"),
}
"""Layout -> meanings of the outputs that it needs; others may stand beside them."""


@dataclass(frozen=True, slots=True)
class ModelOutput:
    """One output of a model.

    Attributes:
        name: in the graph.
        meaning: key of ``SHAPES``.
    """

    name: str
    meaning: Meaning


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What a model file was made from, and by what.

    Attributes:
        adapter: registered name of the adapter that described it.
        adapter_version: of the adapter's distribution; ``None`` where it is of none.
        anydet: version.
        checkpoint: file of the weights, as it was named; ``None`` without one.
        checkpoint_sha256: of that file, in hexadecimal.
        options: of the adapter, as they were given.
        exporter: what wrote the graph, with its version.
        opset: version of ONNX's operators.
        precision: of weights and arithmetic, but for what half precision would spoil.
    """

    adapter: str
    adapter_version: str | None = None
    anydet: str = ""
    checkpoint: str | None = None
    checkpoint_sha256: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    exporter: str = ""
    opset: int = 0
    precision: Literal["float32", "float16"] = "float32"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDescription:
    """All that a runtime needs to know of a model to give the predictions of the adapter that it is from.

    Attributes:
        layout: how detections are made of the outputs; key of ``NEEDED``.
        outputs: in the order of the graph.
        preprocess: how images become inputs.
        classes: names of the class ids.
        states: names of the states, where there are any.
        keypoint_names: in the order of the outputs; numbered where they have no names.
        min_area_px: fewest pixels of an object that is a region of pixels.
        source: what the file was made from; ``None`` where it does not say.
    """

    layout: Literal["queries", "detections", "pixels"]
    outputs: tuple[ModelOutput, ...]
    preprocess: Preprocess
    classes: tuple[str, ...]
    states: tuple[str, ...] = ()
    keypoint_names: tuple[str, ...] = ()
    min_area_px: int = 1
    source: Source | None = None

    def as_metadata(self) -> dict[str, str]:
        """An entry for the metadata of a model file, which holds text alone."""
        import msgspec

        return {KEY: json.dumps(msgspec.to_builtins(self))}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> ModelDescription | None:
        """The description of a file, ``None`` where it has none.

        Raises ``ValueError`` where it cannot be read or lacks what its layout needs.
        """
        import msgspec

        if KEY not in metadata:
            return None
        try:
            description = msgspec.json.decode(metadata[KEY], type=cls)
        except msgspec.DecodeError as exc:
            raise ValueError(str(exc)) from exc
        return description.checked()

    def checked(self) -> ModelDescription:
        """Itself; raises ``ValueError`` where the layout lacks an output or a number cannot be."""
        self.preprocess.checked()
        meanings = [output.meaning for output in self.outputs]
        missing = [meaning for meaning in NEEDED[self.layout] if meaning not in meanings]
        if missing:
            raise ValueError(f"layout {self.layout} needs an output {missing[0]!r}")
        if len(set(meanings)) < len(meanings):
            raise ValueError(f"two outputs have the same meaning: {', '.join(meanings)}")
        return self


@dataclass(frozen=True, slots=True, eq=False)
class ExportSpec:
    """A model ready to be traced.

    Attributes:
        module: a ``torch.nn.Module`` in evaluation mode that takes the inputs, by position, and gives a tuple
            of tensors, one for each of ``description.outputs``.
        inputs: name -> example tensor, in the module's order.
        description: what its outputs mean and how images become inputs.
        dynamic_axes: input or output name -> axis -> name, where a size may change. Axis 0 of an input is
            the number of images, its others are sizes of them; an axis of an output that follows one of
            these has its name.
        fixed: ``batch`` or ``size``, where that must not change -> why, as a sentence about the model.
        float32_scopes: patterns of the modules whose own arithmetic stays float32 in a file of half
            precision, that of boxes, say. Each matches a whole path, as the names of ONNX's nodes have it:
            ``/model/decoder``; that of nodes of no submodule is empty.
        any_size_module: what is traced where sizes of images are left open, if that is another module.
    """

    module: Any
    inputs: Mapping[str, Any]
    description: ModelDescription
    dynamic_axes: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    fixed: Mapping[Literal["batch", "size"], str] = field(default_factory=dict)
    float32_scopes: tuple[str, ...] = ()
    any_size_module: Any = None
