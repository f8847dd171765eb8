"""Encoders: images to features at strides 2, 4, 8, 16 and 32."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from anydet.errors import OptionError

STRIDE = 32
"""Pixels of the image that one cell of the deepest features stands for."""
_TIMM = "timm:"


class Encoder(nn.Module):
    """What the model needs of an encoder.

    Attributes:
        channels: stride -> number of channels, for the strides it has features at; 32 is one of them.
    """

    channels: Mapping[int, int]

    def forward(self, images: Tensor) -> dict[int, Tensor]:
        """(B, 3, H, W) images to features (B, C, H / stride, W / stride) by stride."""
        raise NotImplementedError


def build_encoder(name: str, *, pretrained: bool = False) -> Encoder:
    """The encoder of a name: ``residual``, or ``timm:NAME`` for any backbone of timm.

    Raises ``OptionError`` for an unknown name, or a backbone without features at stride 32.
    """
    if name == "residual":
        return ResidualEncoder()
    if name.startswith(_TIMM):
        return TimmEncoder(name.removeprefix(_TIMM), pretrained=pretrained)
    raise OptionError(
        f"there is no encoder {name!r} (known: residual, {_TIMM}NAME)", fix=f"write --encoder {_TIMM}resnet18"
    )


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut, halving the resolution.

    Source: He et al. 2016, "Deep Residual Learning for Image Recognition", figure 5 left.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, stride=2, bias=False), nn.BatchNorm2d(outputs)
        )

    def forward(self, features: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H / 2, W / 2)."""
        return functional.relu(self.body(features) + self.shortcut(features))


class ResidualEncoder(Encoder):
    """A stem and four residual blocks: 256 channels at stride 32, 1.2 million weights."""

    channels: Mapping[int, int] = {2: 16, 4: 32, 8: 64, 16: 128, 32: 256}

    def __init__(self) -> None:
        super().__init__()
        widths = list(self.channels.values())
        self.stem = nn.Sequential(
            nn.Conv2d(3, widths[0], 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(inplace=True),
        )
        self.blocks = nn.ModuleList(map(ResidualBlock, widths[:-1], widths[1:]))

    def forward(self, images: Tensor) -> dict[int, Tensor]:
        """Features by stride."""
        features = {2: self.stem(images)}
        for stride, block in zip(list(self.channels)[1:], self.blocks, strict=True):
            features[stride] = block(features[stride // 2])
        return features


class TimmEncoder(Encoder):
    """A backbone of timm; only the resolutions that the decoder can use are kept."""

    def __init__(self, name: str, *, pretrained: bool = False) -> None:
        super().__init__()
        try:
            # timm is an extra of this package; the residual encoder works without it.
            import timm
        except ModuleNotFoundError as exc:
            raise OptionError(
                f"encoder {_TIMM}{name} needs timm, which is not installed",
                fix="pip install 'anydet-adaptivestream[timm]'",
            ) from exc
        # timm asks a location (hf_hub:..., local-dir:...) for the architecture even without weights: the
        # description of a checkpoint must not cause that.
        if ":" in name and not pretrained:
            raise OptionError(
                f"encoder {_TIMM}{name} is a location, not a backbone of timm",
                fix="choose one of timm.list_models(), such as timm:resnet18",
            )
        try:
            body: Any = timm.create_model(name, pretrained=pretrained, features_only=True)
        except (RuntimeError, AttributeError, OSError) as exc:  # an unknown name, no features, no network
            raise OptionError(
                f"timm gives no features of a backbone {name!r}: {exc}",
                fix="choose one of timm.list_models(), and pretrained=false without a network",
            ) from exc
        strides = [int(stride) for stride in body.feature_info.reduction()]
        if STRIDE not in strides:
            raise OptionError(
                f"timm's {name} has features at strides {strides}, none at {STRIDE}",
                fix="choose a convolutional backbone, such as timm:resnet18",
            )
        self.body = body
        self._strides = strides
        self.channels = dict(zip(strides, body.feature_info.channels(), strict=True))

    def forward(self, images: Tensor) -> dict[int, Tensor]:
        """Features by stride."""
        found = dict(zip(self._strides, self.body(images), strict=True))
        return {stride: features.contiguous() for stride, features in found.items()}
