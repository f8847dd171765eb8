"""``Adaptors``: small layers beside the convolutions of a model, which change while the model stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from anydet.adaptation.ttt.selection import Scope
from anydet.errors import OptionError

if TYPE_CHECKING:
    from typing_extensions import Self

_NAME = "test_time_adaptor"


class Adaptor(nn.Module):
    """Two 1 x 1 convolutions with few channels between them, whose output is added to that of a convolution.

    The second one begins as zeros, so that a model with new adaptors is what it was.

    Args:
        convolution: beside which it stands.
        ratio: input channels over those in between.
        generator: of the first weights.
    """

    def __init__(self, convolution: nn.Conv2d, ratio: int, generator: torch.Generator) -> None:
        super().__init__()
        width = max(1, convolution.in_channels // ratio)
        like = convolution.weight
        self.down = nn.Conv2d(convolution.in_channels, width, 1, stride=_pair(convolution.stride), bias=False)
        self.up = nn.Conv2d(width, convolution.out_channels, 1, bias=False)
        with torch.no_grad():
            drawn = torch.randn(self.down.weight.shape, generator=generator)
            self.down.weight.copy_(drawn / convolution.in_channels**0.5)
            self.up.weight.zero_()
        self.to(like.device, like.dtype)

    def forward(self, inputs: Tensor, output: Tensor) -> Tensor:
        """(B, C', h, w) output of the convolution for these inputs, with what is added to it."""
        added = self.up(self.down(inputs).relu())
        # Of patches that do not fill the image, convolutions without padding leave out the last ones.
        result: Tensor = output + added[..., : output.shape[2], : output.shape[3]]
        return result


class Adaptors:
    """All adaptors of a model, each a child of its convolution as long as it is there.

    Args:
        convolutions: that have one.
        handles: of the hooks that add their outputs.
    """

    def __init__(self, convolutions: list[nn.Module], handles: list[RemovableHandle]) -> None:
        self._convolutions, self._handles = convolutions, handles

    @classmethod
    def insert(cls, model: nn.Module, scope: Scope, ratio: int, seed: int) -> Self:
        """Put one beside each convolution of the scope that looks at more than one pixel.

        Raises ``OptionError`` where there is none.
        """
        generator = torch.Generator().manual_seed(seed)
        chosen = [module for name, module in model.named_modules() if _fits(module) and scope.has(name)]
        if not chosen:
            raise OptionError(
                "align has no convolution to put adaptors beside",
                fix="change --ttt-include, or leave out --ttt-option adaptors",
            )
        handles = []
        for convolution in chosen:
            convolution.add_module(_NAME, Adaptor(convolution, ratio, generator).eval())
            handles.append(convolution.register_forward_hook(_add))
        return cls(chosen, handles)

    def remove(self) -> None:
        """Leave the model as it was. Safe to call twice."""
        for handle in self._handles:
            handle.remove()
        for convolution in self._convolutions:
            convolution._modules.pop(_NAME, None)


def _add(convolution: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
    result: Tensor = convolution.get_submodule(_NAME)(inputs[0], output)
    return result


def _pair(sides: tuple[int, ...]) -> tuple[int, int]:
    height, width = sides
    return height, width


def _fits(module: nn.Module) -> bool:
    """Whether a 1 x 1 convolution of the same stride gives an output of its size, or a little larger."""
    if not isinstance(module, nn.Conv2d) or module.groups != 1 or max(module.kernel_size) == 1:
        return False
    sides = list(zip(module.kernel_size, module.dilation, module.stride, strict=True))
    same = all(side % 2 == 1 for side in module.kernel_size) and module.padding == tuple(
        side // 2 * step for side, step, _ in sides
    )
    patches = module.padding == (0, 0) and all(side == stride for side, _, stride in sides)
    return same or patches
