"""The kit is only worth something if each check catches its own bad adapter."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

from anydet.data.record.pixels import ImageArray
from anydet.data.record.record import Record
from anydet.errors import ImageError
from anydet.plugins.adapter import Adapter, AdapterNotes
from anydet.plugins.specs import AdapterSpec
from anydet.plugins.stages import Prepared
from anydet.testing import AdapterSubject
from anydet.testing.checks.adapters import CHECKS, behavior, capabilities, images, results
from anydet.testing.kit import NotApplicable
from anydet.types import AdapterSettings, ByteImage, Classification, ClassTable, ImagePredictions


class Colorful(Adapter):
    """One box around all colorful pixels; its class is the strongest channel."""

    @property
    def classes(self) -> ClassTable:
        return ClassTable(("red", "green", "blue"))

    def predict(self, records: Sequence[Record]) -> Iterator[ImagePredictions]:
        for record in records:
            yield self.detect(record, record.image())

    def detect(self, record: Record, image: ByteImage) -> ImagePredictions:
        height, width = image.shape[:2]
        saturation = image.max(axis=2).astype(float) - image.min(axis=2)
        rows, columns = np.nonzero(saturation > 100)
        if not len(rows):
            return ImagePredictions.empty(record.key, (width, height))
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        return ImagePredictions(
            record.key,
            (width, height),
            np.array([box], np.float64),
            np.array([saturation.max() / 255]),
            np.array([image[rows, columns].mean(axis=0).argmax()], np.int64),
        )


def changed(change: Callable[[ImagePredictions], ImagePredictions]) -> type[Colorful]:
    class Changed(Colorful):
        def predict(self, records):
            return map(change, super().predict(records))

    return Changed


class GivesAList(Colorful):
    def predict(self, records):
        return list(super().predict(records))


class KeepsResultsByKey(Colorful):
    def predict(self, records):
        found = {p.image: p for p in super().predict(records)}
        return (found[record.key] for record in records)


class GivesDictionaries(Colorful):
    def predict(self, records):
        return iter([{"image": record.key} for record in records])


class LeavesOutAResult(Colorful):
    def predict(self, records):
        return itertools.islice(super().predict(records), 1)


class SortsByKey(Colorful):
    def predict(self, records):
        return iter(sorted(super().predict(records), key=lambda p: p.image))


class AddsAResult(Colorful):
    def predict(self, records):
        yield from super().predict(records)
        yield ImagePredictions.empty("one more", (1, 1))


class NoteHoldsAnArray(Colorful):
    @property
    def notes(self):
        return AdapterNotes(details={"mean": np.zeros(3)})


class NotesAreADictionary(Colorful):
    notes: ClassVar = {"warnings": []}


class DividesBySize(Colorful):
    def detect(self, record, image):
        found = super().detect(record, image)
        return replace(found, boxes_xyxy_px=found.boxes_xyxy_px / [*found.size_wh, *found.size_wh])


class OpensTheFile(Colorful):
    """Opens ``record.path`` where there is one, as PIL gives it."""

    def predict(self, records):
        for record in records:
            pixels = record.image() if record.path is None else np.asarray(Image.open(record.path))
            yield self.detect(record, pixels)


class ForgivesBrokenImages(Colorful):
    def predict(self, records):
        for record in records:
            try:
                yield self.detect(record, record.image())
            except ImageError:
                yield ImagePredictions.empty(record.key, record.size_wh)


class HidesTheName(Colorful):
    def predict(self, records):
        try:
            yield from super().predict(records)
        except ImageError:
            raise RuntimeError("an image is broken") from None


class BreaksForGood(Colorful):
    broken = False

    def predict(self, records):
        for record in records:
            try:
                found = self.detect(record, record.image())
            except ImageError:
                self.broken = True
                raise
            yield found.take(np.zeros(0, np.int64)) if self.broken else found


class IgnoresTransforms(Colorful):
    def predict(self, records):
        return (self.detect(record, record.pixels.read()) for record in records)


class RollsGlobalDice(Colorful):
    def predict(self, records):
        for p in super().predict(records):
            yield replace(p, scores=p.scores * np.random.random())


class DependsOnInstance(Colorful):
    instances = itertools.count(1)

    def __init__(self, settings):
        super().__init__(settings)
        self.number = next(self.instances)

    def predict(self, records):
        return (replace(p, scores=p.scores / self.number) for p in super().predict(records))


class ScoresAgainstTheChunk(Colorful):
    def predict(self, records):
        found = list(super().predict(records))
        best = max((p.scores.max(initial=0) for p in found), default=1) or 1
        return (replace(p, scores=p.scores / best) for p in found)


class WantsAList(Colorful):
    def predict(self, records):
        return super().predict(records.copy())


class PaintsOnTheImage(Colorful):
    def predict(self, records):
        for record in records:
            image = record.image()
            found = self.detect(record, image)
            image[:] = 0
            yield found


class WritesIntoExtra(Colorful):
    def predict(self, records):
        for record in records:
            record.extra["seen"] = True
            yield self.detect(record, record.image())


class Prints(Colorful):
    def predict(self, records):
        print("predicting")  # noqa: T201
        return super().predict(records)


class PrintsBelowPython(Colorful):
    def predict(self, records):
        import os

        os.write(1, b"a library says hello\n")
        return super().predict(records)


class MovesGlobalState(Colorful):
    def predict(self, records):
        random.random()
        return super().predict(records)


class ClosesOnce(Colorful):
    closed = False

    def close(self):
        if self.closed:
            raise RuntimeError("already closed")
        self.closed = True


class EntersAnother(Colorful):
    def __enter__(self):
        return type(self)(self.settings)


class ChangesItsSettings(Colorful):
    def __init__(self, settings):
        super().__init__(replace(settings, options={"session": lambda: None}))


class LeavesOutTheBest(Colorful):
    few = False

    @contextmanager
    def keeping_best(self, most):
        self.few = True
        yield

    def predict(self, records):
        for found in super().predict(records):
            yield found.take(np.arange(len(found))[1:]) if self.few else found


class ShowsStagesOfAnother(Colorful):
    """Its stages give other scores than ``predict``."""

    @property
    def stages(self):
        return self

    def pixels(self, record):
        return record.image()

    def prepare(self, image):
        return Prepared(image, None)

    def run(self, tensor):
        return [tensor]

    def complete(self, record, outputs, placement):
        (found,) = self.predict([record])
        return replace(found, scores=found.scores / 2)


class MarksItsOwnStage(Colorful):
    def predict(self, records):
        with self.stage("network"):
            found = list(super().predict(records))
        yield from found


class TimesByTheCalendar(Colorful):
    def predict(self, records):
        self.stage_seconds["model"].append(-3600.0)
        return super().predict(records)


class DeniesItsPixels(Colorful):
    needs_pixels = False


class OpensForSizes(Colorful):
    needs_pixels = False

    def predict(self, records):
        return (ImagePredictions.empty(record.key, record.pixels.size_wh()) for record in records)


class ForgivesMissingPixels(Colorful):
    needs_pixels = False

    def predict(self, records):
        for record in records:
            try:
                yield self.detect(record, record.image())
            except AssertionError:
                yield ImagePredictions.empty(record.key, record.size_wh)


class Sizes(Colorful):
    """Needs no pixels, and looks at none."""

    needs_pixels = False

    def predict(self, records):
        for record in records:
            box = np.array([[0.0, 0.0, *record.size_wh]])
            yield ImagePredictions(record.key, record.size_wh, box, np.ones(1), np.zeros(1, np.int64))


class NamesEveryPixel(Colorful):
    def predict(self, records):
        for record in records:
            if 1 in record.size_wh:
                raise ZeroDivisionError("a side became 0")
            yield self.detect(record, record.image())


class Exports(Colorful):
    def export_spec(self):
        return None


class WantsADataset(Colorful):
    def train(self, dataset, run):
        return None


class WantsNoBatchSize(Colorful):
    def build_loader(self, records):
        return ()


class RefusesToExport(Colorful):
    def get_model(self):
        self._unsupported("get_model")

    def export_spec(self):
        self._unsupported("export_spec")


@dataclass(frozen=True)
class Forgetful:
    """A spec that loses a field in pickling."""

    name: str = "bad"
    capabilities: tuple[str, ...] = ("predict",)

    def __reduce__(self):
        return (Forgetful, ("other",))


SPEC = AdapterSpec("colorful", "nowhere:Colorful")
EXPORTS = replace(SPEC, capabilities=("predict", "export-onnx"))

BAD = [
    ("predict_gives_an_iterator", GivesAList, SPEC, "gave a list"),
    ("predict_gives_an_iterator", GivesDictionaries, SPEC, "yields dict"),
    ("one_result_per_record", LeavesOutAResult, SPEC, "5 records in, 1 results out"),
    ("keys_and_order_are_kept", SortsByKey, SPEC, "keep the order"),
    ("keys_and_order_are_kept", changed(lambda p: replace(p, image=Path(p.image).name)), SPEC, "as it is"),
    ("no_records_give_no_results", AddsAResult, SPEC, "no records in, 1"),
    ("sizes_are_those_of_the_images", changed(lambda p: replace(p, size_wh=(64, 64))), SPEC, "width, height"),
    (
        "arrays_have_contract_shapes",
        changed(lambda p: replace(p, boxes_xyxy_px=p.boxes_xyxy_px.astype(np.float32))),
        SPEC,
        "give float64",
    ),
    (
        "arrays_have_contract_shapes",
        changed(lambda p: replace(p, scores=p.scores.tolist())),
        SPEC,
        "numpy array",
    ),
    (
        "arrays_have_contract_shapes",
        changed(lambda p: replace(p, class_ids=p.class_ids[:, None])),
        SPEC,
        "give shape",
    ),
    (
        "arrays_have_contract_shapes",
        changed(lambda p: replace(p, states=np.zeros(len(p) + 1, np.int64))),
        SPEC,
        "states has 2 rows for 1",
    ),
    (
        "boxes_are_finite",
        changed(lambda p: replace(p, boxes_xyxy_px=p.boxes_xyxy_px * np.nan)),
        SPEC,
        "not finite",
    ),
    (
        "boxes_are_finite",
        changed(lambda p: replace(p, boxes_xyxy_px=p.boxes_xyxy_px[:, [2, 3, 0, 1]])),
        SPEC,
        "negative size",
    ),
    ("boxes_are_in_pixels_of_the_image", DividesBySize, SPEC, "multiply boxes"),
    (
        "boxes_are_in_pixels_of_the_image",
        changed(lambda p: replace(p, boxes_xyxy_px=p.boxes_xyxy_px + 600)),
        SPEC,
        "are outside",
    ),
    ("scores_are_probabilities", changed(lambda p: replace(p, scores=p.scores * 9)), SPEC, "not logits"),
    ("class_ids_are_in_the_table", changed(lambda p: replace(p, class_ids=p.class_ids + 3)), SPEC, "0..2"),
    ("results_fit_the_schema", changed(lambda p: replace(p, extra={"at": object()})), SPEC, "JSON"),
    (
        "results_fit_the_schema",
        changed(lambda p: replace(p, classification=Classification(0, 7.0))),
        SPEC,
        "7.0 is greater than the maximum",
    ),
    ("notes_can_be_written", NoteHoldsAnArray, SPEC, "not JSON serializable"),
    ("notes_can_be_written", NotesAreADictionary, SPEC, "give AdapterNotes"),
    ("tiny_images_work", NamesEveryPixel, SPEC, "a side became 0"),
    ("tiny_images_work", changed(lambda p: replace(p, size_wh=(64, 64))), SPEC, "no side become 0"),
    ("grayscale_files_work", OpensTheFile, SPEC, "axis 2 is out of bounds"),
    ("exif_rotation_is_applied", OpensTheFile, SPEC, "size_wh"),
    ("a_corrupt_image_is_an_error", ForgivesBrokenImages, SPEC, "gave a result"),
    ("a_corrupt_image_is_an_error", HidesTheName, SPEC, "gave RuntimeError"),
    ("a_corrupt_image_is_an_error", BreaksForGood, SPEC, "half-done chunk"),
    ("pixels_come_from_the_record", OpensTheFile, SPEC, "No such file"),
    ("pixels_are_read_only_where_needed", DeniesItsPixels, SPEC, "set it to True"),
    ("pixels_are_read_only_where_needed", OpensForSizes, SPEC, "opens an image for its size"),
    ("pixels_are_read_only_where_needed", ForgivesMissingPixels, SPEC, r"leave record\.image\(\) alone"),
    ("derived_records_are_seen_transformed", IgnoresTransforms, SPEC, "size_wh"),
    ("prediction_is_repeatable", RollsGlobalDice, SPEC, "the same adapter gave others"),
    ("prediction_is_repeatable", DependsOnInstance, SPEC, "a new adapter gave others"),
    ("chunks_do_not_change_results", ScoresAgainstTheChunk, SPEC, "neighbors"),
    ("any_sequence_of_records_works", WantsAList, SPEC, "no attribute 'copy'"),
    ("records_are_left_alone", PaintsOnTheImage, SPEC, "pixels were changed"),
    ("records_are_left_alone", WritesIntoExtra, SPEC, "extra was changed"),
    ("nothing_is_printed", Prints, SPEC, "predicting"),
    ("nothing_is_printed", PrintsBelowPython, SPEC, "a library says hello"),
    ("global_randomness_is_left_alone", RollsGlobalDice, SPEC, "global random state"),
    ("global_randomness_is_left_alone", MovesGlobalState, SPEC, "global random state"),
    ("records_of_one_image_may_share_a_batch", KeepsResultsByKey, SPEC, "not the input"),
    ("closing_twice_is_harmless", ClosesOnce, SPEC, "already closed"),
    ("closing_twice_is_harmless", EntersAnother, SPEC, "returns self"),
    ("the_best_alone_are_the_first_of_all", LeavesOutTheBest, SPEC, "leave out what scores less"),
    ("stages_are_what_predict_does", ShowsStagesOfAnother, SPEC, "not what predict gives"),
    ("stages_have_known_names", MarksItsOwnStage, SPEC, "call it one of decode, preprocess, model"),
    ("stages_have_known_names", TimesByTheCalendar, SPEC, r"durations \[-3600.0\]"),
    ("settings_and_spec_are_picklable", ChangesItsSettings, SPEC, "super"),
    ("settings_and_spec_are_picklable", Colorful, Forgetful(), "changes in pickling"),
    ("declared_capabilities_are_implemented", Colorful, EXPORTS, "get_model"),
    ("declared_capabilities_are_implemented", RefusesToExport, EXPORTS, "refuses"),
    ("implemented_capabilities_are_declared", Exports, SPEC, "export_spec"),
    ("methods_take_the_arguments_of_the_border", WantsADataset, SPEC, "missing a required argument: 'run'"),
    ("methods_take_the_arguments_of_the_border", WantsNoBatchSize, SPEC, "argument 'batch_size'"),
    (
        "schemas_describe_the_options",
        Colorful,
        replace(SPEC, options_schema="anydet:nowhere.json"),
        "ship it inside",
    ),
]


def subject(adapter: type[Adapter], spec, folder: Path) -> AdapterSubject:
    return AdapterSubject(spec, adapter, AdapterSettings(batch_size=2, score_floor=0.001), folder=folder)


NUMPY_CHECKS = [check.__name__ for m in (results, images, behavior, capabilities) for check in m.CHECKS]


@pytest.mark.parametrize("name", NUMPY_CHECKS)
def test_a_good_adapter_passes(name, tmp_path):
    if name == "pixels_are_read_only_where_needed":
        CHECKS[name](subject(Sizes, SPEC, tmp_path))
    else:
        CHECKS[name](subject(Colorful, SPEC, tmp_path))


@pytest.mark.parametrize(
    "name",
    [
        "a_corrupt_image_is_an_error",
        "derived_records_are_seen_transformed",
        "records_of_one_image_may_share_a_batch",
    ],
)
def test_checks_of_pixels_leave_an_adapter_that_needs_none(name, tmp_path):
    with pytest.raises(NotApplicable, match="needs no pixels"):
        CHECKS[name](subject(Sizes, SPEC, tmp_path))
    with pytest.raises(NotApplicable, match="needs pixels"):
        CHECKS["pixels_are_read_only_where_needed"](subject(Colorful, SPEC, tmp_path))


def test_every_check_has_a_bad_adapter():
    assert {name for name, *_ in BAD} == set(NUMPY_CHECKS)


@pytest.mark.parametrize(
    ("name", "adapter", "spec", "message"), BAD, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_check_catches_its_bad_adapter(name, adapter, spec, message, tmp_path):
    with pytest.raises(Exception, match=message):
        CHECKS[name](subject(adapter, spec, tmp_path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"additionalProperties": True}, "additionalProperties"),
        ({"properties": {"size": {"type": "integer"}}}, "no description"),
        (
            {"properties": {"size": {"type": "integer", "default": "big", "description": "Size."}}},
            "breaks its own schema",
        ),
    ],
)
def test_a_careless_option_schema_is_caught(change, message, tmp_path, monkeypatch):
    schema = {"type": "object", "properties": {}, "additionalProperties": False, **change}
    monkeypatch.setattr(capabilities, "load_schema", lambda reference: schema)
    with pytest.raises(AssertionError, match=message):
        CHECKS["schemas_describe_the_options"](subject(Colorful, SPEC, tmp_path))


def test_an_adapter_that_opens_another_picture_is_caught_although_the_file_exists(tmp_path):
    class OpensWhatExists(Colorful):
        def predict(self, records):
            for record in records:
                there = record.path is not None and record.path.exists()
                shown = (
                    Record(record.key, ImageArray(np.asarray(Image.open(record.path)))) if there else record
                )
                yield self.detect(record, shown.image())

    with pytest.raises(AssertionError, match=r"never open record\.path"):
        CHECKS["pixels_come_from_the_record"](subject(OpensWhatExists, SPEC, tmp_path))
