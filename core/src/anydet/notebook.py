"""Predictions as other libraries take them, parts of them, and pictures: for scripts and notebooks.

Where predictions are taken, a path is, too, and all that ``anydet.to_columns`` takes; where a data set
is, the path of one.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from anydet.api import opened_dataset, read_predictions, to_columns
from anydet.arguments import require, require_choice, require_number
from anydet.contract.columns import to_images
from anydet.data.dataset.image_subset import take_detections
from anydet.data.dataset.protocols import Dataset
from anydet.errors import AnydetError, OptionError
from anydet.evaluation.reading import read_inputs
from anydet.inputs import as_file
from anydet.plugins.manager import Plugins
from anydet.text import listed, quoted
from anydet.types import ClassTable, DetectionColumns

if TYPE_CHECKING:
    from pandas import DataFrame
    from PIL.Image import Image


def select(
    predictions: Any,
    dataset: Dataset | Path | str | None = None,
    *,
    classes: Collection[int | str] | int | str | None = None,
    min_score: float | None = None,
    images: Collection[str] | str | None = None,
) -> DetectionColumns:
    """The detections of some classes, scores and images.

    Args:
        predictions: a file, or predictions in memory.
        dataset: what was predicted, open or a path; needed as ``to_columns`` needs it.
        classes: names or ids of the classes to keep; all by default.
        min_score: lowest score to keep.
        images: keys of the images to keep; others are dropped as if they had not been predicted.

    Raises:
        OptionError: a class or image is unknown, or an argument has the wrong type or value.
        AnydetError: the predictions cannot be read.
    """
    columns, table = _read(predictions, dataset)
    if min_score is not None:
        require_number("min_score", min_score, 0, 1)
        columns = columns.take(columns.scores >= min_score)
    if classes is not None:
        ids = [_class_id(one, table) for one in _several("classes", classes, int | str)]
        columns = columns.take(np.isin(columns.class_ids, ids))
    return columns if images is None else _of_images(columns, _several("images", images, str))


def to_pandas(
    predictions: Any, dataset: Dataset | Path | str | None = None, *, of: str = "detections"
) -> DataFrame:
    """A table of detections or of images; boxes are x, y, width, height in pixels of the original images.

    Args:
        predictions: a file, or predictions in memory.
        dataset: what was predicted, open or a path; needed as ``to_columns`` needs it.
        of: "detections", one row each; or "images", one row each, those without detections, too.

    Raises:
        AnydetError: pandas is not installed, or the predictions cannot be read.
        OptionError: an argument has the wrong type or value.
    """
    require_choice("of", of, ("detections", "images"))
    pandas = _import("pandas", "to_pandas")
    columns, classes = _read(predictions, dataset)
    table: DataFrame = pandas.DataFrame(
        (detection_table if of == "detections" else image_table)(columns, classes)
    )
    return table


def detection_table(columns: DetectionColumns, classes: ClassTable | None) -> dict[str, Any]:
    """Columns by name, one entry a detection: image, class, score, box in pixels."""
    names = None if classes is None else np.array([*classes.names, None], np.object_)
    box = dict(zip(("x", "y", "width", "height"), columns.boxes_xywh_px.T, strict=True))
    state = {} if columns.states is None else {"state": columns.states}
    return {
        "image": np.array([*columns.images, None], np.object_)[columns.image_index],
        "class_id": columns.class_ids,
        **({} if names is None else {"class": names[columns.class_ids]}),
        "score": columns.scores,
        **box,
        **state,
    }


def image_table(columns: DetectionColumns, classes: ClassTable | None = None) -> dict[str, Any]:
    """Columns by name, one entry an image: its size in pixels and the number of its detections."""
    del classes
    return {
        "image": np.array([*columns.images, None], np.object_)[:-1],
        "width": columns.sizes_wh[:, 0],
        "height": columns.sizes_wh[:, 1],
        "detections": np.bincount(columns.image_index, minlength=len(columns.images)),
    }


def to_supervision(predictions: Any, dataset: Dataset | Path | str | None = None) -> dict[str, Any]:
    """A ``supervision.Detections`` of each image, by its key.

    Args:
        predictions: a file, or predictions in memory.
        dataset: what was predicted, open or a path; needed as ``to_columns`` needs it.

    Raises:
        AnydetError: supervision is not installed, or the predictions cannot be read.
        OptionError: an argument has the wrong type.
    """
    _import("supervision", "to_supervision")
    from anydet.contract.conversion.supervision import to_supervision as converted

    columns, classes = _read(predictions, dataset)
    return {image.image: converted(image, classes) for image in to_images(columns)}


def show(
    dataset: Dataset | Path | str,
    image: int | str = 0,
    predictions: Any = None,
    *,
    score_threshold: float = 0.3,
) -> Image:
    """An image with its predictions, which a notebook displays; with a file of them, beside its labels.

    Args:
        dataset: open or a path.
        image: position or key.
        predictions: a file: labels and predictions are drawn side by side, right, wrong and missed ones
            marked, as ``anydet view`` does; or predictions in memory, drawn alone; ``None`` shows the plain
            image.
        score_threshold: lowest score that is drawn.

    Raises:
        OptionError: there is no such image, or an argument has the wrong type or value.
        AnydetError: either side cannot be read.
    """
    from PIL import Image

    require(isinstance(image, int | str), "image", image, "the position or the key of an image")
    require_number("score_threshold", score_threshold, 0, 1)
    opened = opened_dataset("dataset", dataset, Plugins.from_env())
    record = opened[_position(image, opened.keys)]
    if predictions is None:
        return Image.fromarray(record.image())
    if isinstance(predictions, str | PathLike):
        from anydet.report.view import open_scenes

        scenes = open_scenes(as_file(Path(predictions)), opened, score_threshold=score_threshold)
        places = [i for i in range(len(scenes.order)) if scenes.key(i) == record.key]
        if not places:
            raise OptionError(
                f"{predictions}: has no entry of the image {quoted(record.key)}",
                fix="show another image, or predict this one",
            )
        return Image.fromarray(scenes.overlay(places[0]))
    from anydet.report.sheet import draw_panel

    kept = select(predictions, opened, min_score=score_threshold, images=record.key)
    (found,) = to_images(kept)
    return Image.fromarray(draw_panel(record.image(), found, opened.classes))


def _read(
    predictions: Any, dataset: Dataset | Path | str | None
) -> tuple[DetectionColumns, ClassTable | None]:
    """The detections, and names of their classes where one of the sides has them."""
    require(predictions is not None, "predictions", predictions, "a path, or predictions in memory")
    opened = None if dataset is None else opened_dataset("dataset", dataset, Plugins.from_env())
    named = None if opened is None else opened.classes
    if isinstance(predictions, DetectionColumns):
        columns = predictions
    elif not isinstance(predictions, str | PathLike):
        columns = to_columns(predictions, opened)
    elif opened is not None and opened.source != "none":
        columns = read_inputs(opened, as_file(Path(predictions))).detections
    else:
        columns = read_predictions(Path(predictions))
    return columns, named or (None if columns.classes is None else ClassTable(columns.classes))


def _several(name: str, given: Any, kind: Any) -> Sequence[Any]:
    """One or several of a kind, as a list."""
    several = [given] if isinstance(given, int | str) else [*given] if isinstance(given, Collection) else None
    good = several is not None and all(isinstance(one, kind) for one in several)
    require(good, name, given, f"a collection of {'names or ids' if kind is not str else 'keys'}")
    return several or []


def _class_id(one: Any, classes: ClassTable | None) -> int:
    if isinstance(one, int) and not isinstance(one, bool):
        return one
    if classes is None:
        raise OptionError(
            f"the predictions do not state names of classes, and {quoted(one)} is one",
            fix="give the data set, or class ids",
        )
    if one not in classes.names:
        raise OptionError(f"no class called {quoted(one)}", fix=f"one of {listed(classes.names)}")
    return classes.names.index(one)


def _of_images(columns: DetectionColumns, keys: Sequence[str]) -> DetectionColumns:
    """Only these images, in this order."""
    places = [_position(key, columns.images) for key in dict.fromkeys(keys)]
    return take_detections(columns, np.array(places, np.int64))


def _position(image: Any, keys: Sequence[str]) -> int:
    """The position of an image that is named by position or key."""
    if isinstance(image, int) and -len(keys) <= image < len(keys):
        return image % len(keys)
    if isinstance(image, str) and image in keys:
        return [*keys].index(image)
    raise OptionError(f"no image {quoted(image)} among {len(keys)}", fix=f"images are {listed(keys)}")


def _import(package: str, function: str) -> Any:
    from importlib import import_module

    try:
        return import_module(package)
    except ImportError as exc:
        raise AnydetError(
            f"{function} needs the package {package}, which is not installed", fix=f"pip install {package}"
        ) from exc
