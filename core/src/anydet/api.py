"""The main job as eleven functions; the commands do the same things.

>>> import anydet
>>> dataset = anydet.open_dataset("data/scenes")                                     # doctest: +SKIP
>>> with anydet.load_adapter("toy") as adapter:                                      # doctest: +SKIP
...     anydet.export_predictions(adapter, dataset, "predictions.json", wrap=True)
>>> recipe = anydet.make_recipe("toy", tta="original,hflip,scale:0.5")               # doctest: +SKIP
>>> anydet.export_predictions(recipe, dataset, "augmented.json", wrap=True)          # doctest: +SKIP
>>> anydet.validate("predictions.json", dataset).ok                                  # doctest: +SKIP
>>> anydet.evaluate(dataset, "predictions.json").metrics["AP"]                       # doctest: +SKIP
>>> anydet.evaluate(dataset, {"1.jpg": {"boxes": b, "scores": s, "labels": c}})      # doctest: +SKIP
>>> anydet.parity("predictions.json", "onnx.json").reason                            # doctest: +SKIP
>>> anydet.fuse(["predictions.json", "augmented.json"], "fused.json").detections     # doctest: +SKIP
>>> anydet.train("my_detector", "data/scenes", run_id="first", epochs=3).checkpoint  # doctest: +SKIP
>>> anydet.export_onnx("my_detector", "model.onnx", checkpoint="runs/first").sha256  # doctest: +SKIP

Paths are ``str`` or path objects; where a data set is taken, the path of one is, too. A file that is read
may be a pipe (``/dev/stdin``, a FIFO), which is read once. An argument of a wrong type or value is an
``OptionError`` that names it, before anything is loaded. An argument that a function does not have is
Python's ``TypeError``; among the keys of ``train`` it is an ``OptionError`` with what was meant.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import wraps
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_args

from anydet.adaptation.ensemble.fusing import FuseSummary, fuse_files, settings_of
from anydet.arguments import (
    require,
    require_choice,
    require_flag,
    require_integer,
    require_number,
    require_path,
    require_text,
)
from anydet.contract.checking.validate import Report, report_of
from anydet.contract.checking.validate import validate as validate_file
from anydet.contract.reading.load import load
from anydet.contract.reading.shards import PredictionPaths
from anydet.crosscheck.files import ApSettings, compare_files
from anydet.crosscheck.parity import Parity, ParitySettings
from anydet.crosscheck.tolerances import Tolerances
from anydet.data.dataset.protocols import Dataset
from anydet.data.opening import open_dataset as open_with
from anydet.errors import AnydetError, warn_anew
from anydet.evaluation.coco import CocoResult
from anydet.evaluation.engines import choose_engine
from anydet.evaluation.evaluator import Engine, IouType
from anydet.evaluation.protocol import CocoSettings
from anydet.evaluation.reading import join_inputs, require_labels
from anydet.evaluation.run import evaluate_coco, prepare_coco
from anydet.geometry.boxes import BOX_FORMATS
from anydet.inputs import as_file
from anydet.plugins.adapter import Adapter, TrainResult
from anydet.plugins.formats import installed_formats
from anydet.plugins.manager import Plugins
from anydet.prediction.choices import TTA, TTT, Perturbation, read_tta
from anydet.prediction.export import ExportSummary
from anydet.prediction.export import export_predictions as export
from anydet.prediction.pipeline import Limits, Pipeline
from anydet.prediction.predictor import OnError
from anydet.prediction.recipe import Recipe
from anydet.types import DetectionColumns

if TYPE_CHECKING:
    from anydet.export.onnx_export import ExportedFile


_F = TypeVar("_F", bound=Callable[..., Any])
_ARGUMENTS = {
    "dataset": "dataset",
    "class-map": "class_map",
    "bbox-format": "box_format",
    "iou-type": "iou_type",
    "max-images": "max_images",
    "split": "split",
}
"""Options that messages name -> the arguments that are the same here."""
# What is in quotes is a command to type.
_OPTION = re.compile(r"'anydet [^']*'|--(" + "|".join(_ARGUMENTS) + r")\b")


def _speaking_of_arguments(function: _F) -> _F:
    """Decorator: errors, and those in reports, name arguments, where those of the commands name options."""

    def words(text: str) -> str:
        return _OPTION.sub(lambda found: _argument(found[1]) if found[1] else found[0], text)

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        warn_anew()
        try:
            found = function(*args, **kwargs)
        except AnydetError as error:
            error.reword(words)
            raise
        if isinstance(found, Report):
            return replace(found, errors=tuple(map(words, found.errors)), fix=words(found.fix))
        return found

    return cast("_F", call)


def _argument(option: str) -> str:
    return f"the argument {_ARGUMENTS[option]}"


def load_adapter(
    name: str,
    *,
    options: Mapping[str, Any] | None = None,
    plugins: Plugins | None = None,
    config: Path | str | None = None,
    checkpoint: Path | str | None = None,
    device: str | None = None,
    batch_size: int = 4,
    score_floor: float = 0.001,
    max_detections: int = 100,
    seed: int = 0,
) -> Adapter:
    """Build an installed adapter; use it as a context manager, or call ``close``.

    Args:
        name: registered name, as ``anydet adapters list`` shows it.
        options: the adapter's own options, checked against its schema.
        plugins: where to look; the installed ones by default.
        config: path or name of the adapter's configuration; its base one by default.
        checkpoint: weights to load, a file or the folder of a run.
        device: "cpu", "cuda", "cuda:0", or what the adapter documents; ``None`` is its own, "cpu" of most.
        batch_size: records a chunk.
        score_floor: detections below it need not be returned.
        max_detections: a hint for the adapter; the pipeline alone cuts.
        seed: of every random choice.

    Raises:
        PluginError: there is no such adapter, or it cannot be set up.
        OptionError: an argument or option is unknown or has the wrong type or value.
    """
    require_text("name", name)
    plugins = _plugins(plugins)
    checked = plugins.settings(
        name,
        options=_options(options),
        config=_text("config", config),
        checkpoint=_text("checkpoint", checkpoint),
        device=device,
        batch_size=batch_size,
        score_floor=score_floor,
        max_detections=max_detections,
        seed=seed,
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
        OptionError: an argument has the wrong type.
    """
    require_path("path", path)
    require(split is None or isinstance(split, str), "split", split, "text, or None")
    folder = None if images is None else _path("images", images)
    plugins = _plugins(plugins)
    warn_anew()
    formats = installed_formats(plugins)
    scanner = choose_engine(plugins).scanner
    return open_with(path, split, images=folder, formats=formats, scanner=scanner)


def make_recipe(
    adapter: str,
    *,
    options: Mapping[str, Any] | None = None,
    limits: Limits | None = None,
    tta: TTA | Perturbation | str | None = None,
    ttt: TTT | str | None = None,
    on_error: OnError = "stop",
    workers: int = 2,
    batch_size: int = 4,
    plugins: Plugins | None = None,
    config: Path | str | None = None,
    checkpoint: Path | str | None = None,
    device: str | None = None,
    seed: int = 0,
) -> Recipe:
    """What to predict with, as plain data that can be pickled; nothing is loaded yet.

    Args:
        adapter: registered name, as ``anydet adapters list`` shows it.
        options: the adapter's own options, checked against its schema.
        limits: score threshold, detections an image, clipping.
        tta: views of test-time augmentation as ``--tta-views`` takes them, or all of its settings; or a
            perturbation of the results.
        ttt: method of test-time training, or all of its settings.
        on_error: "skip" notes images that cannot be decoded or predicted in their entry instead of stopping.
        workers: decoding threads.
        batch_size: images a batch.
        plugins: where to look; the installed ones by default.
        config: path or name of the adapter's configuration; its base one by default.
        checkpoint: weights to load, a file or the folder of a run.
        device: "cpu", "cuda", "cuda:0", or what the adapter documents; ``None`` is its own, "cpu" of most.
        seed: of the adapter's random choices.

    Raises:
        PluginError: nothing of a name is registered.
        OptionError: an argument or option is unknown or has the wrong type or value.
    """
    require_text("adapter", adapter)
    plugins = _plugins(plugins)
    kept = Limits() if limits is None else limits
    require(isinstance(kept, Limits), "limits", limits, "Limits, or None")
    checked = plugins.settings(
        adapter,
        options=_options(options),
        config=_text("config", config),
        checkpoint=_text("checkpoint", checkpoint),
        device=device,
        batch_size=batch_size,
        score_floor=kept.score_threshold,
        max_detections=kept.max_detections,
        seed=seed,
    )
    good = tta is None or isinstance(tta, TTA | Perturbation | str)
    require(good, "tta", tta, "text, TTA, Perturbation or None")
    require(ttt is None or isinstance(ttt, TTT | str), "ttt", ttt, "text, TTT or None")
    views = read_tta(tta, plugins) if isinstance(tta, str) else tta
    method = TTT(ttt) if isinstance(ttt, str) else ttt
    return Recipe(adapter, checked, kept, views, method, on_error, workers).resolve(plugins)


def export_predictions(
    adapter: Adapter | Recipe | str,
    dataset: Dataset | Path | str,
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
        adapter: an open adapter; a recipe, which says more: views, test-time training, limits; or a
            registered name, for that adapter without options.
        dataset: what to predict, open or a path.
        output: ``.json``, ``.jsonl`` or ``.parquet``.
        limits: score threshold, detections an image, clipping; by default those of the recipe.
        max_images: only the first so many.
        wrap: write ``.json`` with ``meta``.
        resume: go on with what an interrupted run left.
        on_error: "skip" notes images that cannot be decoded or predicted in their entry instead of stopping;
            by default as the recipe says, else "stop".
        progress: called with the number of images of each finished chunk.
        plugins: where a recipe's names, and formats of data sets, come from; the installed ones by default.

    Raises:
        AnydetError: as ``prediction.export.export_predictions``, and for a recipe as ``Recipe.open``.
    """
    require(
        isinstance(adapter, Adapter | Recipe | str),
        "adapter",
        adapter,
        "an adapter, a recipe or the name of one",
    )
    require_path("output", output)
    require(limits is None or isinstance(limits, Limits), "limits", limits, "Limits, or None")
    if on_error is not None:
        require_choice("on_error", on_error, get_args(OnError))
    _count("max_images", max_images)
    for name, flag in (("wrap", wrap), ("resume", resume)):
        require_flag(name, flag)
    require(callable(progress), "progress", progress, "a function of the number of images")
    plugins = _plugins(plugins)
    opened = opened_dataset("dataset", dataset, plugins)
    given = {"limits": limits, "on_error": on_error}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    run: dict[str, Any] = {"max_images": max_images, "wrap": wrap, "resume": resume}
    if isinstance(adapter, Adapter):
        return export(Pipeline(adapter, **changes), opened, Path(output), progress=progress, **run)
    recipe = make_recipe(adapter, plugins=plugins) if isinstance(adapter, str) else adapter
    with replace(recipe, **changes).open(plugins) as pipeline:
        return export(pipeline, opened, Path(output), progress=progress, **run)


@_speaking_of_arguments
def to_columns(
    predictions: Any, dataset: Dataset | Path | str | None = None, *, plugins: Plugins | None = None
) -> DetectionColumns:
    """Predictions in memory as columns, boxes in pixels of the original images.

    Args:
        predictions: COCO results as a list or pycocotools' (N, 7) array; dictionaries of ``boxes``,
            ``scores`` and ``labels`` (torchvision, torchmetrics) or ``supervision.Detections``, by image or
            in the order of the data set; ``ImagePredictions``; entries of a predictions file. Tensors are
            taken like arrays.
        dataset: what they were made on, open or a path; needed for ids, orders and sizes that they do not
            state.
        plugins: where formats of data sets come from; the installed ones by default.

    Raises:
        ContractError: they are of no form that is known, break its rules, or do not fit the data set.
        OptionError: an argument has the wrong type.
    """
    opened = None if dataset is None else opened_dataset("dataset", dataset, _plugins(plugins))
    truth = None if opened is None or opened.source == "none" else opened.ground_truth()
    from anydet.contract.memory import columns_of, load_memory

    return columns_of(load_memory(predictions, truth), truth)


@_speaking_of_arguments
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
        OptionError: an argument has the wrong type or value.
    """
    require_path("path", path)
    _box_format(box_format)
    return load(as_file(Path(path)), choose_engine(_plugins(plugins)).scanner).columns(box_format)


@_speaking_of_arguments
def validate(
    path: Any, dataset: Dataset | Path | str | None = None, *, plugins: Plugins | None = None
) -> Report:
    """Check predictions against the contract, and against a data set where one is given.

    Args:
        path: a file, or predictions in memory as ``to_columns`` takes them.
        dataset: what it was made on, open or a path.
        plugins: whose engine brings the scanner that reads it; the installed ones by default.

    Raises:
        OptionError: an argument has the wrong type.
    """
    require(path is not None, "path", path, "a path (str or os.PathLike), or predictions in memory")
    plugins = _plugins(plugins)
    opened = None if dataset is None else opened_dataset("dataset", dataset, plugins)
    if not isinstance(path, str | PathLike):
        from anydet.contract.memory import NAME, read_memory

        labeled = opened is not None and opened.source != "none"
        return report_of(
            NAME, lambda: read_memory(path, opened.ground_truth() if opened and labeled else None), opened
        )
    return validate_file(as_file(Path(path)), opened, scanner=choose_engine(plugins).scanner)


@_speaking_of_arguments
def evaluate(
    dataset: Dataset | Path | str,
    predictions: PredictionPaths | Any,
    settings: CocoSettings | None = None,
    *,
    iou_type: IouType = "bbox",
    box_format: str | None = None,
    class_map: Path | str | None = None,
    max_images: int | None = None,
    engine: str | None = None,
    threads: int | None = None,
    plugins: Plugins | None = None,
) -> CocoResult:
    """COCO's numbers of predictions on a data set.

    Args:
        dataset: an open data set, or a path; a COCO annotations file will do.
        predictions: a predictions file or COCO results; or several without an image in common, as a folder, a
            pattern or a list; or predictions in memory, as ``to_columns`` takes them. Images that they do not
            mention count as images without detections.
        settings: what is counted; COCO's own for ``iou_type`` by default.
        iou_type: what overlaps are measured on, where there are no ``settings``.
        box_format: what the file's boxes are in; by default what the file states, else ``cxcywh_norm``.
        class_map: how category ids of COCO results count, where they are not the data set's: "zero-based",
            "one-based", "coco91", or a JSON file of ids and classes.
        max_images: only the first so many images, on both sides.
        engine: registered name; the best installed one by default.
        threads: how many an engine may use; as many as there are cores by default.
        plugins: where engines and formats come from; the installed ones by default.

    Raises:
        AnydetError: either side cannot be read, or they do not fit each other.
        OptionError: an argument has the wrong type or value.
    """
    require(predictions is not None, "predictions", predictions, "a path, or predictions in memory")
    require(
        settings is None or isinstance(settings, CocoSettings), "settings", settings, "CocoSettings, or None"
    )
    counted = CocoSettings(iou_type) if settings is None else settings
    _box_format(box_format)
    counting = _text("class_map", class_map)
    _count("max_images", max_images)
    _count("threads", threads)
    require(engine is None or isinstance(engine, str), "engine", engine, "the name of an engine, or None")
    plugins = _plugins(plugins)
    opened = opened_dataset("dataset", dataset, plugins)
    if not _are_paths(predictions):
        limits: dict[str, Any] = {"box_format": box_format, "max_images": max_images}
        return _evaluate_memory(
            opened, predictions, counted, choose_engine(plugins, engine, threads), counting, **limits
        )
    several = not isinstance(predictions, str | PathLike)
    paths: Any = predictions if several else (predictions,)
    read = [as_file(Path(path)) for path in paths]
    return evaluate_coco(
        opened,
        read if several else read[0],
        counted,
        box_format=box_format,
        class_map=counting,
        max_images=max_images,
        engine=choose_engine(plugins, engine, threads),
    )


def _are_paths(given: Any) -> bool:
    """Whether predictions are files: a path, or a list of paths; an empty list is that of no results."""
    if isinstance(given, str | PathLike):
        return True
    return (
        isinstance(given, list | tuple) and bool(given) and all(isinstance(p, str | PathLike) for p in given)
    )


def _evaluate_memory(
    dataset: Dataset,
    predictions: Any,
    settings: CocoSettings,
    engine: Engine,
    class_map: str | None,
    **limits: Any,
) -> CocoResult:
    from anydet.contract.memory import load_memory

    require_labels(dataset)
    raw = load_memory(predictions, dataset.ground_truth(), class_map)
    return prepare_coco([join_inputs(dataset, raw, **limits)], settings, engine=engine).result()


@_speaking_of_arguments
def parity(
    a: Path | str,
    b: Path | str,
    *,
    dataset: Dataset | Path | str | None = None,
    tolerances: Tolerances | None = None,
    score_threshold: float | None = None,
    score_band: float | None = None,
    match_iou: float = 0.5,
    missing: str = "error",
    max_images: int | None = None,
    box_format: str | None = None,
    iou_type: IouType = "bbox",
    resamples: int = 1000,
    plugins: Plugins | None = None,
) -> Parity:
    """Whether two predictions files are the same within tolerances; ``ok`` and ``reason`` of the result say.

    Args:
        a: a predictions file of any shape; COCO results with ``dataset``.
        b: what should be the same.
        dataset: what was predicted, open or a path: for ids of COCO results, sizes and class names that files
            do not state, and, where it has annotations, the difference of AP.
        tolerances: largest differences that count as equal.
        score_threshold: lowest score that is compared; by default the higher one of those that the files
            state.
        score_band: how far above the lowest score that the other file keeps a detection may lack a partner;
            by default the tolerance of scores.
        match_iou: least IoU of a pair that is beyond the tolerances of box and score.
        missing: what an image is that one file does not mention: "error", "empty" (nothing was found on it)
            or "skip" (it is not compared).
        max_images: only the first so many images of the data set; without one, of the files.
        box_format: what the boxes of both files are in; by default what each says, else ``cxcywh_norm``.
        iou_type: geometry of the difference of AP.
        resamples: bootstrap resamples of its interval; 0 leaves AP out.
        plugins: where engines and formats come from; the installed ones by default.

    Raises:
        ContractError: a file breaks the contract, or the two contradict each other.
        EvaluationError: a file does not fit the data set.
        OptionError: an argument has the wrong type or value.
    """
    for name, path in (("a", a), ("b", b)):
        require_path(name, path)
    given = tolerances or Tolerances()
    require(isinstance(given, Tolerances), "tolerances", tolerances, "Tolerances, or None")
    settings = ParitySettings(given, score_threshold, score_band, match_iou)
    require_choice("iou_type", iou_type, get_args(IouType))
    require_integer("resamples", resamples, 0)
    _count("max_images", max_images)
    _box_format(box_format)
    plugins = _plugins(plugins)
    engine = choose_engine(plugins)
    return compare_files(
        as_file(Path(a)),
        as_file(Path(b)),
        settings,
        dataset=None if dataset is None else opened_dataset("dataset", dataset, plugins),
        missing=missing,
        max_images=max_images,
        box_format=box_format,
        ap=ApSettings(iou_type, resamples),
        engine=engine,
        scanner=engine.scanner,
    )


@_speaking_of_arguments
def fuse(
    files: Sequence[Path | str],
    output: Path | str,
    *,
    method: str = "wbf",
    weights: Sequence[float] = (),
    iou: float | None = None,
    options: Mapping[str, Any] | None = None,
    dataset: Dataset | Path | str | None = None,
    missing: str = "error",
    score_threshold: float = 0.0,
    max_detections: int | None = None,
    box_format: str | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    plugins: Plugins | None = None,
) -> FuseSummary:
    """Fuse predictions of several models on the same images into one file.

    Args:
        files: two predictions files or more, of any shape; COCO results with ``dataset``.
        output: ``.json`` (with ``meta``), ``.jsonl`` or ``.parquet``.
        method: a registered fusion.
        weights: of the files, positive; none where all count alike.
        iou: the method's option ``iou_threshold``.
        options: all of its options.
        dataset: what was predicted, open or a path: for ids of COCO results, and sizes and class names that
            files do not state.
        missing: what an image is that a file does not mention: "error", "empty" (that model found nothing on
            it) or "skip" (the other models' results count alone).
        score_threshold: lowest score that is written.
        max_detections: best ones written an image; all by default.
        box_format: what the boxes of all files are in; by default what each says, else ``cxcywh_norm``.
        progress: called with the number of images done and of all.
        plugins: where methods and formats come from; the installed ones by default.

    Raises:
        ContractError: a file breaks the contract, or the files do not fit each other.
        PluginError: there is no such method, or it failed.
        OptionError: an argument has the wrong type or value.
    """
    good = isinstance(files, Sequence) and not isinstance(files, str)
    require(good, "files", files, "a list of predictions files")
    for path in (*files, output):
        require_path("files" if path is not output else "output", path)
    require_text("method", method)
    require(isinstance(weights, Sequence), "weights", weights, "a list of numbers")
    if iou is not None:
        require_number("iou", iou, 0, 1)
    _box_format(box_format)
    require(callable(progress), "progress", progress, "a function of two numbers")
    plugins = _plugins(plugins)
    settings = settings_of(
        method,
        plugins,
        iou=iou,
        options=_options(options),
        weights=tuple(weights),
        missing=missing,
        score_threshold=score_threshold,
        max_detections=max_detections,
        box_format=box_format,
    )
    return fuse_files(
        [as_file(Path(path)) for path in files],
        Path(output),
        settings,
        plugins,
        dataset=None if dataset is None else opened_dataset("dataset", dataset, plugins),
        scanner=choose_engine(plugins).scanner,
        progress=progress,
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
    require_text("adapter", adapter)
    require_flag("resume", resume)
    require(run_id is None or isinstance(run_id, str), "run_id", run_id, "text, or None")
    for name, path in (("run_dir", run_dir), ("checkpoint", checkpoint), ("config", config)):
        require(path is None or isinstance(path, str | PathLike), name, path, "a path, or None")
    plugins = _plugins(plugins)

    from anydet.export.gate import train_and_export
    from anydet.training.launch.preparation import prepare

    named = {"run_dir": run_dir, "run_id": run_id, "checkpoint": checkpoint}
    given = {key: str(value) for key, value in named.items() if value is not None}
    opened: dict[str, Any] = {}
    for key, name, data in (("dataset", "dataset", dataset), ("val_dataset", "validation", validation)):
        if isinstance(data, str | PathLike):
            given[key] = str(data)
        elif data is not None:
            opened[name] = opened_dataset(name, data, plugins)
    flags = {**keys, **given, "adapter": adapter, **({"resume": True} if resume else {})}
    return train_and_export(prepare(flags, config, plugins=plugins, **opened))


def export_onnx(
    adapter: Adapter | str,
    output: Path | str,
    *,
    checkpoint: Path | str | None = None,
    options: Mapping[str, Any] | None = None,
    opset: int | None = None,
    dynamic_batch: bool = False,
    dynamic_size: bool = False,
    fp16: bool = False,
    check: bool = True,
    plugins: Plugins | None = None,
) -> ExportedFile:
    """Write the model of an adapter as an ONNX file; what ``anydet export-onnx`` does.

    Args:
        adapter: an open adapter, or the registered name of one.
        output: file to write, ``.onnx``.
        checkpoint: weights of a named adapter, a file or the folder of a run.
        options: of a named adapter, checked against its schema.
        opset: version of ONNX's operators; a usual one by default.
        dynamic_batch: leave the number of images open; else it is 1.
        dynamic_size: leave the size of inputs open.
        fp16: weights and layers as float16.
        check: run the file and compare its outputs with the model's; what was found is in ``parity``, where
            the adapter ``onnxruntime`` is installed.
        plugins: where adapters come from; the installed ones by default.

    Raises:
        UnsupportedError: the adapter cannot export.
        OptionError: an argument is wrong, or the architecture cannot be written that way.
        AnydetError: the adapter cannot be had or traced, or the file cannot be written or run.
    """
    require(isinstance(adapter, Adapter | str), "adapter", adapter, "an adapter or the name of one")
    path = _path("output", output)
    for name, flag in (
        ("dynamic_batch", dynamic_batch),
        ("dynamic_size", dynamic_size),
        ("fp16", fp16),
        ("check", check),
    ):
        require_flag(name, flag)
    _count("opset", opset)
    plugins = _plugins(plugins)

    from anydet.export.onnx_export import OnnxSettings
    from anydet.export.onnx_export import export_onnx as write
    from anydet.training.onnx_file import OPSET

    settings = OnnxSettings(
        opset=opset or OPSET, dynamic_batch=dynamic_batch, dynamic_size=dynamic_size, fp16=fp16
    )
    checked_by = plugins if check else None
    if isinstance(adapter, Adapter):
        named = [name for name, given in (("checkpoint", checkpoint), ("options", options)) if given]
        require(not named, "adapter", adapter.name, f"the name of one, where {' and '.join(named)} are given")
        return write(adapter, path, settings, plugins=checked_by)
    with load_adapter(adapter, checkpoint=checkpoint, options=options, plugins=plugins) as opened:
        return write(opened, path, settings, plugins=checked_by)


def _plugins(given: Plugins | None) -> Plugins:
    require(given is None or isinstance(given, Plugins), "plugins", given, "Plugins, or None")
    return Plugins.from_env() if given is None else given


def opened_dataset(name: str, given: Dataset | Path | str, plugins: Plugins) -> Dataset:
    """An open data set of an open one or a path."""
    if isinstance(given, str | PathLike):
        return open_dataset(given, plugins=plugins)
    # Whatever has the methods of a data set is one; these two tell it from mappings and lists.
    good = hasattr(given, "keys") and hasattr(given, "fingerprint")
    require(good, name, given, "an open data set or the path of one")
    return given


def _options(given: Mapping[str, Any] | None) -> Mapping[str, Any]:
    require(
        given is None or isinstance(given, Mapping), "options", given, "a mapping of names to values, or None"
    )
    return given or {}


def _path(name: str, given: Path | str) -> Path:
    require_path(name, given)
    return Path(given)


def _text(name: str, given: Path | str | None) -> str | None:
    """A path as settings have it."""
    return None if given is None else str(_path(name, given))


def _count(name: str, given: int | None) -> None:
    if given is not None:
        require_integer(name, given, 1)


def _box_format(given: str | None) -> None:
    if given is not None:
        require_choice("box_format", given, BOX_FORMATS)
