"""Weights: those that torchvision publishes, runs and checkpoints of anydet, and plain state dictionaries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from anydet.errors import OptionError, TrainingError, did_you_mean
from anydet.text import listed, one_line
from anydet.training.checkpoints.checkpoint import Checkpoint
from anydet.training.checkpoints.state_file import State, read_weights, without_wrapper
from anydet.training.detectors.published import download
from anydet.training.first_weights import Names
from anydet.training.lora.spec import LoraState
from anydet_torchvision.about import NAME, About
from anydet_torchvision.detectors import build_detector
from anydet_torchvision.model import PREFIX
from anydet_torchvision.net import build_net, frozen_eps, is_keypoint_model
from anydet_torchvision.zoo import USUAL_MODEL, builder_of, enumerations, published, weights_of

NO_WEIGHTS = "none"
_NO_EPS = frozenset(
    f"{kind}_resnet50_fpn" for kind in ("fasterrcnn", "maskrcnn", "keypointrcnn", "retinanet")
)
"""Models whose published weights have frozen norms without epsilon; plain files do not say it."""
_USUAL_EPS = 1e-5


@dataclass(frozen=True, slots=True, eq=False)
class Saved:
    """Weights as they were read.

    Attributes:
        model: state dictionary of a ``Detector``.
        source: the file or the publisher, for messages.
        about: the model that they are of.
        lora: LoRA layers, which are merged into ``model``.
        fixed: names of parameters that torchvision does not train when it starts with these weights.
    """

    model: Mapping[str, Tensor]
    source: str
    about: About
    lora: LoraState | None = None
    fixed: frozenset[str] = frozenset()

    @property
    def names(self) -> Names:
        """Of its rows, those that are no class too."""
        return Names(self.about.rows)


def read_option(weights: str, model: str | None, trainable_layers: int | None = None) -> Saved | None:
    """What the option or key ``weights`` names: published weights, a file, or nothing.

    Args:
        weights: ``none``, a name as ``zoo.published`` has it, or a path.
        model: name of the model; ``None`` for the usual one, or the one that the weights are of.
        trainable_layers: of the backbone, as torchvision's builders take them; for published weights alone.

    Raises:
        OptionError: it is nothing of these.
        TrainingError: the weights cannot be had.
    """
    found = published(weights, model)
    if trainable_layers is not None and found is None:
        raise OptionError(
            "trainable_backbone_layers is for weights that torchvision publishes",
            fix="leave it out, or use weights DEFAULT",
        )
    if weights == NO_WEIGHTS:
        return None
    if found is not None:
        return _published(*found, trainable_layers)
    if not Path(weights).exists():
        names = [*weights_of(model or USUAL_MODEL).__members__, NO_WEIGHTS]
        raise OptionError(
            f"weights {weights!r:.200}: no such file, and no name of weights of {model or USUAL_MODEL}"
            f"{did_you_mean(weights, [*enumerations(), *names])}",
            fix=f"choose one of {listed(names, 8, quotes=False)}, or a file of a state dictionary",
        )
    return read_saved(weights, model)


def read_saved(path: str, model: str | None = None) -> Saved:
    """A run's folder, a checkpoint of this adapter, or a plain state dictionary of a model of torchvision.

    Raises ``TrainingError`` for everything else.
    """
    file, content = read_weights(path)
    if isinstance(content, Checkpoint):
        content.check_adapter(NAME)
        about = About.from_description(content.description, source=content.source)
        if model is not None and model != about.model:
            raise TrainingError(
                f"{content.source}: a model {about.model}, not {model}",
                fix="leave the model out, or the file",
            )
        return Saved(content.model, content.source, about, content.lora)
    return _plain(content, str(file), model or USUAL_MODEL)


def _published(model: str, weights: Any, trainable_layers: int | None) -> Saved:
    """What torchvision's own builder makes of the weights: it alone knows which norms go with them."""
    layers = {} if trainable_layers is None else {"trainable_backbone_layers": trainable_layers}
    net = download(
        weights,
        lambda: builder_of(model)(weights=weights, **layers),
        instead="use weights none, or the file of other weights",
    )
    fixed = {name for name, parameter in net.named_parameters() if not parameter.requires_grad}
    about = replace(_about_published(model, weights), norm_eps=frozen_eps(net.backbone))
    return Saved(_prefixed(net.state_dict()), f"torchvision's {weights}", about, fixed=_names(fixed))


def _about_published(model: str, weights: Any) -> About:
    names, points = weights.meta["categories"][1:], weights.meta.get("keypoint_names", ())
    return About(model, tuple(names), gaps=True, keypoint_names=tuple(points))


def usual(model: str) -> About:
    """The model that torchvision publishes weights of, without them."""
    return _about_published(model, weights_of(model).DEFAULT)


def _plain(state: State, source: str, model: str) -> Saved:
    """A state dictionary, put into a bare model: torchvision renames tensors of old files itself."""
    if any(name.startswith("module.") for name in state):
        state = without_wrapper(state)
    about = _inferred(state, source, model)
    net = build_net(about)
    try:
        net.load_state_dict(state)
    except RuntimeError as exc:
        raise _misfit(source, model, one_line(str(exc))) from exc
    return Saved(_prefixed(net.state_dict()), source, about)


def _inferred(state: State, source: str, model: str) -> About:
    """What names and shapes imply: classes, keypoints, and whether norms are frozen."""
    known = usual(model)
    detector = build_detector(known)
    name, rows = next((name, rows) for name, rows in detector.named_rows().items() if rows.each == 1)
    name = name.removeprefix(PREFIX)
    if name not in state or not state[name].ndim:
        raise _misfit(source, model, f"{name} is missing")
    count = len(state[name]) // rows.blocks - rows.before
    if count < 1:
        raise _misfit(source, model, f"{name} has {len(state[name])} rows")
    about = replace(known, norm_eps=_norm_eps(state, model))
    if count != len(known.rows):
        about = replace(about, rows=tuple(f"class {i}" for i in range(count)), gaps=False)
    points = state.get("roi_heads.keypoint_predictor.kps_score_lowres.weight")
    if is_keypoint_model(detector.net) and points is not None and points.ndim > 1:
        about = with_keypoints(about, points.shape[1])
    return about


def with_keypoints(about: About, count: int) -> About:
    """With so many keypoints: their names where there are as many, else numbers."""
    if len(about.keypoint_names) == count:
        return about
    return replace(about, keypoint_names=tuple(str(number) for number in range(1, count + 1)))


def _norm_eps(state: State, model: str) -> float | None:
    """Epsilon of frozen norms, which have running statistics and no counter of batches."""
    body = [name for name in state if name.startswith("backbone.body.")]
    frozen = any(name.endswith("running_mean") for name in body)
    frozen = frozen and not any(name.endswith("num_batches_tracked") for name in body)
    if not frozen:
        return None
    return 0.0 if model in _NO_EPS else _USUAL_EPS


def _misfit(source: str, model: str, problem: str) -> TrainingError:
    return TrainingError(
        f"{source}: no weights of {model}: {problem}",
        fix="name their model with --option model=NAME (model: NAME in a training config), or give a run's "
        "folder",
    )


def _prefixed(state: State) -> dict[str, Tensor]:
    return {PREFIX + name: tensor for name, tensor in state.items()}


def _names(names: set[str]) -> frozenset[str]:
    return frozenset(PREFIX + name for name in names)
