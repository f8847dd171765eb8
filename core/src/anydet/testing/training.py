"""``train_briefly``: a training that is over in a second, for the kit's check of what training saves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.plugins.adapter import Adapter, TrainResult
from anydet.plugins.options import load_schema


def train_briefly(adapter: Adapter, folder: Path, **keys: Any) -> TrainResult:
    """Train an adapter for one epoch on four small scenes of shapes, on the CPU.

    Args:
        adapter: an installed one, as ``Plugins.adapter`` gives it, that learns boxes and classes.
        folder: of the run.
        **keys: keys of the engine and of the adapter, such as a smaller image; they go before the usual ones.

    Raises ``OptionError`` for a key that is unknown or wrong.
    """
    from anydet.training.config.resolve import resolve
    from anydet.training.run import Run, RunPaths

    usual: dict[str, Any] = {"batch_size": 2, "num_workers": 0, "epochs": 1, "device": "cpu"}
    assert adapter.spec is not None, "build the adapter by Plugins.adapter"
    schema = load_schema(adapter.spec.training_schema)
    resolved = resolve(usual | keys, None, schema, adapter_name=adapter.spec.name)
    scenes = SyntheticDataset(4, 0, (96, 64), "train")
    return adapter.train(
        Run(
            adapter=adapter.spec.name,
            dataset=scenes,
            validation=scenes,
            settings=resolved.settings,
            paths=RunPaths.of_folder(folder),
            options=resolved.options,
            origins=resolved.origins,
        )
    )
