"""``ExportedDetector``: class logits and boxes of the queries as plain tensors, for other runtimes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from anydet.errors import UnsupportedError
from anydet.plugins.export import ExportSpec, ModelDescription, ModelOutput
from anydet_transformers.about import NAME
from anydet_transformers.inputs import described
from anydet_transformers.model import LibraryModel

_NEVER = -1e4
"""Logit of a class that is not a query's best, where the library takes one class a query."""


class ExportedDetector(nn.Module):
    """Images to logits of sigmoids and boxes of the queries.

    Args:
        model: whose weights are used, not copied.
    """

    def __init__(self, model: LibraryModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) to logits (B, Q, C) and centers and sizes (B, Q, 4)."""
        outputs = self.model(images)
        logits: Tensor = outputs["logits"]
        if logits.shape[2] > len(self.model.about.classes):
            # The library takes the best class of each query, of a softmax that has 'no object' as well.
            scores = logits.softmax(-1)[..., :-1]
            best = scores == scores.amax(-1, keepdim=True)
            logits = torch.where(best, torch.logit(scores, eps=1e-7), _NEVER)
        return logits, outputs["pred_boxes"]


def export_spec(model: LibraryModel) -> ExportSpec:
    """Of a detector in evaluation mode; the number of images may change, their size may not.

    Raises ``UnsupportedError`` where the model is no detector of boxes, or no other runtime has its image
    processor's resizing.
    """
    name = type(model.detector).__name__
    if model.kind != "detect":
        what = "masks" if model.kind == "segment" else "texts beside images"
        raise UnsupportedError(NAME, f"export of a {name}: exported files have no layout for {what}")
    preprocess = described(model.about.image_processor())
    if preprocess is None:
        raise UnsupportedError(
            NAME, f"export of this {name}: its images are not resized to one size, bilinearly"
        )
    width, height = preprocess.size_wh
    device = next(model.parameters()).device
    outputs = ("class_logits", "boxes_cxcywh")
    return ExportSpec(
        ExportedDetector(model).eval(),
        {"images": torch.zeros(1, 3, height, width, device=device)},
        ModelDescription(
            layout="queries",
            outputs=tuple(ModelOutput(name, name) for name in outputs),  # type: ignore[arg-type]
            preprocess=preprocess,
            classes=model.about.classes,
        ),
        {name: {0: "batch"} for name in ("images", *outputs)},
        {"size": f"positions and anchors of {width}x{height} pixels are constants in it"},
    )
