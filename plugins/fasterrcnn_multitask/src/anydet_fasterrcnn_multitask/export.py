"""``ExportedDetector``: images of any size to as many rows each as there may be detections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from torchvision.models.detection.image_list import ImageList

from anydet.plugins.export import ExportSpec, Meaning, ModelDescription, ModelOutput
from anydet_fasterrcnn_multitask.all_rows import AllForm
from anydet_fasterrcnn_multitask.fixed_rows import detect, propose
from anydet_fasterrcnn_multitask.found_rows import FoundForm
from anydet_fasterrcnn_multitask.model import MULTIPLE, MultiTaskFasterRCNN
from anydet_fasterrcnn_multitask.predictor import USUAL_DETECTIONS, preprocess
from anydet_fasterrcnn_multitask.rows import ABSENT, Form
from anydet_fasterrcnn_multitask.saved import About

_SIZE_HW = (256, 320)
"""Of the image that is traced; any other may follow."""


class ExportedDetector(nn.Module):
    """Detections in rows of a fixed number an image, those behind the last of them padding.

    Args:
        model: whose weights are used, not copied.
        score_floor: detections below are left out.
        rows: most detections.
        states: whether the model was trained to predict states.
        form: of what depends on the image.
    """

    def __init__(
        self, model: MultiTaskFasterRCNN, *, score_floor: float, rows: int, states: bool, form: Form
    ) -> None:
        super().__init__()
        self.model = model
        self.score_floor = score_floor
        self.rows = rows
        self.states = states
        self.form = form

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W) to boxes (B, K, 4) in its pixels, scores (B, K), labels (B, K), states (B, K, S).

        The label of padding is -1.
        """
        model = self.model
        height, width = images.shape[-2:]
        # Padded here, not before: boxes are clipped to the image, whose size the padding would hide.
        padded = pad(images, (0, -width % MULTIPLE, 0, -height % MULTIPLE))
        # As a tensor, so that a trace follows the image instead of keeping the example's numbers.
        size_wh = torch._shape_as_tensor(images)[2:].flip(0).to(images)
        features = model.pyramid(padded)
        proposals, objectness = propose(model, features, padded, size_wh, self.form)
        boxes, scores, labels = detect(
            model,
            features,
            proposals,
            objectness > ABSENT,
            size_wh,
            form=self.form,
            score_floor=self.score_floor,
            rows=self.rows,
        )
        found = scores > ABSENT
        outputs = (
            torch.where(found[..., None], boxes, 0.0),
            torch.where(found, scores, 0.0),
            torch.where(found, labels, -1),
        )
        if not self.states:
            return outputs
        chosen = self.form.rows(found)
        regions = chosen.features(model, features, boxes)
        states = model.roi_heads.state_head(regions).float().softmax(-1)
        return *outputs, chosen.spread(states, 0.0).reshape(-1, self.rows, states.shape[1])


FORMS: Mapping[str, type[Form]] = {"found": FoundForm, "all": AllForm}
"""By the adapter's option ``export_rows``."""


def export_spec(
    model: MultiTaskFasterRCNN, about: About, *, score_floor: float, most: int, rows: str = "found"
) -> ExportSpec:
    """Of images of any size, each run's of one.

    Args:
        model: in evaluation mode.
        about: classes, states and architecture.
        score_floor: detections below are never output.
        most: detections of an image, at least.
        rows: a key of ``FORMS``.
    """
    states = bool(about.state_names)
    names: list[Meaning] = ["boxes_xyxy_px", "scores", "labels"]
    names += ["state_scores"] * states
    module = ExportedDetector(
        model,
        score_floor=score_floor,
        rows=max(USUAL_DETECTIONS, most),
        states=states,
        form=FORMS[rows](),
    )
    example = torch.zeros(1, 3, *_SIZE_HW, device=model.device)
    with torch.no_grad():
        # The scales of its levels, which the pooling of regions infers when it is used first.
        model.detect(ImageList(example, [_SIZE_HW]))
    return ExportSpec(
        module.eval(),
        {"images": example},
        ModelDescription(
            layout="detections",
            outputs=tuple(ModelOutput(name, name) for name in names),
            preprocess=replace(preprocess(about.architecture), pad_to_multiple=1),
            classes=about.classes,
            states=about.state_names,
        ),
        {"images": {0: "batch", 2: "height", 3: "width"}, **{name: {0: "batch"} for name in names}},
        # What is not in a layer: decoding, clipping and suppression of boxes, in pixels.
        float32_scopes=("", "/anchor_generator"),
    )
