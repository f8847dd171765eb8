"""``ExportedDetector``: the last decoder layer's outputs as plain tensors, for other runtimes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from anydet.plugins.export import ExportSpec, Meaning, ModelDescription, ModelOutput
from anydet_rtdetr_pose.inputs import preprocess
from anydet_rtdetr_pose.model import PoseDetector


class ExportedDetector(nn.Module):
    """Images to class logits, boxes and every head of the queries, and the camera where it is predicted.

    Args:
        model: whose weights are used, not copied.
    """

    def __init__(self, model: PoseDetector) -> None:
        super().__init__()
        self.model = model

    @property
    def outputs(self) -> tuple[Meaning, ...]:
        """What ``forward`` gives, in its order."""
        camera = () if self.model.camera_head is None else ("camera_delta",)
        # names of heads are their meanings
        return ("class_logits", "boxes_cxcywh", *self.model.heads, *camera)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W) to (B, Q, n) of each query, and (B, 4) of the camera."""
        found = self.model(images)
        queries = found.logits, found.boxes, *found.heads.values()
        last = tuple(values[:, -1] for values in queries)
        return last if found.camera is None else (*last, found.camera)


def export_spec(model: PoseDetector) -> ExportSpec:
    """Of a model in evaluation mode; the number of images may change, their size may not."""
    architecture = model.architecture
    width, height = architecture.inputs.size_wh
    module = ExportedDetector(model).eval()
    names = "images", *module.outputs
    return ExportSpec(
        module,
        {"images": torch.zeros(1, 3, height, width, device=model.device)},
        ModelDescription(
            layout="queries",
            outputs=tuple(ModelOutput(name, name) for name in module.outputs),
            preprocess=preprocess(architecture.inputs),
            classes=architecture.classes,
        ),
        {name: {0: "batch"} for name in names},
        {
            "size": f"positions and anchors of {width}x{height} pixels are constants in it; another size is "
            "chosen with --option image_size=WIDTH,HEIGHT"
        },
        # Anchors, boxes as they are refined from layer to layer, and the places that attention looks at.
        float32_scopes=("", "/model/model", r"/model/model/decoder(/layers\.\d+/encoder_attn)?"),
    )
