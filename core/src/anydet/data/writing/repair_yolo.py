"""A copy of a YOLO data set without what is odd in its labels."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from anydet.data.dataset.oddities import Found, Kind, refuse_all, repairs
from anydet.data.record.containment import contained
from anydet.data.writing.images import check_split
from anydet.data.writing.repaired import Repaired
from anydet.data.yolo.data_yaml import yaml_text
from anydet.data.yolo.dataset import YoloDataset
from anydet.data.yolo.mending import mend_labels
from anydet.errors import DatasetError, OptionError
from anydet.outputs import copy_file, new_folder

_MISSING = Kind("missing images", "images whose files are not there", "", "left out, with their labels")
_LOST = Kind("labels without image", "label files whose image is not in the split", "", "left out")


def repair_labels(dataset: YoloDataset, output: Path) -> Repaired:
    """Write ``images/<split>`` as they are, ``labels/<split>`` with mended lines, and ``data.yaml``.

    Args:
        dataset: the split.
        output: new or empty folder.

    Raises:
        OptionError: ``output`` exists and is not an empty folder, or is called like a JSON file.
        DatasetError: label files lie in other folders, one is no text, or a line has to be left out whose
            object has more in a sidecar.
    """
    if output.suffix.lower() == ".json":
        raise OptionError(f"{output}: the repaired copy of YOLO labels is a folder", fix="name a new folder")
    found, written, lines = Found(), 0, 0
    split = dataset.split or "val"
    check_split(split)
    refuse_all(dataset.other_case.elsewhere, dataset.root)  # a copy would lack these labels
    dataset.other_case.add_to(found)
    for file in dataset.lost_label_files():
        found.add(_LOST, str(file))
    with new_folder(output) as folder:
        for key in dataset.keys:
            image = dataset.images_dir / key
            if not image.is_file():
                found.add(_MISSING, key)
                continue
            contained(dataset.limit, image.absolute(), links=True)
            copy_file(image, _made(folder / "images" / split / key))
            kept, before = _write_labels(dataset, key, folder / "labels" / split, found)
            written, lines = written + kept, lines + before
        (folder / "labels" / split).mkdir(parents=True, exist_ok=True)
        (folder / "data.yaml").write_text(yaml_text(split, dataset.names), "utf-8")
    return Repaired(output, written, lines, tuple(repairs(found.listed())))


def _write_labels(dataset: YoloDataset, key: str, folder: Path, found: Found) -> tuple[int, int]:
    """How many lines were written of how many."""
    source = dataset.label_file(key)
    text = dataset.label_text(key)
    if text is None:
        return 0, 0
    lines, kept = mend_labels(text, str(source), dataset.names.grammar, found)
    before = sum(bool(line.strip()) for line in text.splitlines())
    target = _made(folder / PurePosixPath(key).with_suffix(".txt"))
    target.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    sidecar = source.with_suffix(".json")
    if sidecar.is_file():
        if len(kept) < before:
            raise DatasetError(
                f"{sidecar}: says more of {before} label lines, of which {before - len(kept)} cannot be kept",
                fix="correct both by hand; 'anydet check-dataset' names the lines",
            )
        copy_file(sidecar, target.with_suffix(".json"))
    return len(lines), before


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
