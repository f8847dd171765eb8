"""What a model is built of, as typed plain data: the key ``model`` of a config, and what checkpoints say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from anydet.errors import OptionError
from anydet.training.checkpoints.description import broken_description, read_description

T = TypeVar("T")
Positive = Annotated[int, Meta(ge=1, le=1_000_000)]
Pixels = Annotated[int, Meta(ge=1, le=100_000)]
Norm = Literal["bn", "syncbn", "frozenbn", "gn"]
STRIDES = (8, 16, 32)
"""Pixels of an input that a cell of P3, P4 and P5 stands for."""


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Unknown keys are refused."""


class Backbone(_Part, frozen=True, kw_only=True):
    """Who sees the image.

    Attributes:
        name: a registered backbone, ``timm:<name>``, or ``package.module:factory``.
        norm: its normalization; ``None`` is the backbone's own.
        args: what its factory takes: ``width_mult``, ``depth_mult``, or those of ``timm.create_model``.
    """

    name: str = "cspdarknet_s"
    norm: Norm | None = None
    args: dict[str, Any] = {}


class Projector(_Part, frozen=True, kw_only=True):
    """P3, P4 and P5 to what the transformer takes.

    Attributes:
        d_model: features of each place and of each query.
    """

    d_model: Annotated[int, Meta(ge=4, le=1_000_000, multiple_of=4)] = 256


class Transformer(_Part, frozen=True, kw_only=True):
    """Hybrid encoder and deformable decoder of RT-DETRv2.

    Attributes:
        encoder_layers: attention layers on P5.
        decoder_layers: each predicts classes, boxes and poses.
        ffn_dim: width of the feed-forward layers.
        attention_heads: must divide ``d_model``.
        sampling_points: places that a query looks at in each level.
        expansion: width of the encoder's convolutions, times ``d_model``.
        dropout: fraction of features hidden in training.
    """

    encoder_layers: Annotated[int, Meta(ge=0, le=1000)] = 1
    # transformers ties heads of layers by name, and raises where there is one layer alone
    decoder_layers: Annotated[int, Meta(ge=2, le=1000)] = 6
    ffn_dim: Positive = 1024
    attention_heads: Positive = 8
    sampling_points: Positive = 4
    expansion: Annotated[float, Meta(gt=0, le=1000)] = 1.0
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.0


class Model(_Part, frozen=True, kw_only=True):
    """The key ``model`` of a config file."""

    backbone: Backbone = Backbone()
    projector: Projector = Projector()
    transformer: Transformer = Transformer()


class Heads(_Part, frozen=True, kw_only=True):
    """Heads of each query beside class and box.

    Attributes:
        pose: depth, rotation and offset.
        uncertainty: how sure depth and rotation are; needs ``pose``.
        camera: the camera of an image, where nobody knows it; needs ``pose``.
        keypoints: points of an object; 0 for none.
    """

    pose: bool = True
    uncertainty: bool = False
    camera: bool = True
    keypoints: Annotated[int, Meta(ge=0, le=1_000_000)] = 0


class Mim(_Part, frozen=True, kw_only=True):
    """Masked image modeling; see ``mim``.

    Attributes:
        mask_prob: fraction of patches that are hidden.
        patch_px: side of a patch in pixels, a multiple of 32, so that patches end where cells of P5 do.
        teacher: ``ema`` follows the model, ``trained`` is the model itself.
        teacher_decay: fraction of the old average that the teacher keeps, a step.
    """

    mask_prob: Annotated[float, Meta(ge=0, le=1)] = 0.6
    patch_px: Annotated[int, Meta(ge=32, le=100_000, multiple_of=32)] = 32
    teacher: Literal["ema", "trained"] = "ema"
    teacher_decay: Annotated[float, Meta(ge=0, lt=1)] = 0.996


class Inputs(_Part, frozen=True, kw_only=True):
    """How an image becomes an input.

    Attributes:
        size_wh: width and height in pixels, multiples of 32.
        resize: ``stretch`` changes the aspect ratio, ``letterbox`` keeps it and adds gray margins.
    """

    size_wh: tuple[Pixels, Pixels] = (640, 640)
    resize: Literal["stretch", "letterbox"] = "stretch"


class Architecture(_Part, frozen=True, kw_only=True):
    """All of a model but its weights.

    Attributes:
        classes: their names.
        model: backbone, projector and transformer.
        heads: beside class and box.
        inputs: how images come in.
        num_queries: objects an image can have.
        num_denoising: queries in training that start at noisy truths; 0 for none.
        label_noise: fraction of their classes that is wrong.
        box_noise: how far their boxes are off, relative to their size.
        mim: masked image modeling; ``None`` for none.
        published: config of a model of ``transformers`` that is taken as it is, in place of ``model``.
    """

    classes: tuple[str, ...]
    model: Model = Model()
    heads: Heads = Heads()
    inputs: Inputs = Inputs()
    num_queries: Positive = 300
    num_denoising: Annotated[int, Meta(ge=0, le=1_000_000)] = 100
    label_noise: Annotated[float, Meta(ge=0, le=1)] = 0.5
    box_noise: Annotated[float, Meta(ge=0, le=1000)] = 1.0
    mim: Mim | None = None
    published: dict[str, Any] | None = None

    def description(self) -> dict[str, Any]:
        """Plain data for checkpoints."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain


def read_architecture(description: Mapping[str, Any], *, source: str) -> Architecture:
    """What ``description`` gave; raises ``TrainingError`` where it is of no model that can be built."""
    found = read_description(description, Architecture, source=source, adapter="rtdetr_pose")
    try:
        _check_heads(found.model, source)
        read_size(list(found.inputs.size_wh))
        check_queries(found.num_queries, found.inputs)
    except OptionError as exc:
        raise broken_description(exc.problem, source=source, adapter="rtdetr_pose") from exc
    return _without_first_weights(found)


def _without_first_weights(architecture: Architecture) -> Architecture:
    """Its backbone has the checkpoint's weights, so that no others are fetched or read for it."""
    backbone = architecture.model.backbone
    args = {key: value for key, value in backbone.args.items() if key not in _FIRST_WEIGHTS}
    replaced = msgspec.structs.replace
    model = replaced(architecture.model, backbone=replaced(backbone, args=args))
    return replaced(architecture, model=model)


_FIRST_WEIGHTS = ("pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir")
"""Arguments of ``timm.create_model``."""


def read_model(values: Mapping[str, Any] | None, *, source: str = "model") -> Model:
    """The key ``model`` of a config; raises ``OptionError`` that names the wrong key."""
    model = _convert(values or {}, Model, source)
    _check_heads(model, source)
    return model


def _check_heads(model: Model, source: str) -> None:
    width, heads = model.projector.d_model, model.transformer.attention_heads
    if width % heads:
        raise OptionError(
            f"{source}: d_model {width} is not divisible by {heads} attention_heads",
            fix=f"choose transformer.attention_heads that divide {width}",
        )


def check_queries(count: int, inputs: Inputs) -> None:
    """Raise ``OptionError`` where an input has fewer places than there are queries."""
    width, height = inputs.size_wh
    places = sum((width // stride) * (height // stride) for stride in STRIDES)
    if count > places:
        raise OptionError(
            f"num_queries {count}: an input of {width} x {height} pixels has {places} feature locations to "
            "select queries from",
            fix=f"--num-queries {places} or fewer, or a larger --image-size",
        )


def read_size(value: int | list[int]) -> tuple[int, int]:
    """``640`` or ``[width, height]`` as (width, height); raises ``OptionError`` for what is no input size."""
    width, height = (value, value) if isinstance(value, int) else value
    if width % 32 or height % 32 or min(width, height) < 32:
        raise OptionError(
            f"image_size {width} x {height}: sides must be multiples of 32",
            fix=f"--image-size {max(32, round(width / 32) * 32)}",
        )
    return width, height


def _convert(values: Any, kind: type[T], source: str) -> T:
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as exc:
        raise OptionError(
            f"{source}: {exc}", fix="see the packaged configs, such as 'anydet train base --help'"
        ) from exc
