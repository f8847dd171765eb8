"""``AdaptiveStream``: one encoder, class logits of every pixel and of the image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from msgspec import Meta
from torch import Tensor, nn
from torch.nn import functional

from anydet.training.model import NamedRows, TorchModel
from anydet_adaptivestream.decoder import WIDTHS, PlainDecoder, SkipDecoder
from anydet_adaptivestream.encoder import STRIDE, build_encoder

WIDTH = WIDTHS[0]


@dataclass(frozen=True, slots=True)
class Architecture:
    """What is built.

    Attributes:
        num_classes: of pixels and of images, which have one class table.
        encoder: ``residual`` or ``timm:NAME``.
        decoder: ``plain`` is a chain of transposed convolutions, ``skip`` adds the encoder's features to it.
        pretrained: whether timm's weights are fetched; without effect where weights are loaded afterwards.
    """

    num_classes: Annotated[int, Meta(ge=1, le=1_000_000)]
    encoder: str = "residual"
    decoder: Literal["plain", "skip"] = "plain"
    pretrained: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Plain data that builds it again, weights aside."""
        # A checkpoint's weights replace timm's, so rebuilding the model must not download them.
        return {**asdict(self), "pretrained": False}


@dataclass(frozen=True, slots=True)
class Description:
    """What checkpoints say of a model.

    Attributes:
        architecture: what it was built by.
        image_size: side of its inputs, in pixels.
    """

    architecture: Architecture
    image_size: Annotated[int, Meta(ge=1, le=100_000)]


class AdaptiveStream(TorchModel):
    """Joint segmentation and classification.

    The encoder's deepest features, 256 channels at stride 32 (7 x 7 for 224 x 224), feed a decoder that
    doubles them five times, and through an average over the image a linear classifier.

    Attributes:
        architecture: what it was built by.
        encoder: features by stride.
        neck: brings the deepest features to 256 channels; nothing where they have as many.
        decoder: features to pixel logits.
        classifier: pooled features to image logits.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.encoder = build_encoder(architecture.encoder, pretrained=architecture.pretrained)
        channels, classes = self.encoder.channels, architecture.num_classes
        deepest = channels[STRIDE]
        self.neck = nn.Identity() if deepest == WIDTH else nn.Conv2d(deepest, WIDTH, 1)
        self.decoder: PlainDecoder | SkipDecoder = (
            SkipDecoder(classes, channels) if architecture.decoder == "skip" else PlainDecoder(classes)
        )
        self.classifier = nn.Linear(WIDTH, classes)
        for module in self._own_modules():
            initialize(module)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) normalized images to pixel logits (B, C, H, W) and image logits (B, C).

        Sides that are no multiples of 32 are stretched bilinearly to the next multiple, and the pixel logits
        back to H x W.
        """
        size = images.shape[-2:]
        features, deepest = self._encode(images)
        pixels = fit(self.decoder.decode(features, deepest), size)
        return pixels, self.classifier(deepest.mean(dim=(2, 3)))

    def features(self, images: Tensor) -> dict[str, Tensor]:
        """The encoder's levels, ``backbone.stride2`` and so on, and ``neck.stride32``, its deepest one."""
        features, deepest = self._encode(images)
        levels = {f"backbone.stride{stride}": level for stride, level in features.items()}
        return {**levels, f"neck.stride{STRIDE}": deepest}

    def module_names(self) -> Mapping[str, Sequence[str]]:
        """The head is decoder and classifier."""
        return {"backbone": ("encoder",), "neck": ("neck",), "head": ("decoder", "classifier")}

    def named_rows(self) -> Mapping[str, NamedRows]:
        """The last doubling, whose weights are (inputs, classes, h, w), and the classifier."""
        last = "last" if self.architecture.decoder == "skip" else f"{len(self.decoder) - 1}"  # type: ignore[arg-type]
        return {
            f"decoder.{last}.weight": NamedRows(axis=1),
            **dict.fromkeys((f"decoder.{last}.bias", "classifier.weight", "classifier.bias"), NamedRows()),
        }

    def _encode(self, images: Tensor) -> tuple[dict[int, Tensor], Tensor]:
        """Features by stride, and the deepest with 256 channels."""
        # Doubling five times comes back to whole multiples of 32 only, and skips need equal sizes on both
        # sides.
        features = self.encoder(fit(images, whole_size(images.shape[-2:])))
        return features, self.neck(features[STRIDE])

    def _own_modules(self) -> Iterator[nn.Module]:
        """All but timm's, which initializes its own."""
        modules: list[nn.Module] = [self.neck, self.decoder, self.classifier]
        if self.architecture.encoder == "residual":
            modules.append(self.encoder)
        for module in modules:
            yield from module.modules()


def whole_size(size_hw: tuple[int, ...]) -> tuple[int, ...]:
    """Height and width, each raised to the next multiple of 32."""
    # Not -(-side // STRIDE): in a trace that becomes a division of ONNX, which truncates.
    return tuple((side + STRIDE - 1) // STRIDE * STRIDE for side in size_hw)


def fit(maps: Tensor, size_hw: tuple[int, ...]) -> Tensor:
    """(B, C, h, w) stretched bilinearly to (B, C, H, W); untouched where it has that size."""
    return maps if tuple(maps.shape[-2:]) == tuple(size_hw) else stretched(maps, size_hw)


def stretched(maps: Tensor, size_hw: tuple[int, ...]) -> Tensor:
    """(B, C, h, w) stretched bilinearly to (B, C, H, W)."""
    return functional.interpolate(maps, size=tuple(size_hw), mode="bilinear", align_corners=False)


def initialize(module: nn.Module) -> None:
    """Kaiming-normal weights and zero biases; normalization starts as the identity.

    Source: He et al. 2015, "Delving Deep into Rectifiers", equation 10. What torch calls the fan out of a
    transposed convolution counts its inputs.
    """
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        inputs: Literal["fan_in", "fan_out"] = (
            # Weights of a transposed convolution are (inputs, outputs, h, w), which swaps torch's fans.
            "fan_out" if isinstance(module, nn.ConvTranspose2d) else "fan_in"
        )
        nn.init.kaiming_normal_(module.weight, mode=inputs, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.ones_(module.weight)
        nn.init.zeros_(module.bias)
