"""Where things are in a BOP data set: names of files, scenes of a split, splits of a root."""

from __future__ import annotations

import os
from pathlib import Path

CAMERA_FILE, TRUTH_FILE, INFO_FILE = "scene_camera.json", "scene_gt.json", "scene_gt_info.json"
COCO_FILE = "scene_gt_coco.json"
IMAGE_FOLDERS = ("rgb", "gray")


def find_scenes(folder: Path) -> list[str]:
    """Folders called by a number that hold a file of a scene."""
    try:
        with os.scandir(folder) as entries:
            numbered = sorted(entry.name for entry in entries if entry.name.isdecimal())
    except PermissionError:  # other data sets have folders that are closed, too
        return []
    # A number alone is no evidence: other data sets have numbered folders, too.
    files = (CAMERA_FILE, TRUTH_FILE)
    return [name for name in numbered if any((folder / name / file).is_file() for file in files)]


def find_splits(root: Path) -> list[str]:
    """Folders with scenes; hidden ones are left out."""
    folders = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and entry.name[0] != ".")
    return [name for name in folders if find_scenes(root / name)]
