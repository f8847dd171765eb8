"""``ModelWeights``: which tensors of a model are saved, and how they are loaded."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from anydet.errors import TrainingError
from anydet.text import WORD, listed


class ModelWeights:
    """Which tensors of a model its checkpoints hold, and how they go back into it.

    All weights of a run pass through the object that its task has: of the trained model and of its average,
    into ``last.pt`` and ``best.pt``, and back when the run resumes, gives up or ends. Here both forms are the
    model's state dictionary. A method that puts layers of its own into the model overrides it, to save them
    alone or to merge them into what predicts.
    """

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
    module.load_state_dict(state)
