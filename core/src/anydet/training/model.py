"""``TorchModel``: what a torch model gives beside its outputs: features, names of its modules, named rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class NamedRows:
    """Where a tensor has rows of single classes or states.

    Attributes:
        kind: whose names the rows have.
        each: rows of one name, next to each other.
        before: first rows, which belong to no name of the data set, such as the background's.
        after: last rows of that kind, such as a padding's.
        axis: axis of the tensor that the rows are along.
        blocks: how often all of these rows follow one another, such as once for each anchor of a place.
    """

    kind: Literal["classes", "states"] = "classes"
    each: int = 1
    before: int = 0
    after: int = 0
    axis: int = 0
    blocks: int = 1


class TorchModel(nn.Module, ABC):
    """The model of a ``TorchAdapter`` and of a ``TrainingTask``."""

    @abstractmethod
    def features(self, images: Tensor) -> Mapping[str, Tensor]:
        """Feature maps of (B, 3, H, W) inputs; see ``Adapter.features``."""

    @abstractmethod
    def module_names(self) -> Mapping[str, Sequence[str]]:
        """Names of the modules of backbone, neck and head; see ``Adapter.module_names``.

        Parameter groups, the modules that adapters such as LoRA are put into, and filters of test-time
        training go by them.
        """

    def named_rows(self) -> Mapping[str, NamedRows]:
        """Name of each tensor that has rows of classes or states -> where they are.

        By these a model takes the weights of one that knows other classes (``first_weights``). A model that
        names none can begin with weights of the same classes alone.
        """
        return {}
