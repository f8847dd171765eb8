"""Training and validation annotations into one folder, ready for ``anydet train``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from anydet.errors import OptionError
from anydet.outputs import new_file
from anydet_fasterrcnn_multitask.convert import Conversion, convert_to_coco
from anydet_fasterrcnn_multitask.environment import VARIABLES


def prepare(variables: Mapping[str, str]) -> dict[str, Conversion]:
    """Write ``train_coco.json`` and ``val_coco.json``, each with a ``<split>_dataset.json`` that opens it.

    Args:
        variables: value of each of ``environment.VARIABLES``.

    Returns:
        what became of ``train`` and ``val``.

    Raises:
        OptionError: a variable is missing.
        DatasetError: annotations are malformed.
    """
    missing = [name for name in VARIABLES if not variables.get(name)]
    if missing:
        raise OptionError(
            f"not set: {', '.join(missing)}",
            fix=f"write {missing[0]}=... into .env, or use --{missing[0].lower().replace('_', '-')}",
        )
    out = Path(variables["OUTPUT_DIR"])
    done = {}
    for split, json_path, images in (
        ("train", variables["TRAIN_JSON"], variables["TRAIN_CLEANED"]),
        ("val", variables["VAL_JSON"], variables["VAL_CLEANED"]),
    ):
        coco = out / f"{split}_coco.json"
        done[split] = convert_to_coco(json_path, images, coco, quiet=True)
        described = {"images_dir": str(Path(images).absolute()), "annotations": coco.name, "split": split}
        with new_file(out / f"{split}_dataset.json") as file:
            file.write(json.dumps(described, indent=2).encode())
    return done
