"""The main job: a data set through an adapter into a predictions file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from anydet.contract.encode import encode_entry
from anydet.contract.write import check_output, write_predictions
from anydet.data.dataset.protocols import Dataset
from anydet.data.record.record import Record
from anydet.dataclass import dataclass
from anydet.errors import AnydetError, ImageError, OptionError
from anydet.prediction.decode import Undecodable
from anydet.prediction.meta import build_meta, identity
from anydet.prediction.pipeline import Pipeline
from anydet.prediction.recipe import Recipe
from anydet.prediction.spool import Spool, Tally
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
        skipped: (image, reason) of images that could not be decoded.
        wall_s: seconds of this run.
    """

    output: Path
    images: int
    detections: int
    resumed: int
    skipped: tuple[tuple[str, str], ...]
    wall_s: float


def export_predictions(
    pipeline: Pipeline,
    dataset: Dataset,
    output: Path,
    *,
    max_images: int | None = None,
    wrap: bool = False,
    resume: bool = False,
    progress: Callable[[int], None] = lambda _images: None,
) -> ExportSummary:
    """Predict a data set and write a file that ``validate`` accepts.

    Entries are on disk chunk by chunk; memory does not grow with the number of images. The file appears
    under its name only when it is complete.

    Args:
        pipeline: what ``Recipe.open`` gives, or one built by hand.
        dataset: what to predict.
        output: ``.json``, ``.jsonl`` or ``.parquet``.
        max_images: only the first so many.
        wrap: write ``.json`` with ``meta`` (the other kinds always have it).
        resume: go on with what an interrupted run left.
        progress: called with the number of images of each finished chunk.

    Raises:
        ImageError: an image cannot be decoded and the pipeline stops on errors.
        OptionError: an unfinished run is in the way, or is not the one to resume.
        InterruptedRunError: Ctrl-C.
    """
    start = time.perf_counter()
    check_output(output)
    if resume and pipeline.ttt:
        raise OptionError(
            "a run with test-time training cannot be resumed: its model depends on all images before",
            fix=f"leave out --resume, and remove {output}.partial if it is there",
        )
    total = len(dataset) if max_images is None else min(max_images, len(dataset))
    run = identity(Recipe.of(pipeline), dataset, total, pipeline.adapter.version)
    with closing(Spool.open(output, run, resume=resume)) as spool:
        resumed = spool.images
        progress(resumed)
        try:
            _fill(spool, pipeline, dataset, total, progress)
            seconds = time.perf_counter() - start
            meta = build_meta(pipeline, dataset, run, fresh=total - resumed, wall_s=seconds)
            write_predictions(spool.lines(), output, meta=meta, wrap=wrap)
        except BaseException:
            # Kept, it would be in the way of the next run, which could not go on with it.
            if pipeline.ttt or not spool.images:
                spool.remove()
            raise
        # Only now: until the output is complete, the spool is all that there is of the run.
        spool.remove()
    wall = time.perf_counter() - start
    return ExportSummary(output, total, spool.detections, resumed, tuple(spool.skipped), wall)


def _fill(
    spool: Spool, pipeline: Pipeline, dataset: Dataset, total: int, progress: Callable[[int], None]
) -> None:
    """Predict what the spool does not hold yet."""
    first = spool.images
    try:
        for chunk in pipeline.run(_records(dataset, first, total), first=first, total=total):
            spool.append([encode_entry(p) for p in chunk], _tally(chunk))
            progress(len(chunk))
    except KeyboardInterrupt:
        if pipeline.ttt or not spool.images:
            raise InterruptedRunError(
                f"interrupted after {spool.images} of {total} images; nothing of the run is kept"
            ) from None
        raise InterruptedRunError(
            f"interrupted after {spool.images} of {total} images; they are kept in {spool.path}",
            fix="add --resume to the same command to go on",
        ) from None


def _tally(chunk: Sequence[ImagePredictions]) -> Tally:
    failed = tuple((p.image, str(p.extra["error"])) for p in chunk if "error" in p.extra)
    return Tally(len(chunk), sum(map(len, chunk)), failed)


def _records(dataset: Dataset, first: int, total: int) -> Iterator[Record | Undecodable]:
    for i in range(first, total):
        try:
            yield dataset[i]
        except ImageError as exc:  # labels in fractions of an image that cannot be measured
            yield Undecodable(dataset.keys[i], None, exc)
