"""What ``predict`` yields: one well-formed result a record, in order."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict

import numpy as np

from anydet.contract.encode import encode_entry
from anydet.contract.schema import validator
from anydet.plugins.adapter import AdapterNotes
from anydet.prediction.pipeline import Limits
from anydet.testing.checks.adapters.subject import AdapterSubject
from anydet.testing.kit import NotApplicable
from anydet.types import BoolArray, ImagePredictions


def predict_gives_an_iterator(subject: AdapterSubject) -> None:
    """``predict`` gives an iterator of ``ImagePredictions``."""
    with subject.adapter() as adapter:
        results = adapter.predict(subject.records())
        assert isinstance(results, Iterator), (
            f"predict gave a {type(results).__name__}; yield the results, or return iter(...)"
        )
        wrong = {type(r).__name__ for r in results if not isinstance(r, ImagePredictions)}
        assert not wrong, f"predict yields {', '.join(wrong)}; yield anydet.types.ImagePredictions"


def one_result_per_record(subject: AdapterSubject) -> None:
    """Every record gets one result, those without detections too."""
    records = subject.records()
    got = len(subject.predict(records))
    assert got == len(records), (
        f"{len(records)} records in, {got} results out; yield ImagePredictions.empty(key, size) for an image "
        "without detections"
    )


def keys_and_order_are_kept(subject: AdapterSubject) -> None:
    """Results carry the records' keys, in the records' order."""
    keys = [r.key for r in subject.records()]
    got = [p.image for p in subject.predict(subject.records())]
    assert got == keys, f"expected {keys}, got {got}; use record.key as it is and keep the order"


def no_records_give_no_results(subject: AdapterSubject) -> None:
    """An empty chunk gives no results."""
    got = subject.predict([])
    assert not got, f"no records in, {len(got)} results out; iterate over the records that were given"


def sizes_are_those_of_the_images(subject: AdapterSubject) -> None:
    """``size_wh`` is the size of ``record.image()``, not of the model's input."""
    for record, result in zip(subject.records(), subject.predict(subject.records()), strict=True):
        assert tuple(result.size_wh) == record.size_wh, (
            f"{record.key}: size_wh {result.size_wh}, the image has {record.size_wh}; it is (width, height) "
            "of record.image()"
        )


def arrays_have_contract_shapes(subject: AdapterSubject) -> None:
    """Boxes are (N, 4) float64, scores (N,) float64, class ids (N,) int64, other columns have N rows."""
    for p in subject.predict(subject.records()):
        assert_shapes(p)


def assert_shapes(p: ImagePredictions) -> None:
    """The columns of one result have the contract's types and as many rows as there are scores."""
    expected = {
        "boxes_xyxy_px": ((len(p.scores), 4), np.float64),
        "scores": ((len(p.scores),), np.float64),
        "class_ids": ((len(p.scores),), np.int64),
    }
    for name, (shape, dtype) in expected.items():
        array = getattr(p, name)
        got = f"{getattr(array, 'dtype', type(array).__name__)} {getattr(array, 'shape', '')}"
        assert isinstance(array, np.ndarray), f"{p.image}: {name} is {got}; give a numpy array"
        assert array.dtype == dtype, f"{p.image}: {name} is {got}; give {np.dtype(dtype)}"
        assert array.shape == shape, f"{p.image}: {name} is {got}; give shape {shape}"
    for name in ImagePredictions.ROWS[3:]:
        rows = _rows(getattr(p, name))
        assert rows in {None, len(p)}, f"{p.image}: {name} has {rows} rows for {len(p)} detections"


def boxes_are_finite(subject: AdapterSubject) -> None:
    """Boxes are finite, with x2 >= x1 and y2 >= y1."""
    for p in subject.predict(subject.records()):
        assert_boxes(p)


def assert_boxes(p: ImagePredictions) -> None:
    """The boxes of one result are finite and have no negative size."""
    finite = np.isfinite(p.boxes_xyxy_px).all(axis=1)
    assert finite.all(), f"{p.image}: box {p.boxes_xyxy_px[~finite][0].tolist()}; drop what is not finite"
    ordered = (p.boxes_xyxy_px[:, 2:] >= p.boxes_xyxy_px[:, :2]).all(axis=1)
    assert ordered.all(), (
        f"{p.image}: box {p.boxes_xyxy_px[~ordered][0].tolist()} has a negative size; give x1, y1, x2, y2"
    )


def boxes_are_in_pixels_of_the_image(subject: AdapterSubject) -> None:
    """Boxes are neither normalized nor in pixels of the model's input: most of them overlap their image."""
    results = [p for p in subject.predict(subject.records()) if len(p)]
    if not results:
        raise NotApplicable("it gives no boxes for the kit's images; give it images of its own")
    largest = max(float(p.boxes_xyxy_px.max()) for p in results)
    assert largest > 1.5, f"no coordinate is above {largest:.3g}; multiply boxes by the image's size"
    overlaps = np.concatenate([_overlaps_image(p) for p in results])
    assert overlaps.mean() > 0.5, (
        f"{int((~overlaps).sum())} of {len(overlaps)} boxes are outside their images; scale them from the "
        "model's input to the original image"
    )


def scores_are_probabilities(subject: AdapterSubject) -> None:
    """Scores are in [0, 1]."""
    for p in subject.predict(subject.records()):
        assert_scores(p)


def assert_scores(p: ImagePredictions) -> None:
    """The scores of one result are in [0, 1]."""
    good = (p.scores >= 0) & (p.scores <= 1)
    assert good.all(), f"{p.image}: score {p.scores[~good][0]}; give probabilities, not logits"


def class_ids_are_in_the_table(subject: AdapterSubject) -> None:
    """Class ids are 0 or more, and below ``len(classes)`` where the adapter has a class table."""
    with subject.adapter() as adapter:
        classes = adapter.classes
        top = np.iinfo(np.int64).max if classes is None else len(classes)
        for p in adapter.predict(subject.records()):
            good = (p.class_ids >= 0) & (p.class_ids < top)
            assert good.all(), (
                f"{p.image}: class id {p.class_ids[~good][0]} is not in 0..{top - 1}; ids are contiguous "
                "(no background, no gaps as in COCO's 1..90)"
            )


def results_fit_the_schema(subject: AdapterSubject) -> None:
    """What is written of the results is valid under the contract's schema."""
    assert_schema(subject.predict(subject.records()))


def assert_schema(results: Sequence[ImagePredictions]) -> None:
    """What is written of results is valid under the contract's schema."""
    limits = Limits(score_threshold=0.0)
    entries = [json.loads(encode_entry(limits.apply(p))) for p in results]
    for error in validator().iter_errors(entries):
        where = ".".join(map(str, error.absolute_path))
        raise AssertionError(f"{where}: {error.message}; see schemas/predictions.schema.json")


def notes_can_be_written(subject: AdapterSubject) -> None:
    """``notes`` is an ``AdapterNotes`` that has a JSON form, because it goes into ``meta``."""
    with subject.adapter() as adapter:
        list(adapter.predict(subject.records()))
        notes = adapter.notes
        assert isinstance(notes, AdapterNotes), f"notes are a {type(notes).__name__}; give AdapterNotes"
        try:
            json.dumps(asdict(notes), allow_nan=False)
        except (TypeError, ValueError) as exc:
            raise AssertionError(f"notes cannot be written: {exc}; use plain numbers, texts, lists") from exc


def _overlaps_image(p: ImagePredictions) -> BoolArray:
    width, height = p.size_wh
    x1, y1, x2, y2 = p.boxes_xyxy_px.T
    return np.asarray((x2 > 0) & (y2 > 0) & (x1 < width) & (y1 < height))


def _rows(column: object) -> int | None:
    """Rows of an optional column; ``None`` where it is absent, or empty of columns itself."""
    if column is None:
        return None
    if hasattr(column, "__len__"):
        return len(column)
    counts = {len(getattr(column, name)) for name in _fields(column) if getattr(column, name) is not None}
    return counts.pop() if len(counts) == 1 else (None if not counts else -1)


def _fields(column: object) -> tuple[str, ...]:
    return tuple(getattr(type(column), "__dataclass_fields__", {}))


CHECKS = (
    predict_gives_an_iterator,
    one_result_per_record,
    keys_and_order_are_kept,
    no_records_give_no_results,
    sizes_are_those_of_the_images,
    arrays_have_contract_shapes,
    boxes_are_finite,
    boxes_are_in_pixels_of_the_image,
    scores_are_probabilities,
    class_ids_are_in_the_table,
    results_fit_the_schema,
    notes_can_be_written,
)
