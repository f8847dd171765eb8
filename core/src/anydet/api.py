"""The main job as eight functions; the commands do the same things.

>>> import anydet
>>> dataset = anydet.open_dataset("data/scenes")                                     # doctest: +SKIP
>>> with anydet.load_adapter("toy") as adapter:                                      # doctest: +SKIP
...     anydet.export_predictions(adapter, dataset, "predictions.json", wrap=True)
>>> recipe = anydet.make_recipe("toy", tta="original,hflip,scale:0.5")               # doctest: +SKIP
>>> anydet.export_predictions(recipe, dataset, "augmented.json", wrap=True)          # doctest: +SKIP
>>> anydet.validate("predictions.json", dataset).ok                                  # doctest: +SKIP
>>> anydet.evaluate(dataset, "predictions.json").metrics["AP"]                       # doctest: +SKIP
>>> anydet.train("my_detector", "data/scenes", run_id="first", epochs=3).checkpoint  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

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
from anydet.prediction.choices import TTA, TTT, read_tta
from anydet.prediction.export import ExportSummary
from anydet.prediction.export import export_predictions as export
from anydet.prediction.pipeline import Limits, Pipeline
from anydet.prediction.predictor import OnError
from anydet.prediction.recipe import Recipe
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


def make_recipe(
    adapter: str,
    *,
    options: Mapping[str, Any] | None = None,
    limits: Limits | None = None,
    tta: TTA | str | None = None,
    ttt: TTT | str | None = None,
    on_error: OnError = "stop",
    workers: int = 2,
    batch_size: int = 4,
    plugins: Plugins | None = None,
    **settings: Any,
) -> Recipe:
    """What to predict with, as plain data that can be pickled; nothing is loaded yet.

    Args:
        adapter: registered name, as ``anydet adapters list`` shows it.
        options: the adapter's own options, checked against its schema.
        limits: score threshold, detections an image, clipping.
        tta: views of test-time augmentation as ``--tta-views`` takes them, or all of its settings.
        ttt: method of test-time training, or all of its settings.
        on_error: "skip" notes undecodable images in their entry instead of stopping.
        workers: decoding threads.
        batch_size: images a batch.
        plugins: where to look; the installed ones by default.
        **settings: further fields of ``AdapterSettings``: config, checkpoint, device, seed.

    Raises:
        PluginError: nothing of a name is registered.
        OptionError: an option is unknown or has the wrong type or value.
    """
    plugins = plugins or Plugins.from_env()
    kept = limits or Limits()
    checked = plugins.settings(
        adapter,
        options=options or {},
        batch_size=batch_size,
        score_floor=kept.score_threshold,
        max_detections=kept.max_detections,
        **settings,
    )
    views = read_tta(tta, plugins) if isinstance(tta, str) else tta
    method = TTT(ttt) if isinstance(ttt, str) else ttt
    return Recipe(adapter, checked, kept, views, method, on_error, workers).resolve(plugins)


def export_predictions(
    adapter: Adapter | Recipe,
    dataset: Dataset,
    output: Path | str,
    *,
    limits: Limits | None = None,
    max_images: int | None = None,
    wrap: bool = False,
    resume: bool = False,
    on_error: OnError | None = None,
    progress: Callable[[int], None] = lambda _images: None,
    plugins: Plugins | None = None,
) -> ExportSummary:
    """Predict a data set and write the predictions file.

    Args:
        adapter: an open adapter, or a recipe, which says more: views, test-time training, limits.
        dataset: what to predict.
        output: ``.json``, ``.jsonl`` or ``.parquet``.
        limits: score threshold, detections an image, clipping; by default those of the recipe.
        max_images: only the first so many.
        wrap: write ``.json`` with ``meta``.
        resume: go on with what an interrupted run left.
        on_error: "skip" notes undecodable images in their entry instead of stopping; by default as the recipe
            says, else "stop".
        progress: called with the number of images of each finished chunk.
        plugins: where a recipe's names come from; the installed ones by default.

    Raises:
        AnydetError: as ``prediction.export.export_predictions``, and for a recipe as ``Recipe.open``.
    """
    given = {"limits": limits, "on_error": on_error}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    run: dict[str, Any] = {"max_images": max_images, "wrap": wrap, "resume": resume}
    if isinstance(adapter, Adapter):
        return export(Pipeline(adapter, **changes), dataset, Path(output), progress=progress, **run)
    with replace(adapter, **changes).open(plugins or Plugins.from_env()) as pipeline:
        return export(pipeline, dataset, Path(output), progress=progress, **run)


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
