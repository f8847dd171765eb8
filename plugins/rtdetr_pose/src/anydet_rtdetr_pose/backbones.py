"""The backbone contract: P3, P4 and P5 at strides 8, 16 and 32, whoever makes them.

A backbone is a module with ``channels``, three numbers, whose ``forward`` takes (B, 3, H, W) and gives three
feature maps (B, channels[i], H / stride, W / stride). Third parties register a factory
(``register_backbone``), or name it in their config as ``package.module:factory``.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeAlias

import timm
import torch
from torch import Tensor, nn

from anydet.errors import AnydetError, OptionError, did_you_mean
from anydet_rtdetr_pose.architecture import STRIDES, Backbone, Norm
from anydet_rtdetr_pose.csp import CSPNet, DarknetBlock, ResBlock, TinyCNN
from anydet_rtdetr_pose.norms import replace_norms

Factory: TypeAlias = Callable[..., nn.Module]
_PROBE_PX = 64
_TIMM = "timm:"
_FACTORIES: dict[str, Factory] = {}
_BATCH_NORMS = {"convnext_tiny": {"norm_layer": "batchnorm2d", "conv_mlp": True}}
"""Args that give batch norms to backbones which have other ones by themselves."""


def register_backbone(name: str, factory: Factory) -> None:
    """Make ``factory(**args)`` known under a name; its batch norms are changed by ``norm`` afterwards.

    Raises ``OptionError`` where the name is taken by another factory.
    """
    if _FACTORIES.setdefault(name, factory) is not factory:
        raise OptionError(f"a backbone called {name!r} is registered already", fix="choose another name")


def backbone_names() -> tuple[str, ...]:
    """Names of the registered backbones; every timm model with features can be used beside them."""
    return tuple(sorted(_FACTORIES))


def is_imported(name: str) -> bool:
    """Whether a backbone of that name is the function of a package, which is imported and called."""
    return ":" in name and name not in _FACTORIES and not name.startswith(_TIMM)


def build_backbone(spec: Backbone) -> nn.Module:
    """A backbone that keeps the contract, with random weights unless its args say otherwise.

    Raises ``OptionError`` where the name is unknown, args do not fit it, or the contract is broken.
    """
    name, factory = _find(spec.name)
    args = {**spec.args, **(_BATCH_NORMS.get(name, {}) if spec.norm else {})}
    try:
        backbone = factory(**args)
    except AnydetError:
        raise
    except Exception as exc:  # what a foreign factory thinks of its args
        reason = str(exc).strip().split("\n", maxsplit=1)[0]
        raise OptionError(
            f"backbone {name} cannot be built with args {args!s:.200}: {reason:.200}",
            fix="correct model.backbone.args; without network leave 'pretrained' out",
        ) from exc
    if spec.norm is not None:
        _change_norms(backbone, spec.norm, name)
    check_pyramid(backbone, name)
    return backbone


def check_pyramid(backbone: nn.Module, name: str) -> None:
    """Look at one small image's features; raises ``OptionError`` that names what breaks the contract."""
    mode = backbone.training
    backbone.eval()
    with torch.no_grad():
        maps = list(backbone(torch.zeros(1, 3, _PROBE_PX, _PROBE_PX)))
    backbone.train(mode)
    channels = tuple(getattr(backbone, "channels", ()))
    if len(maps) != len(STRIDES) or len(channels) != len(STRIDES):
        raise _broken(
            name, f"gives {len(maps)} feature maps and states {len(channels)} channel counts, not 3"
        )
    for level, (features, stride, count) in enumerate(zip(maps, STRIDES, channels, strict=True), start=3):
        if features.shape[1] != count:
            raise _broken(name, f"P{level} has {features.shape[1]} channels, channels states {count}")
        side = _PROBE_PX // stride
        if tuple(features.shape[2:]) != (side, side):
            found = _PROBE_PX / features.shape[2]
            raise _broken(name, f"P{level} has stride {found:g}, not {stride}")


class TimmPyramid(nn.Module):
    """Features of a timm model, channels first.

    Args:
        features: a model made with ``features_only``.

    Attributes:
        channels: of P3, P4 and P5.
    """

    def __init__(self, features: nn.Module) -> None:
        super().__init__()
        self.features = features
        self.channels = tuple(features.feature_info.channels())  # type: ignore[operator, union-attr]
        self._last = features.output_fmt == "NHWC" if hasattr(features, "output_fmt") else False

    def forward(self, images: Tensor) -> list[Tensor]:
        """P3, P4, P5 of (B, 3, H, W)."""
        maps = self.features(images)
        return [each.permute(0, 3, 1, 2) for each in maps] if self._last else list(maps)


def timm_backbone(name: str, **args: Any) -> TimmPyramid:
    """The last three features of a timm model; ``args`` are those of ``timm.create_model``."""
    model = timm.create_model(name, features_only=True, out_indices=(-3, -2, -1), **args)
    return TimmPyramid(model)


def resnet50(width_mult: float = 1.0, depth_mult: float = 1.0, **args: Any) -> TimmPyramid:
    """ResNet-50 of timm, wider or deeper (He et al. 2015)."""
    layers = tuple(_deep(n, depth_mult) for n in (3, 4, 6, 3))
    channels = tuple(_wide(n, width_mult) for n in (64, 128, 256, 512))
    return timm_backbone("resnet50", layers=layers, channels=channels, **args)


def convnext_tiny(width_mult: float = 1.0, depth_mult: float = 1.0, **args: Any) -> TimmPyramid:
    """ConvNeXt-T of timm, wider or deeper (Liu et al. 2022)."""
    depths = tuple(_deep(n, depth_mult) for n in (3, 3, 9, 3))
    dims = tuple(_wide(n, width_mult) for n in (96, 192, 384, 768))
    return timm_backbone("convnext_tiny", depths=depths, dims=dims, **args)


def cspdarknet_s(width_mult: float = 1.0, depth_mult: float = 1.0) -> CSPNet:
    """Backbone of YOLOX-S, wider or deeper."""
    widths = [_wide(n, width_mult) for n in (32, 64, 128, 256, 512)]
    return CSPNet(widths, [_deep(n, depth_mult) for n in (1, 3, 3, 1)], DarknetBlock)


def cspresnet(width_mult: float = 1.0, depth_mult: float = 1.0) -> CSPNet:
    """Backbone of PP-YOLOE-L, wider or deeper."""
    widths = [_wide(n, width_mult) for n in (64, 128, 256, 512, 1024)]
    return CSPNet(widths, [_deep(n, depth_mult) for n in (3, 6, 6, 3)], ResBlock, attention=True)


def tiny_cnn(width_mult: float = 1.0, depth_mult: float = 1.0) -> TinyCNN:
    """Five convolutions; has no depth to multiply."""
    del depth_mult
    return TinyCNN([_wide(n, width_mult) for n in (16, 32, 64, 96, 128)])


for _factory in (cspdarknet_s, cspresnet, resnet50, convnext_tiny, tiny_cnn):
    register_backbone(_factory.__name__, _factory)


def _find(name: str) -> tuple[str, Factory]:
    """Plain name and factory."""
    plain = name.removeprefix(_TIMM)
    if name in _FACTORIES:
        return name, _FACTORIES[name]
    if plain in timm.list_models():
        return plain, lambda **args: timm_backbone(plain, **args)
    if is_imported(name):
        return name, _imported(name)
    known = [*backbone_names(), *timm.list_models()]
    raise OptionError(
        f"no backbone called {name!r}{did_you_mean(plain, known)}",
        fix=f"choose {', '.join(backbone_names())}, timm:NAME, or package.module:factory",
    )


def _imported(name: str) -> Factory:
    module, _, attribute = name.partition(":")
    try:
        factory: Factory = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as exc:
        raise OptionError(
            f"backbone {name} cannot be imported: {exc}", fix="install its package, or correct the path"
        ) from exc
    return factory


def _change_norms(backbone: nn.Module, norm: Norm, name: str) -> None:
    if not replace_norms(backbone, norm):
        raise OptionError(
            f"backbone {name} has no batch norms to replace by {norm}",
            fix="leave model.backbone.norm out",
        )


def _wide(channels: int, mult: float) -> int:
    """In steps of 8, which groups of norms can divide."""
    return max(8, round(channels * mult / 8) * 8)


def _deep(blocks: int, mult: float) -> int:
    return max(1, round(blocks * mult))


def _broken(name: str, what: str) -> OptionError:
    return OptionError(
        f"backbone {name} does not meet the backbone contract: {what}",
        fix="give P3, P4, P5 at strides 8, 16, 32 with their channels in 'channels'",
    )
