"""The main job as seven functions; the commands do the same things.

>>> import anydet
>>> dataset = anydet.open_dataset("data/scenes")                                     # doctest: +SKIP
>>> with anydet.load_adapter("toy") as adapter:                                      # doctest: +SKIP
...     anydet.export_predictions(adapter, dataset, "predictions.json", wrap=True)
>>> anydet.validate("predictions.json", dataset).ok                                  # doctest: +SKIP
>>> anydet.evaluate(dataset, "predictions.json").metrics["AP"]                       # doctest: +SKIP
>>> anydet.train("my_detector", "data/scenes", run_id="first", epochs=3).checkpoint  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from anydet.contract.checking.validate import Report
from anydet.contract.checking.validate import validate as validate_file
from anydet.contract.reading.load import load
from anydet.data.dataset.protocols import Dataset
from anydet.data.opening import open_dataset as open_with
from anydet.evaluation.coco import CocoResult
from anydet.evaluation.engines import choose_engine
from anydet.evaluation.evaluator import IouType
from anydet.evaluation.protocol import CocoSettings
from anydet.evaluation.reading import PredictionPaths
from anydet.evaluation.run import evaluate_coco
from anydet.plugins.adapter import Adapter, TrainResult
from anydet.plugins.formats import installed_formats
from anydet.plugins.manager import Plugins
from anydet.prediction.export import ExportSummary
from anydet.prediction.export import export_predictions as export
from anydet.prediction.pipeline import Limits, Pipeline
from anydet.types import DetectionColumns


def load_adapter(
    name: str,
    *,
    options: Mapping[str, Any] | None = None,
    plugins: Plugins | None = None,
    batch_size: int = 4,
    score_floor: float = 0.001,
    **settings: Any,
) -> Adapter:
    """Build an installed adapter; use it as a context manager, or call ``close``.

    Args:
        name: registered name, as ``anydet adapters list`` shows it.
        options: the adapter's own options, checked against its schema.
        plugins: where to look; the installed ones by default.
        batch_size: records a chunk.
        score_floor: detections below it need not be returned.
        **settings: further fields of ``AdapterSettings``: config, checkpoint, device, max_detections, seed.

    Raises:
        PluginError: there is no such adapter, or it cannot be set up.
        OptionError: an option is unknown or has the wrong type or value.
    """
    plugins = plugins or Plugins.from_env()
    checked = plugins.settings(
        name, options=options or {}, batch_size=batch_size, score_floor=score_floor, **settings
    )
    return plugins.adapter(name, checked)


def open_dataset(
    path: Path | str,
    split: str | None = None,
    *,
    images: Path | str | None = None,
    plugins: Plugins | None = None,
) -> Dataset:
    """Open a data set on disk, in any installed format.

    Args:
        path: YOLO or COCO folder, ``data.yaml``, ``dataset.json``, instances JSON, or a folder of images.
        split: the split, or ``None`` for the first usual one that exists.
        images: image folder, where the data set does not state one.
        plugins: whose formats to try; the installed ones by default.

    Raises:
        DatasetError: it is not there, or not what it claims to be.
    """
    plugins = plugins or Plugins.from_env()
    formats = installed_formats(plugins)
    scanner = choose_engine(plugins).scanner
    folder = None if images is None else Path(images)
    return open_with(path, split, images=folder, formats=formats, scanner=scanner)


def export_predictions(
    adapter: Adapter,
    dataset: Dataset,
    output: Path | str,
    *,
    limits: Limits | None = None,
    max_images: int | None = None,
    wrap: bool = False,
    resume: bool = False,
    on_error: Literal["stop", "skip"] = "stop",
    progress: Callable[[int], None] = lambda _images: None,
) -> ExportSummary:
    """Predict a data set and write the predictions file.

    For views and test-time training build a ``prediction.pipeline.Pipeline`` and give it to
    ``prediction.export.export_predictions``.

    Args:
        adapter: who predicts.
        dataset: what.
        output: ``.json``, ``.jsonl`` or ``.parquet``.
        limits: score threshold, detections an image, clipping.
        max_images: only the first so many.
        wrap: write ``.json`` with ``meta``.
        resume: go on with what an interrupted run left.
        on_error: "skip" notes undecodable images in their entry instead of stopping.
        progress: called with the number of images of each finished chunk.

    Raises:
        AnydetError: as ``prediction.export.export_predictions``.
    """
    pipeline = Pipeline(adapter, limits or Limits(), on_error=on_error)
    return export(
        pipeline, dataset, Path(output), max_images=max_images, wrap=wrap, resume=resume, progress=progress
    )


def read_predictions(
    path: Path | str, *, box_format: str | None = None, plugins: Plugins | None = None
) -> DetectionColumns:
    """The detections of a predictions file as columns, boxes in pixels of the original images.

    Args:
        path: a file of any shape but COCO results.
        box_format: what its boxes are in; by default what the file states, else ``cxcywh_norm``.
        plugins: whose engine brings the scanner that reads it; the installed ones by default.

    Raises:
        ContractError: the file breaks the contract, or an image's size is needed and not stated.
    """
    return load(path, choose_engine(plugins).scanner).columns(box_format)


def validate(path: Path | str, dataset: Dataset | None = None, *, plugins: Plugins | None = None) -> Report:
    """Check a predictions file against the contract, and against a data set where one is given.

    Args:
        path: the file.
        dataset: what it was made on.
        plugins: whose engine brings the scanner that reads it; the installed ones by default.
    """
    return validate_file(path, dataset, scanner=choose_engine(plugins).scanner)


def evaluate(
    dataset: Dataset | Path | str,
    predictions: PredictionPaths,
    settings: CocoSettings | None = None,
    *,
    iou_type: IouType = "bbox",
    box_format: str | None = None,
    max_images: int | None = None,
    engine: str | None = None,
    threads: int | None = None,
    plugins: Plugins | None = None,
) -> CocoResult:
    """COCO's numbers of predictions on a data set.

    Args:
        dataset: an open data set, or a path; a COCO annotations file will do.
        predictions: a predictions file or COCO results; or several without an image in common, as a folder, a
            pattern or a list.
        settings: what is counted; COCO's own for ``iou_type`` by default.
        iou_type: what overlaps are measured on, where there are no ``settings``.
        box_format: what the file's boxes are in; by default what the file states, else ``cxcywh_norm``.
        max_images: only the first so many images, on both sides.
        engine: registered name; the best installed one by default.
        threads: how many an engine may use; as many as there are cores by default.
        plugins: where engines and formats come from; the installed ones by default.

    Raises:
        AnydetError: either side cannot be read, or they do not fit each other.
    """
    plugins = plugins or Plugins.from_env()
    opened = open_dataset(dataset, plugins=plugins) if isinstance(dataset, str | Path) else dataset
    return evaluate_coco(
        opened,
        predictions,
        settings or CocoSettings(iou_type),
        box_format=box_format,
        max_images=max_images,
        engine=choose_engine(plugins, engine, threads),
    )


def train(
    adapter: str,
    dataset: Dataset | Path | str,
    *,
    validation: Dataset | Path | str | None = None,
    run_dir: Path | str | None = None,
    run_id: str | None = None,
    resume: bool = False,
    checkpoint: Path | str | None = None,
    config: Path | str | None = None,
    plugins: Plugins | None = None,
    **keys: Any,
) -> TrainResult:
    """Train an installed adapter; what ``anydet train`` does.

    Args:
        adapter: registered name.
        dataset: an open data set, or a path.
        validation: an open data set, or a path; by default a validation split of ``dataset``, where that is a
            path.
        run_dir: folder of the run.
        run_id: name of the run below ``runs_dir``; without both one is made.
        resume: go on with an interrupted run.
        checkpoint: first weights, a file or the folder of a run.
        config: config file, or its name within the adapter's package; arguments go before it.
        plugins: where adapters and formats come from; the installed ones by default.
        **keys: any key of the engine (``TrainSettings``) or of the adapter's training schema.

    Raises:
        OptionError: a key is unknown or wrong, or the run exists already.
        AnydetError: the adapter cannot be had, data cannot be read, or training fails.
    """
    from anydet.training.launch.preparation import prepare
    from anydet.training.launch.start import launch

    named = {"run_dir": run_dir, "run_id": run_id, "checkpoint": checkpoint}
    given = {key: str(value) for key, value in named.items() if value is not None}
    opened: dict[str, Any] = {}
    for key, name, data in (("dataset", "dataset", dataset), ("val_dataset", "validation", validation)):
        if isinstance(data, str | Path):
            given[key] = str(data)
        elif data is not None:
            opened[name] = data
    flags = {**keys, **given, "adapter": adapter, **({"resume": True} if resume else {})}
    return launch(prepare(flags, config, plugins=plugins or Plugins.from_env(), **opened))
