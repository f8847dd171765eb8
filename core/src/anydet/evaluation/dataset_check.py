"""A data set, and predictions made on it, looked over for what makes numbers wrong."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from anydet.contract.checking.validate import validate_shards
from anydet.contract.reading.shards import prediction_files
from anydet.data.coco.folders import find_annotations
from anydet.data.coco.mending import load, mend
from anydet.data.coco.parsing import parse_mended
from anydet.data.dataset.oddities import OddityWarning
from anydet.data.dataset.protocols import Dataset, DatasetFormat
from anydet.data.inspection.annotations import RARE, inspect_annotations, inspect_areas
from anydet.data.inspection.files import inspect_files, inspect_names, way_to_open
from anydet.data.inspection.finding import SEVERITIES, DatasetFinding, some
from anydet.data.inspection.identifiers import inspect_identifiers, inspect_oddities
from anydet.data.inspection.label_files import inspect_label_files
from anydet.data.opening import DeferredFormat, open_dataset
from anydet.dataclass import dataclass
from anydet.errors import AnydetError, AnydetWarning, ContractError, DatasetError, ImageSizeError
from anydet.evaluation.engines import choose_engine
from anydet.evaluation.evaluator import Engine
from anydet.evaluation.explanation.explain import explain
from anydet.evaluation.explanation.gather import joined
from anydet.evaluation.reading import Inputs, read_shards
from anydet.text import as_given
from anydet.types import GroundTruthColumns


@dataclass(frozen=True, slots=True)
class DatasetCheck:
    """What was looked at and found.

    Attributes:
        dataset: what was named.
        split: the split that was looked at.
        source: where the annotations come from.
        images: how many there are; 0 where they could not be read.
        annotations: how many there are.
        classes: how many there are.
        findings: the broken first, then warnings and notes.
    """

    dataset: str
    split: str
    source: str
    images: int
    annotations: int
    classes: int
    findings: Sequence[DatasetFinding]

    @property
    def ok(self) -> bool:
        """Whether nothing is broken."""
        return all(finding.severity != "broken" for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """What ``check-dataset --json`` prints."""
        return {"ok": self.ok, **asdict(self), "findings": [asdict(one) for one in self.findings]}


def check_dataset(
    path: Path | str,
    split: str | None = None,
    *,
    predictions: Path | str | None = None,
    box_format: str | None = None,
    open_images: bool = True,
    decode_images: bool = False,
    formats: Sequence[DatasetFormat | DeferredFormat] | None = None,
    engine: Engine | None = None,
    report: Callable[[int], None] = lambda count: None,
) -> DatasetCheck:
    """Look a data set over; what is too broken to be opened is looked at as far as possible.

    Args:
        path: file or folder.
        split: the split, or ``None`` for the first of ``splits.SPLITS`` that exists.
        predictions: a file that is to fit the data set.
        box_format: what its boxes are in; by default what the file says.
        open_images: whether to read the headers and ends of image files, and compare those that are equally
            long.
        decode_images: whether to decode all of them, too.
        formats: what to try, or ``None`` for the built-in formats.
        engine: who matches, for predictions; the best installed one by default.
        report: is called with each further count of images whose files were looked at.

    Raises:
        DatasetError: there is no data set of a known format.
    """
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always", AnydetWarning)
        warnings.simplefilter("ignore", OddityWarning)  # they are findings here
        found = _check(
            path,
            split,
            predictions=predictions,
            box_format=box_format,
            open_images=open_images,
            decode_images=decode_images,
            formats=formats,
            engine=engine,
            report=report,
        )
    said = [one for one in heard if issubclass(one.category, AnydetWarning)]
    for one in heard:
        if one not in said:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    return _with_warnings(found, list(dict.fromkeys(str(one.message) for one in said)))


def _with_warnings(found: DatasetCheck, said: Sequence[str]) -> DatasetCheck:
    """With a finding of each warning that was given on the way: none is printed beside the result."""
    added = [DatasetFinding("warning", "said when reading", 1, text) for text in said]
    return replace(found, findings=_in_order([*found.findings, *added]))


def _in_order(findings: Iterable[DatasetFinding]) -> tuple[DatasetFinding, ...]:
    return tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))


def _check(
    path: Path | str,
    split: str | None,
    *,
    predictions: Path | str | None,
    box_format: str | None,
    open_images: bool,
    decode_images: bool,
    formats: Sequence[DatasetFormat | DeferredFormat] | None,
    engine: Engine | None,
    report: Callable[[int], None],
) -> DatasetCheck:
    file = find_annotations(Path(path), split)
    data = load(file) if file else None
    findings = [] if data is None else list(inspect_identifiers(data))
    try:
        dataset = open_dataset(path, split, formats=formats)
    except DatasetError as exc:
        if file is None:
            raise
        return _unopened(str(path), file, data, exc, findings)
    findings += inspect_oddities(getattr(dataset, "oddities", ()))
    findings += inspect_label_files(dataset)
    if not len(dataset):
        problem = "images: there is nothing to evaluate or train on"
        fix = "check that it is the file that was meant, and export it again"
        findings.append(DatasetFinding("broken", "no images", 0, problem, fix=fix))
    truth = None
    if dataset.source == "none":
        problem = "images of a data set without labels"
        findings.append(DatasetFinding("warning", "no annotations", len(dataset), problem))
    else:
        try:
            truth = dataset.ground_truth()
        except DatasetError as exc:
            findings.append(_unreadable(*(_label_errors(dataset) or [exc])))
        else:
            findings += inspect_annotations(truth)
            if data is not None:
                findings += inspect_areas(truth)
    findings += (
        inspect_files(dataset, report, decode=decode_images) if open_images else inspect_names(dataset)
    )
    if predictions is not None and truth is not None:
        findings += _predictions(dataset, predictions, box_format, engine or choose_engine())
    return _checked(str(path), dataset, truth, findings)


def _unopened(
    path: str,
    file: Path,
    data: Mapping[str, Any] | None,
    why: DatasetError,
    findings: list[DatasetFinding],
) -> DatasetCheck:
    """What can be said of an annotations file that reading refuses: all of its faults, not the first."""
    if data is None:
        return _checked(path, None, None, [*findings, _unreadable(why)])
    mended = mend(data)
    findings += inspect_oddities(mended.oddities)
    if not any(one.refused for one in mended.oddities):
        findings.append(_unreadable(why))
    try:
        table = parse_mended(file, replace(mended, document=mended.repaired))
    except DatasetError as exc:
        if exc.problem != why.problem:
            findings.append(_unreadable(exc))
        return _checked(path, None, None, findings)
    truth = table.ground_truth(file.name)
    checked = _checked(path, None, truth, [*findings, *inspect_annotations(truth)])
    return replace(checked, images=len(table), source=file.name)


def _checked(
    path: str,
    dataset: Dataset | None,
    truth: GroundTruthColumns | None,
    findings: list[DatasetFinding],
) -> DatasetCheck:
    counts = (0, 0) if truth is None else (len(truth), len(truth.classes))
    split, source, images = ("", "", 0) if dataset is None else (dataset.split, dataset.source, len(dataset))
    return DatasetCheck(as_given(path), split, source, images, *counts, _in_order(findings))


def _unreadable(*errors: AnydetError) -> DatasetFinding:
    too_large = [error for error in errors if isinstance(error, ImageSizeError)]
    return DatasetFinding(
        "broken",
        "unreadable",
        len(errors),
        "places that keep the data set from being read",
        some(error.problem for error in errors),
        errors[0].fix if not too_large else way_to_open(too_large),
    )


def _label_errors(dataset: Dataset) -> list[AnydetError]:
    """What is wrong with each image's labels, in files of their own."""
    errors: list[AnydetError] = []
    for i in range(len(dataset)):
        try:
            _ = dataset[i].labels
        except DatasetError as exc:
            errors.append(exc)
    return errors


def _predictions(
    dataset: Dataset, path: Path | str, box_format: str | None, engine: Engine
) -> Iterator[DatasetFinding]:
    """Whether predictions fit the data set, and what explains it where they do not."""
    try:
        files = prediction_files(path)
    except ContractError as exc:
        yield DatasetFinding("broken", "predictions misfit", 1, "reason", (exc.problem,), exc.fix)
        return
    report = validate_shards(path, files, dataset, box_format=box_format, scanner=engine.scanner)
    if report.errors:
        yield DatasetFinding(
            "broken",
            "predictions misfit",
            len(report.errors),
            "places in the predictions that break the contract or do not fit the data set",
            some(report.errors),
            report.fix,
        )
    if report.warnings:
        problem = "places in the predictions that are probably not meant"
        yield DatasetFinding(
            "warning", "odd predictions", len(report.warnings), problem, some(report.warnings)
        )
    if report.errors or dataset.source == "none":
        return
    try:
        inputs = _as_one(list(read_shards(dataset, files, box_format=box_format, scanner=engine.scanner)))
    except AnydetError as exc:
        yield DatasetFinding("broken", "predictions misfit", 1, "reason", (exc.problem,), exc.fix)
        return
    yield from _explained(inputs, engine)
    yield from _never_predicted(inputs)


def _as_one(parts: Sequence[Inputs]) -> Inputs:
    """Files with disjoint images, as if they were one."""
    found, truth = joined([part.detections for part in parts], [part.ground_truth for part in parts])
    return replace(parts[0], detections=found, ground_truth=truth)


def _explained(inputs: Inputs, engine: Engine) -> Iterator[DatasetFinding]:
    """The usual mistakes; those that measurably lower AP are broken."""
    used = inputs.context["box_format"]
    for one in explain(inputs.detections, inputs.ground_truth, engine, box_format=used).explanations:
        yield DatasetFinding(
            "warning" if one.gain is None else "broken",
            "predictions explained",
            len(inputs.detections),
            one.cause,
            (one.evidence,),
            one.what_to_do,
        )


def _never_predicted(inputs: Inputs) -> Iterator[DatasetFinding]:
    classes = inputs.ground_truth.classes
    annotated, found = (
        np.bincount(ids, minlength=len(classes))
        for ids in (inputs.ground_truth.labels.class_ids, inputs.detections.class_ids)
    )
    never = np.flatnonzero((annotated >= RARE) & (found == 0)).tolist()
    if never:
        yield DatasetFinding(
            "warning",
            "classes never predicted",
            len(never),
            f"classes with {RARE} annotations and more, and no detection",
            some(f"{classes.names[i]} ({annotated[i]} annotations)" for i in never),
            "check that the model knows them, and the order of class ids",
        )
