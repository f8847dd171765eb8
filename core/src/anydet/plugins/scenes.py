"""Synthetic scenes of the installed kinds, built and written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from anydet.plugins.calls import PluginCalls
from anydet.plugins.manager import Plugins

if TYPE_CHECKING:
    from anydet.data.dataset.protocols import Dataset
    from anydet.types import Size


def build_scenes(
    plugins: Plugins,
    name: str,
    *,
    count: int,
    seed: int,
    image_wh: Size,
    split: str,
    most_objects: int | None = None,
) -> Dataset:
    """The first ``count`` scenes of a seed; ``most_objects`` only where ``SceneSpec.takes_objects``.

    Raises:
        PluginError: no scenes are called ``name``, or they cannot be imported.
    """
    options = {} if most_objects is None else {"most_objects": most_objects}
    factory = plugins.load("scenes", name)
    with PluginCalls("scenes", name, plugins).to("its factory"):
        dataset: Dataset = factory(count, seed, image_wh, split, **options)
    return dataset


def write_scenes(
    plugins: Plugins, name: str, dataset: Dataset, out: Path, *, layout: str, report: Callable[[int], None]
) -> None:
    """Write scenes of kind ``name`` as the format ``layout``, a key of ``SceneSpec.writers``.

    Args:
        plugins: what is installed.
        name: kind of the scenes.
        dataset: the scenes.
        out: folder; most writers want a new or empty one.
        layout: the format.
        report: called with 1 after each image.
    """
    path = plugins.spec("scenes", name).writers[layout]
    write = plugins.import_object(path, name)
    with PluginCalls("scenes", name, plugins).to(f"its {layout} writer"):
        write(dataset, out, dataset.split, report=report)
