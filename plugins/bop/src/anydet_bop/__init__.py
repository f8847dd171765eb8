"""BOP data sets and pose scenes for anydet. Importing this imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable

from anydet.plugins import DatasetSpec, SceneSpec, hookimpl

PLUGIN_API = 2


@hookimpl
def register_datasets(register: Callable[[DatasetSpec], None]) -> None:
    """The format ``bop``."""
    register(
        DatasetSpec(
            "bop",
            "anydet_bop.format:FORMAT",
            "BOP scenes: <split>/000000/scene_gt.json beside rgb/, and models/",
        )
    )


@hookimpl
def register_scenes(register: Callable[[SceneSpec], None]) -> None:
    """The scenes ``pose``."""
    register(
        SceneSpec(
            "pose",
            "anydet_bop.scenes.dataset:PoseScenes",
            "textured solids with rotation, translation, masks, depth, camera and models; YOLO stores poses "
            "in sidecars",
            writers={"bop": "anydet_bop.writing:write_bop", "yolo": "anydet_bop.posed_yolo:write_posed_yolo"},
            takes_objects=True,
        )
    )
