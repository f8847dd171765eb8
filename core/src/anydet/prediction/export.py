"""The main job: a data set through an adapter into a predictions file."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import field
from pathlib import Path
from typing import Any

from anydet.contract.encode import encode_entry
from anydet.contract.write import check_output, write_predictions
from anydet.data.dataset.protocols import Dataset
from anydet.data.record.record import Record
from anydet.dataclass import dataclass
from anydet.errors import AnydetError, ImageError, OptionError, PluginError
from anydet.outputs import growing_file, require_writable
from anydet.prediction.decode import Undecodable
from anydet.prediction.hooks import TTTDescription
from anydet.prediction.meta import build_meta, identity
from anydet.prediction.pipeline import Pipeline
from anydet.prediction.recipe import Recipe
from anydet.prediction.spool import LOG_SUFFIX, Spool, Tally
from anydet.types import ImagePredictions


class InterruptedRunError(AnydetError):
    """The user stopped the run; what was done is kept."""

    exit_code = 130


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """What an export did.

    Attributes:
        output: the finished file.
        images: entries in it.
        detections: detections in it.
        resumed: entries that an earlier, interrupted run had left.
        skipped: (image, reason) of images that could not be decoded or predicted.
        wall_s: seconds of this run.
        warnings: what of the file is not as it should be, beside skipped images.
        ttt: report of the method of test-time training, empty without one.
    """

    output: Path
    images: int
    detections: int
    resumed: int
    skipped: tuple[tuple[str, str], ...]
    wall_s: float
    warnings: tuple[str, ...] = ()
    ttt: Mapping[str, Any] = field(default_factory=dict)


def export_predictions(
    pipeline: Pipeline,
    dataset: Dataset,
    output: Path,
    *,
    max_images: int | None = None,
    wrap: bool = False,
    resume: bool = False,
    ttt_log: Path | None = None,
    progress: Callable[[int], None] = lambda _images: None,
) -> ExportSummary:
    """Predict a data set and write a file that ``validate`` accepts.

    Entries are on disk chunk by chunk; memory does not grow with the number of images. The file appears
    under its name only when it is complete. What a method of test-time training fails in after the last image
    (its report, restoring the model) does not take the predictions along: they are written first.

    Args:
        pipeline: what ``Recipe.open`` gives, or one built by hand.
        dataset: what to predict.
        output: ``.json``, ``.jsonl`` or ``.parquet``.
        max_images: only the first so many.
        wrap: write ``.json`` with ``meta`` (the other kinds always have it).
        resume: go on with what an interrupted run left.
        ttt_log: JSON lines to write, one for each step of test-time training.
        progress: called with the number of images of each finished chunk.

    Raises:
        ImageError: an image cannot be decoded and the pipeline stops on errors.
        PluginError: an image cannot be predicted and the pipeline stops on errors, or as ``Pipeline.run``.
        OptionError: an unfinished run is in the way, or is not the one to resume.
        InterruptedRunError: Ctrl-C.
    """
    start = time.perf_counter()
    check_output(output)
    total = len(dataset) if max_images is None else min(max_images, len(dataset))
    # After the data set was read, none of whose files may be replaced.
    require_writable(output, LOG_SUFFIX)
    if ttt_log is not None and os.path.realpath(ttt_log) == os.path.realpath(output):
        raise OptionError(f"{ttt_log}: the log would be replaced by the predictions", fix="name another file")
    if resume and pipeline.ttt:
        raise OptionError(
            "a run with test-time training cannot be resumed: its model depends on all images before",
            fix=f"leave out --resume, and remove {output}.partial if it is there",
        )
    run = identity(Recipe.of(pipeline), dataset, total, pipeline.adapter.version)
    # Before the first image: what meta cannot state would be found after the last one.
    build_meta(pipeline, dataset, run, fresh=0, wall_s=0)
    warnings: list[str] = []
    with _logging_ttt(pipeline, ttt_log), closing(Spool.open(output, run, resume=resume)) as spool:
        resumed = spool.images
        progress(resumed)
        try:
            late = _fill(spool, pipeline, dataset, total, progress)
            described, report = _ttt_at_end(pipeline, warnings)
            seconds = time.perf_counter() - start
            meta = build_meta(
                pipeline,
                dataset,
                run,
                fresh=total - resumed,
                wall_s=seconds,
                described=described,
                report=report,
            )
            write_predictions(spool.lines(), output, meta=meta, wrap=wrap)
        except BaseException:
            # Kept, it would be in the way of the next run, which could not go on with it.
            if pipeline.ttt or not spool.images:
                spool.remove()
            raise
        # Only now: until the output is complete, the spool is all that there is of the run.
        spool.remove()
    if late:
        raise PluginError(f"{late.problem}; {output} is complete all the same", fix=late.fix) from late
    wall = time.perf_counter() - start
    skipped = tuple(spool.skipped)
    return ExportSummary(output, total, spool.detections, resumed, skipped, wall, tuple(warnings), report)


@contextmanager
def _logging_ttt(pipeline: Pipeline, path: Path | None) -> Iterator[None]:
    """Write the numbers of each step of test-time training meanwhile."""
    if path is None:
        yield
        return
    if not pipeline.ttt:
        raise OptionError(f"{path}: a log of test-time training, and there is none", fix="add --ttt")
    with growing_file(path) as append:
        pipeline.ttt.method.on_step = lambda step: append(json.dumps(step, allow_nan=False).encode() + b"\n")
        yield


def _ttt_at_end(pipeline: Pipeline, warnings: list[str]) -> tuple[TTTDescription, Mapping[str, Any]]:
    """Description and report of the method; a fault of one of them is a warning, and the report states it."""
    report: Mapping[str, Any] = {}
    description = TTTDescription()
    try:
        description = pipeline.describe_ttt()
        report = pipeline.report_ttt()
    except PluginError as exc:
        warnings.append(exc.problem)
        report = {"error": exc.problem}
    return description, report


def _fill(
    spool: Spool, pipeline: Pipeline, dataset: Dataset, total: int, progress: Callable[[int], None]
) -> PluginError | None:
    """Predict what the spool does not hold yet; gives a fault that came after the last image."""
    first = spool.images
    try:
        for chunk in pipeline.run(_records(dataset, first, total), first=first, total=total):
            spool.append([encode_entry(p) for p in chunk], _tally(chunk))
            progress(len(chunk))
    except PluginError as exc:
        if not pipeline.ttt or spool.images < total:
            raise
        return exc
    except KeyboardInterrupt:
        if pipeline.ttt or not spool.images:
            raise InterruptedRunError(
                f"interrupted after {spool.images} of {total} images; nothing of the run is kept"
            ) from None
        raise InterruptedRunError(
            f"interrupted after {spool.images} of {total} images; they are kept in {spool.path}",
            fix="add --resume to the same command to go on",
        ) from None
    return None


def _tally(chunk: Sequence[ImagePredictions]) -> Tally:
    failed = tuple((p.image, str(p.extra["error"])) for p in chunk if "error" in p.extra and not len(p))
    return Tally(len(chunk), sum(map(len, chunk)), failed)


def _records(dataset: Dataset, first: int, total: int) -> Iterator[Record | Undecodable]:
    for i in range(first, total):
        try:
            yield dataset[i]
        except ImageError as exc:  # labels in fractions of an image that cannot be measured
            yield Undecodable(dataset.keys[i], None, exc)
