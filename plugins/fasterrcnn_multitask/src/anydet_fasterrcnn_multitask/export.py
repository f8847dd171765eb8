"""``ExportedDetector``: one image of any size to as many rows as there may be detections."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from torchvision.models.detection.image_list import ImageList

from anydet.plugins.export import ExportSpec, ModelDescription, ModelOutput
from anydet_fasterrcnn_multitask.model import MULTIPLE, MultiTaskFasterRCNN
from anydet_fasterrcnn_multitask.predictor import USUAL_DETECTIONS, preprocess
from anydet_fasterrcnn_multitask.saved import About

_SIZE_HW = (256, 320)
"""Of the image that is traced; any other may follow."""


class ExportedDetector(nn.Module):
    """Detections of one image in rows of a fixed number, those behind the last of them padding.

    Args:
        model: whose weights are used, not copied.
        score_floor: detections below are left out.
        rows: most detections.
        states: whether the model was trained to predict states.
    """

    def __init__(self, model: MultiTaskFasterRCNN, *, score_floor: float, rows: int, states: bool) -> None:
        super().__init__()
        self.model = model
        self.score_floor = score_floor
        self.rows = rows
        self.states = states

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(1, 3, H, W) to boxes (1, K, 4) in its pixels, scores (1, K), labels (1, K), states (1, K, S).

        The label of padding is -1.
        """
        height, width = images.shape[-2:]
        # Padded here, not before: boxes are clipped to the image, whose size the padding would hide.
        padded = pad(images, (0, -width % MULTIPLE, 0, -height % MULTIPLE))
        heads = self.model.roi_heads
        heads.score_thresh, heads.detections_per_img = self.score_floor, self.rows
        (found,) = self.model.detect(ImageList(padded, [(height, width)]))
        labels = found["labels"] - 1  # torchvision's label 0 is the background
        rows = [self._fixed(found["boxes"]), self._fixed(found["scores"]), self._fixed(labels, -1)]
        return (*rows, self._fixed(found["state_scores"])) if self.states else tuple(rows)

    def _fixed(self, values: Tensor, padding: float = 0.0) -> Tensor:
        """(1, K, ...) of (N, ...)."""
        rest = values.new_full((self.rows, *values.shape[1:]), padding)
        return torch.cat([values, rest])[: self.rows][None]


def export_spec(model: MultiTaskFasterRCNN, about: About, *, score_floor: float, most: int) -> ExportSpec:
    """Of one image a run, of any size.

    Args:
        model: in evaluation mode.
        about: classes, states and architecture.
        score_floor: detections below are never output.
        most: detections of an image, at least.
    """
    states = bool(about.state_names)
    outputs = [ModelOutput(name, name) for name in ("boxes_xyxy_px", "scores", "labels")]
    outputs += [ModelOutput("state_scores", "state_scores")] * states
    module = ExportedDetector(model, score_floor=score_floor, rows=max(USUAL_DETECTIONS, most), states=states)
    return ExportSpec(
        module.eval(),
        {"images": torch.zeros(1, 3, *_SIZE_HW, device=model.device)},
        ModelDescription(
            layout="detections",
            outputs=tuple(outputs),
            preprocess=replace(preprocess(about.architecture), pad_to_multiple=1),
            classes=about.classes,
            states=about.state_names,
        ),
        {"images": {2: "height", 3: "width"}},
    )
