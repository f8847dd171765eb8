"""The hooks a plugin may implement. Adding one is cheap; changing one is a major release.

Every argument is opt-in: an implementation names only those it wants. The ``register_*`` hooks take a
function to call once per thing offered and must not import anything heavy. The others only observe.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pluggy

from anydet.plugins.specs import (
    AdapterSpec,
    CommandSpec,
    DatasetSpec,
    EngineSpec,
    EvaluatorSpec,
    FusionSpec,
    LayoutSpec,
    SceneSpec,
    TTTMethodSpec,
    ViewSpec,
)

if TYPE_CHECKING:
    from anydet.data.record.record import Record
    from anydet.plugins.adapter import Adapter
    from anydet.types import ImagePredictions

PROJECT = "anydet"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def register_adapters(register: Callable[[AdapterSpec], None]) -> None:
    """Call ``register(AdapterSpec(...))`` once per adapter."""


@hookspec
def register_datasets(register: Callable[[DatasetSpec], None]) -> None:
    """Call ``register(DatasetSpec(...))`` once per data set format."""


@hookspec
def register_scenes(register: Callable[[SceneSpec], None]) -> None:
    """Call ``register(SceneSpec(...))`` once per kind of synthetic scenes."""


@hookspec
def register_engines(register: Callable[[EngineSpec], None]) -> None:
    """Call ``register(EngineSpec(...))`` once per COCO engine."""


@hookspec
def register_evaluators(register: Callable[[EvaluatorSpec], None]) -> None:
    """Call ``register(EvaluatorSpec(...))`` once per evaluator."""


@hookspec
def register_views(register: Callable[[ViewSpec], None]) -> None:
    """Call ``register(ViewSpec(...))`` once per test-time augmentation view."""


@hookspec
def register_fusions(register: Callable[[FusionSpec], None]) -> None:
    """Call ``register(FusionSpec(...))`` once per fusion of the results of several views."""


@hookspec
def register_ttt_methods(register: Callable[[TTTMethodSpec], None]) -> None:
    """Call ``register(TTTMethodSpec(...))`` once per test-time training method."""


@hookspec
def register_layouts(register: Callable[[LayoutSpec], None]) -> None:
    """Call ``register(LayoutSpec(...))`` once per layout of the outputs of model files."""


@hookspec
def register_commands(register: Callable[[CommandSpec], None]) -> None:
    """Call ``register(CommandSpec(...))`` once per command or group, under the plugin's own name."""


@hookspec
def before_predict(adapter: Adapter, records: Sequence[Record], context: Any) -> None:
    """Fires before the adapter sees a chunk of records; their arrays are read-only."""


@hookspec
def after_predict(predictions: Sequence[ImagePredictions], context: Any) -> None:
    """Fires with the finished predictions of a chunk: views undone and fused, thresholds applied.

    Arrays are read-only, and mappings are the observer's own: what it changes changes no result.
    """


@hookspec
def on_train_start(run: Any, state: Any) -> None:
    """Fires once, before the first step.

    ``run`` is an ``anydet.training.run.Run``, ``state`` an ``anydet.training.hooks.Observed``; both go to
    all training events, in each process of a run. They are copies, and so is ``state.model``, which is made
    when it is looked at: what an observer changes, and what random numbers it draws, changes no training.
    """


@hookspec
def on_train_step(run: Any, state: Any) -> None:
    """Fires after each optimizer step that was taken; ``state.metrics`` has its numbers."""


@hookspec
def on_train_epoch(run: Any, state: Any) -> None:
    """Fires after each epoch; ``state.validation`` has the numbers of the last validation."""


@hookspec
def on_train_end(run: Any, state: Any) -> None:
    """Fires once, after the last step and the last checkpoint."""
