"""Cross-stage-partial networks: the darknet of YOLOX and the residual one of PP-YOLOE.

Sources: Wang et al. 2020, "CSPNet"; Ge et al. 2021, "YOLOX"; Xu et al. 2022, "PP-YOLOE".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn


class ConvNormAct(nn.Sequential):
    """Convolution, batch norm, SiLU; keeps the size but for the stride."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(outputs),
            nn.SiLU(),
        )


class DarknetBlock(nn.Module):
    """1x1 and 3x3 around which a shortcut leads."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(ConvNormAct(width, width, 1), ConvNormAct(width, width, 3))

    def forward(self, features: Tensor) -> Tensor:
        """(B, width, H, W), the same size."""
        changed: Tensor = self.body(features)
        return features + changed


class ResBlock(nn.Module):
    """Two 3x3 around which a shortcut leads."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(ConvNormAct(width, width, 3), ConvNormAct(width, width, 3))

    def forward(self, features: Tensor) -> Tensor:
        """(B, width, H, W), the same size."""
        changed: Tensor = self.body(features)
        return features + changed


class ChannelAttention(nn.Module):
    """Each channel weighted by its global average (effective squeeze-excitation, Lee & Park 2020)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weigh = nn.Conv2d(width, width, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, width, H, W), the same size."""
        weights = self.weigh(features.mean(dim=(2, 3), keepdim=True))
        return features * nn.functional.hardsigmoid(weights)


class CSPStage(nn.Module):
    """Half the channels go through blocks, half past them.

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        depth: how many blocks.
        block: makes one.
        attention: whether the result's channels are weighed.
    """

    def __init__(
        self, inputs: int, outputs: int, depth: int, block: Callable[[int], nn.Module], *, attention: bool
    ) -> None:
        super().__init__()
        half = outputs // 2
        self.past = ConvNormAct(inputs, half, 1)
        self.through = nn.Sequential(ConvNormAct(inputs, half, 1), *(block(half) for _ in range(depth)))
        self.attention = ChannelAttention(2 * half) if attention else nn.Identity()
        self.join = ConvNormAct(2 * half, outputs, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H, W)."""
        both = torch.cat([self.through(features), self.past(features)], dim=1)
        joined: Tensor = self.join(self.attention(both))
        return joined


class CSPNet(nn.Module):
    """A stem at stride 2 and four stages, each at twice the stride of the one before.

    Args:
        widths: channels of the stem and of the four stages.
        depths: blocks of the four stages.
        block: makes a block of so many channels.
        attention: whether stages weigh their channels.

    Attributes:
        channels: of P3, P4 and P5.
    """

    def __init__(
        self,
        widths: Sequence[int],
        depths: Sequence[int],
        block: Callable[[int], nn.Module],
        *,
        attention: bool = False,
    ) -> None:
        super().__init__()
        self.channels = tuple(widths[2:])
        self.stem = nn.Sequential(ConvNormAct(3, widths[0], 3, 2), ConvNormAct(widths[0], widths[0]))
        pairs = zip(widths, widths[1:], depths, strict=False)
        self.stages = nn.ModuleList(
            nn.Sequential(
                ConvNormAct(before, after, 3, 2), CSPStage(after, after, depth, block, attention=attention)
            )
            for before, after, depth in pairs
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        """P3, P4, P5 of (B, 3, H, W)."""
        features, found = self.stem(images), []
        for stage in self.stages:
            features = stage(features)
            found.append(features)
        return found[1:]


class TinyCNN(nn.Module):
    """Five convolutions at stride 2: no good detector, but quick to try things with.

    Args:
        widths: channels after each.

    Attributes:
        channels: of P3, P4 and P5.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.channels = tuple(widths[2:])
        self.stages = nn.ModuleList(
            ConvNormAct(before, after, 3, 2) for before, after in zip([3, *widths], widths, strict=False)
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        """P3, P4, P5 of (B, 3, H, W)."""
        features, found = images, []
        for stage in self.stages:
            features = stage(features)
            found.append(features)
        return found[2:]
