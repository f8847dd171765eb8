"""``ExportedDetector``: a traced detector, from images of any size to rows of a fixed number."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from torchvision.models.detection.image_list import ImageList

from anydet.errors import OptionError
from anydet.plugins.export import ExportSpec, Meaning, ModelDescription, ModelOutput
from anydet.training.detectors.inputs import preprocess_of
from anydet_torchvision.model import Detector

_SIZE_HW = (256, 320)
"""Of the image that is traced; any other may follow."""
_PADDING = -1


class ExportedDetector(nn.Module):
    """Detections in rows of a fixed number, those behind the last of them padding.

    Args:
        model: whose weights are used, not copied.
        score_floor: detections below are left out.
        rows: most detections.
    """

    def __init__(self, model: Detector, *, score_floor: float, rows: int) -> None:
        super().__init__()
        self.model = model
        self.score_floor = score_floor
        self.rows = rows
        # COCO's gaps and the background are padding, too.
        ids = torch.full((len(model.about.rows) + 1,), _PADDING)
        ids[list(model.about.labels)] = torch.arange(len(model.about.labels))
        self.register_buffer("class_ids", ids.to(model.device), persistent=False)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(1, 3, H, W) to boxes (1, K, 4) in its pixels, scores (1, K), labels (1, K), keypoints (1, K, 3P).

        The label of padding is -1.
        """
        self.model.limit(self.score_floor, self.rows)
        (found,) = self.model.detect(self._inputs(images))
        boxes, scores = found["boxes"], found["scores"]
        labels = self.class_ids[found["labels"]]  # type: ignore[index]
        outputs = [(boxes, 0.0), (scores, 0.0), (labels, _PADDING)]
        if "keypoints" in found:
            outputs.append((_relative(found["keypoints"], found["keypoints_scores"], boxes), 0.0))
        return tuple(self._filled(values, fill)[None] for values, fill in outputs)

    def _inputs(self, images: Tensor) -> ImageList:
        height, width = images.shape[-2:]
        multiple = self.model.transform.size_divisible
        # Padded here, not before: boxes are clipped to the image, whose size the padding would hide.
        padded = pad(images, (0, -width % multiple, 0, -height % multiple))
        # As tensors, so that a trace follows the image instead of keeping the example's numbers.
        traced = tuple(torch._shape_as_tensor(images)[2:].unbind()) if torch._C._get_tracing_state() else None
        return ImageList(padded, [traced or (height, width)])

    def _filled(self, values: Tensor, fill: float) -> Tensor:
        """(K, ...) of (N, ...) with N at most K."""
        rest = values.new_full((self.rows, *values.shape[1:]), fill)
        return torch.cat([values, rest])[: self.rows]


def _relative(points: Tensor, scores: Tensor, boxes: Tensor) -> Tensor:
    """(N, 3P) x, y from the box center in widths and heights of the box, and a logit of the score."""
    centers = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
    sides = (boxes[:, None, 2:] - boxes[:, None, :2]).clamp(min=1e-6)
    return torch.cat([(points[..., :2] - centers) / sides, scores[..., None]], 2).flatten(1)


def export_spec(model: Detector, *, score_floor: float, most: int) -> ExportSpec:
    """Of one image at a time, of any size but for SSDs.

    Args:
        model: in evaluation mode.
        score_floor: detections below are never output.
        most: detections of an image.

    Raises ``OptionError`` for Mask R-CNN.
    """
    about = model.about
    if hasattr(model.net, "roi_heads") and model.net.roi_heads.has_mask():
        raise OptionError(
            f"{about.model} cannot be exported: the description of a model file has no masks of objects",
            fix="export a model of boxes or keypoints; predict with this one by the adapter torchvision",
        )
    names: list[Meaning] = ["boxes_xyxy_px", "scores", "labels"]
    if about.keypoint_names:
        names.append("keypoints")
    stretched = model.transform.fixed_size
    size_hw = _SIZE_HW if stretched is None else stretched[::-1]
    fixed = {"batch": "torchvision's own code finds the detections of one image after the other"}
    if stretched is not None:
        fixed["size"] = f"inputs of {about.model} are {stretched[0]} x {stretched[1]} pixels"
    # Of noise, as some branches of torchvision are not traced where nothing is found.
    noise = torch.rand(1, 3, *size_hw, generator=torch.Generator().manual_seed(0))
    return ExportSpec(
        ExportedDetector(model, score_floor=score_floor, rows=most).eval(),
        {"images": noise.to(model.device)},
        ModelDescription(
            layout="detections",
            outputs=tuple(ModelOutput(name, name) for name in names),
            preprocess=replace(preprocess_of(model.transform), pad_to_multiple=1),
            classes=about.classes.names,
            keypoint_names=about.keypoint_names,
        ),
        {} if stretched is not None else {"images": {2: "height", 3: "width"}},
        fixed,  # type: ignore[arg-type]
        # What is not in a layer: decoding, clipping and suppression of boxes, in pixels.
        float32_scopes=("", "/model", "/model/net", "/model/net/(rpn|roi_heads|anchor_generator)"),
    )
