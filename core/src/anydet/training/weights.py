"""``load_weights``: a state dictionary goes into a module whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from anydet.errors import TrainingError


def load_weights(module: nn.Module, state: Mapping[str, Tensor], *, source: str) -> None:
    """Put a state dictionary into a module, all of it or nothing.

    Args:
        module: of the same architecture.
        state: names and tensors.
        source: where they come from, for the message.

    Raises:
        TrainingError: that lists missing keys, unexpected keys and wrong shapes.
    """
    own = module.state_dict()
    missing = [key for key in own if key not in state]
    unexpected = [key for key in state if key not in own]
    shapes = [
        f"{key} {tuple(state[key].shape)} instead of {tuple(tensor.shape)}"
        for key, tensor in own.items()
        if key in state and isinstance(tensor, Tensor) and state[key].shape != tensor.shape
    ]
    wrong = {"missing": missing, "unexpected": unexpected, "wrong shape": shapes}
    found = [f"{kind} ({len(keys)}): {_shortened(keys)}" for kind, keys in wrong.items() if keys]
    if found:
        raise TrainingError(
            f"{source}: does not fit {type(module).__name__}: {'; '.join(found)}",
            fix="give weights of the same architecture and classes, or the options they were trained with",
        )
    module.load_state_dict(state)


def _shortened(names: list[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
