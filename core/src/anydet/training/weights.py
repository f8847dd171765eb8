"""``ModelWeights``: which tensors of a model are saved, and how they are loaded; with LoRA, too."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from anydet.errors import TrainingError
from anydet.text import WORD, listed
from anydet.training.lora.quantized import dequantized, is_quantized, parts_of
from anydet.training.lora.spec import LoraSpec, plain_name


class ModelWeights:
    """Which tensors of a model its checkpoints hold, and how they go back into it.

    All weights of a run pass through the object that its task has: of the trained model and of its average,
    into ``last.pt`` and ``best.pt``, and back when the run resumes, gives up or ends. Here both forms are the
    model's state dictionary. A method that puts layers of its own into the model overrides it, to save them
    alone or to merge them into what predicts.

    Attributes:
        lora: LoRA layers among the tensors; a checkpoint says which they are.
    """

    lora: LoraSpec | None = None

    def training_state(self, model: nn.Module) -> dict[str, Tensor]:
        """What ``model`` needs to train on."""
        return model.state_dict()

    def load_training_state(self, model: nn.Module, state: Mapping[str, Tensor], *, source: str) -> None:
        """Put ``training_state`` back; raises ``TrainingError``, naming ``source``, where it does not fit."""
        load_weights(model, state, source=source)

    def predicting_state(self, model: nn.Module) -> dict[str, Tensor]:
        """What predicts as ``model`` does; the adapter loads it."""
        return model.state_dict()

    def load_predicting_state(self, model: nn.Module, state: Mapping[str, Tensor], *, source: str) -> None:
        """Let the trained ``model`` predict as ``predicting_state`` says; raises as above."""
        load_weights(model, state, source=source)


class LoraWeights(ModelWeights):
    """What checkpoints hold of a model with LoRA: all tensors, the layers apart from what they change.

    Args:
        spec: the LoRA layers.
    """

    def __init__(self, spec: LoraSpec) -> None:
        self.lora = spec

    def training_state(self, model: nn.Module) -> dict[str, Tensor]:
        """All tensors, by their names in files; a quantized one is the tensors that it consists of."""
        found: dict[str, Tensor] = {}
        for live, tensor in model.state_dict().items():
            name = plain_name(live)
            if is_quantized(tensor):
                found |= {f"{name}.{part}": one for part, one in parts_of(tensor).items()}
            else:
                found[name] = tensor
        return found

    def load_training_state(self, model: nn.Module, state: Mapping[str, Tensor], *, source: str) -> None:
        """Put them back; raises ``TrainingError`` where they do not fit."""
        rest = dict(state)
        for live, tensor in model.state_dict().items():
            if is_quantized(tensor):
                _load_parts(tensor, plain_name(live), rest, source=source)
        self.load_predicting_state(model, rest, source=source)

    def predicting_state(self, model: nn.Module) -> dict[str, Tensor]:
        """The same, with quantized ones as ordinary numbers; LoRA stays apart, and checkpoints merge it."""
        return {plain_name(live): dequantized(tensor) for live, tensor in model.state_dict().items()}

    def load_predicting_state(self, model: nn.Module, state: Mapping[str, Tensor], *, source: str) -> None:
        """All but quantized weights, which are never trained; raises as above."""
        live = {plain_name(name): name for name in model.state_dict()}
        load_weights(model, {live.get(name, name): tensor for name, tensor in state.items()}, source=source)


def _load_parts(tensor: Tensor, name: str, state: dict[str, Tensor], *, source: str) -> None:
    """Take the parts of a quantized tensor out of a state, into the tensor."""
    for part, own in parts_of(tensor).items():
        saved = state.pop(f"{name}.{part}", None)
        if saved is None or saved.shape != own.shape or saved.dtype != own.dtype:
            raise TrainingError(
                f"{source}: has no quantized weight {name!r:.200} as this run has it",
                fix="resume with the packages that the run began with, or begin a new run",
            )
        own.copy_(saved)


class Bounded(TorchDispatchMode):  # type: ignore[no-untyped-call] # torch's has no types
    """Around the building of a model that a file describes; one much larger than its weights is refused.

    A broken description would else take all memory before its weights are found not to fit.

    Args:
        state: the weights of the file.
        source: the file, for the message.

    Raises:
        TrainingError: more elements are allocated than any model of these weights has.
    """

    def __init__(self, state: Mapping[str, Tensor], *, source: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._source = source
        weights = sum(tensor.numel() for tensor in state.values())
        self._left = _TIMES * weights + _BESIDE

    def __torch_dispatch__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count what functions such as ``torch.empty`` make, whose first argument is a shape."""
        if args and isinstance(args[0], list | tuple) and all(isinstance(side, int) for side in args[0]):
            self._left -= math.prod(args[0])
            if self._left < 0:
                raise TrainingError(
                    f"{self._source}: describes a model that is much larger than its weights "
                    f"(a tensor of {' x '.join(map(str, args[0]))})",
                    fix="give the checkpoint as 'anydet train' wrote it",
                )
        return func(*args, **(kwargs or {}))


_TIMES = 8
"""Elements that are made while a model is built, as a multiple of its weights: copies, masks, teachers."""
_BESIDE = 1 << 26
"""Elements beside these, such as other heads; 256 MiB in float32."""


def load_weights(module: nn.Module, state: Mapping[str, Tensor], *, source: str) -> None:
    """Put a state dictionary into a module, all of it or nothing.

    Args:
        module: of the same architecture.
        state: names and tensors.
        source: where they come from, for the message. Quantized weights of the module stay as they are.

    Raises:
        TrainingError: that lists missing keys, unexpected keys and wrong shapes.
    """
    all_own = module.state_dict()
    own = {key: tensor for key, tensor in all_own.items() if not is_quantized(tensor)}
    state = {key: tensor for key, tensor in state.items() if key in own or key not in all_own}
    missing = [key for key in own if key not in state]
    unexpected = [key for key in state if key not in own]
    shapes = [
        f"{key} {tuple(state[key].shape)} instead of {tuple(tensor.shape)}"
        for key, tensor in own.items()
        if key in state and isinstance(tensor, Tensor) and state[key].shape != tensor.shape
    ]
    wrong = {"missing": missing, "unexpected": unexpected, "wrong shape": shapes}
    found = [
        f"{kind} ({len(keys)}): {listed(keys, 8, quotes=False, longest=WORD)}"
        for kind, keys in wrong.items()
        if keys
    ]
    if found:
        raise TrainingError(
            f"{source}: does not fit {type(module).__name__}: {'; '.join(found)}",
            fix="give weights of the same architecture and classes, or the options they were trained with",
        )
    module.load_state_dict(state, strict=len(own) == len(all_own))
