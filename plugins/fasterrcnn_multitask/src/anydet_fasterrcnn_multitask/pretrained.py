"""First weights: torchvision's, or those of a file, put into a model whose heads may be others."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from torchvision.models import ResNet18_Weights
from torchvision.models.detection.faster_rcnn import (
    FasterRCNN_MobileNet_V3_Large_320_FPN_Weights,
    FasterRCNN_ResNet50_FPN_V2_Weights,
    FasterRCNN_ResNet50_FPN_Weights,
)

from anydet.training.detectors.published import download
from anydet.training.first_weights import FirstWeights, Names, start_from
from anydet_fasterrcnn_multitask.architecture import Backbone
from anydet_fasterrcnn_multitask.model import MultiTaskFasterRCNN
from anydet_fasterrcnn_multitask.saved import Saved, has_heads, read_saved

_BODY = "backbone.body."
_WEIGHTS = {
    "resnet50_fpn": FasterRCNN_ResNet50_FPN_Weights.DEFAULT,
    "resnet50_fpn_v2": FasterRCNN_ResNet50_FPN_V2_Weights.DEFAULT,
    "mobilenet_v3_large_320_fpn": FasterRCNN_MobileNet_V3_Large_320_FPN_Weights.DEFAULT,
    "resnet18_fpn": ResNet18_Weights.DEFAULT,
}
"""COCO detectors; of ResNet-18 there is an ImageNet classifier alone."""
_HEADS = ("roi_heads.box_predictor.", "roi_heads.state_head.")
"""What depends on the classes and states of a data set."""
_NOT_BODY = ("backbone.fpn.", "rpn.", "roi_heads.", *_HEADS)
"""What a file with weights of the backbone alone lacks."""


def read_pretrained(weights: str, backbone: Backbone) -> Saved | None:
    """The weights that the training key names: ``default``, ``none`` or a path.

    Raises ``TrainingError`` where they cannot be had.
    """
    if weights == "none":
        return None
    if weights == "default":
        return _torchvision(backbone)
    saved = read_saved(weights)
    return Saved(_as_body(saved.model), saved.source, saved.about)


def take_weights(model: MultiTaskFasterRCNN, saved: Saved, theirs: Names, ours: Names) -> FirstWeights:
    """Put weights into a model: rows of classes and states by name, all else but heads that the file lacks.

    Args:
        model: as it was built.
        saved: weights of a detector, or of a backbone alone.
        theirs: names of their classes and states.
        ours: names of the model's.

    Raises ``TrainingError`` where the rest does not fit; lists missing, unexpected and wrong tensors.
    """
    own, state = model.state_dict(), dict(saved.model)
    body_only = all(key.startswith(_BODY) for key in state)
    # frozen norms have no counter of batches: it comes and goes with the kind of norm
    state = {key: tensor for key, tensor in state.items() if key in own or not _is_counter(key)}
    state |= {key: tensor for key, tensor in own.items() if key not in state and _is_counter(key)}
    optional = [name for name in _NOT_BODY if body_only or name in _HEADS]
    return start_from(model, state, source=saved.source, theirs=theirs, ours=ours, optional=optional)


def _is_counter(key: str) -> bool:
    return key.endswith(".num_batches_tracked")


def _torchvision(backbone: Backbone) -> Saved:
    weights = _WEIGHTS[backbone]
    state = download(
        weights,
        lambda: weights.get_state_dict(progress=True, check_hash=True),
        instead="use --weights FILE, or --weights none to learn from scratch",
    )
    # Of a detector the first is the background; the rows of a classifier are not taken.
    names = weights.meta["categories"][1:] if has_heads(state) else ()
    return Saved(_as_body(state), f"torchvision's {weights}", classes=tuple(names))


def _as_body(state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """A ResNet classifier's weights under the names they have inside a detector; others as they are."""
    if "conv1.weight" not in state:
        return state
    return {_BODY + key: tensor for key, tensor in state.items() if not key.startswith("fc.")}
