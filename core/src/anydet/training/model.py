"""``TorchModel``: what a torch model gives beside its outputs: features, and names of its modules."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from torch import Tensor, nn


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
