"""How an adapter behaves: repeatable, independent of chunks, without side effects."""

from __future__ import annotations

import io
import math
import os
import pickle
import random
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import get_args

import numpy as np

from anydet.data.record.transforms import HorizontalFlip
from anydet.plugins.adapter import Stage
from anydet.prediction.pipeline import Limits
from anydet.testing.checks.adapters.subject import AdapterSubject, require_findings
from anydet.testing.comparison import first_difference
from anydet.testing.images import LazyRecords
from anydet.types import ImagePredictions


def prediction_is_repeatable(subject: AdapterSubject) -> None:
    """The same records give the same results: again, and from a new adapter of the same settings."""
    with subject.adapter() as adapter:
        first = list(adapter.predict(subject.records()))
        # Empty results would be equal whatever the adapter does.
        require_findings(first)
        again = list(adapter.predict(subject.records()))
    for results, who in ((again, "the same adapter"), (subject.predict(subject.records()), "a new adapter")):
        difference = _difference(subject, first, results)
        assert not difference, f"{who} gave others: {difference}; draw random choices from settings.seed"


def chunks_do_not_change_results(subject: AdapterSubject) -> None:
    """Chunks of one, two and all records give the same results."""
    records = subject.records()
    whole = subject.predict(records, batch_size=len(records))
    require_findings(whole)
    for size in (1, 2):
        with subject.adapter(batch_size=size) as adapter:
            chunked = [
                p for i in range(0, len(records), size) for p in adapter.predict(records[i : i + size])
            ]
        difference = _difference(subject, whole, chunked)
        assert not difference, f"chunks of {size}: {difference}; let no image depend on its neighbors"


def records_of_one_image_may_share_a_batch(subject: AdapterSubject) -> None:
    """A batch may hold an image and its mirror under one key, as test-time augmentation gives them."""
    subject.require_pixels()
    records = subject.records()
    mirrored = [record.derive(HorizontalFlip()) for record in records]
    expected = [*subject.predict(records), *subject.predict(mirrored)]
    require_findings(expected)
    found = subject.predict([*records, *mirrored], batch_size=2 * len(records))
    difference = _difference(subject, expected, found)
    assert not difference, f"{difference}; record.key names the image, not the input"


def any_sequence_of_records_works(subject: AdapterSubject) -> None:
    """Records may be a tuple, or a sequence that makes them on access."""
    expected = subject.predict(subject.records())
    for records in (tuple(subject.records()), LazyRecords(subject.images)):
        difference = _difference(subject, expected, subject.predict(records))
        assert not difference, f"{type(records).__name__}: {difference}; ask for no more than a Sequence"


def records_are_left_alone(subject: AdapterSubject) -> None:
    """Pixels and data of the records are the same afterwards."""
    records = subject.records()
    subject.predict(records)
    for record, before in zip(records, subject.records(), strict=True):
        assert np.array_equal(record.image(), before.image()), (
            f"{record.key}: its pixels were changed; copy record.image() before you write to it"
        )
        assert record.extra == before.extra, f"{record.key}: record.extra was changed; copy it"


def nothing_is_printed(subject: AdapterSubject) -> None:
    """Nothing is written to stdout, which belongs to the command's data."""
    with _captured_stdout() as written:
        subject.predict(subject.records())
    text = "".join(written).strip()
    assert not text, f"stdout got {text[:80]!r}; print to stderr, or use logging"


def global_randomness_is_left_alone(subject: AdapterSubject) -> None:
    """The states of ``random`` and ``numpy.random`` are the same afterwards."""
    # Pickled, because numpy's state holds an array, which does not compare to one truth value.
    before = pickle.dumps((random.getstate(), np.random.get_state()))
    subject.predict(subject.records())
    after = pickle.dumps((random.getstate(), np.random.get_state()))
    assert before == after, "global random state moved; use numpy.random.default_rng(settings.seed)"


def closing_twice_is_harmless(subject: AdapterSubject) -> None:
    """The adapter is its own context manager, and ``close`` may be called again."""
    with subject.adapter() as adapter:
        list(adapter.predict(subject.records()[:1]))
        entered = adapter.__enter__()
        assert entered is adapter, f"'with' gave {type(entered).__name__}; __enter__ returns self"
    try:
        adapter.close()
    except Exception as exc:
        raise AssertionError(f"a second close() raised {exc!r}; let it do nothing") from exc


def the_best_alone_are_the_first_of_all(subject: AdapterSubject) -> None:
    """While few detections are wanted, they are those that are kept of all."""
    records = subject.records()
    everything = subject.predict(records)
    require_findings(everything)
    with subject.adapter() as adapter:
        for most in (1, 3):
            limits = Limits(score_threshold=0.0, max_detections=most, clip=False)
            with adapter.keeping_best(most):
                best = [limits.apply(one) for one in adapter.predict(records)]
            difference = _difference(subject, [limits.apply(one) for one in everything], best)
            assert not difference, f"the best {most}: {difference}; leave out what scores less"


def stages_have_known_names(subject: AdapterSubject) -> None:
    """Stages that the adapter marks are those that reports compare, and each run of one has a duration."""
    with subject.adapter() as adapter:
        list(adapter.predict(subject.records()))
        durations = {name: list(seconds) for name, seconds in adapter.stage_seconds.items()}
    known = get_args(Stage)
    for name, seconds in durations.items():
        assert name in known, f"it marks a stage {name!r}; call it one of {', '.join(known)}"
        assert all(math.isfinite(s) and s >= 0 for s in seconds), (
            f"stage {name!r} has durations {seconds[:3]}...; mark it with 'with self.stage({name!r})'"
        )


def stages_are_what_predict_does(subject: AdapterSubject) -> None:
    """Where the adapter shows its stages, one after the other they give what ``predict`` gives."""
    with subject.adapter() as adapter:
        stages = adapter.stages
        if stages is None:
            return
        for record in subject.records():
            (whole,) = adapter.predict([record])
            prepared = stages.prepare(stages.pixels(record))
            outputs = stages.run(prepared.tensor)
            found = stages.complete(record, outputs, prepared.placement)
            difference = _difference(subject, [whole], [found])
            assert not difference, f"stages.complete is not what predict gives: {difference}"
            decoded = stages.decode(outputs, prepared.placement)
            if decoded is None:
                continue
            selected = stages.select(record, decoded, prepared.placement)
            parts = [
                ImagePredictions(r.image, r.size_wh, r.boxes_xyxy_px, r.scores, r.class_ids)
                for r in (whole, selected)
            ]
            difference = _difference(subject, parts[:1], parts[1:])
            assert not difference, f"stages.select is not what predict selects: {difference}"


def settings_and_spec_are_picklable(subject: AdapterSubject) -> None:
    """The adapter keeps its settings as given, and they and its spec survive pickling."""
    with subject.adapter() as adapter:
        list(adapter.predict(subject.records()[:1]))
        kept = getattr(adapter, "settings", None)
        assert kept == subject.settings, (
            f"settings are {kept} after predict, were {subject.settings}; call super().__init__(settings) "
            "and keep what is derived from them elsewhere"
        )
    for what in (kept, subject.spec):
        try:
            copy = pickle.loads(pickle.dumps(what))
        except Exception as exc:
            raise AssertionError(
                f"{type(what).__name__} cannot be pickled: {exc}; keep plain data in it"
            ) from exc
        assert copy == what, f"{type(what).__name__} changes in pickling; keep plain data in it"


def _difference(subject: AdapterSubject, a: list[ImagePredictions], b: list[ImagePredictions]) -> str:
    return first_difference(a, b, subject.tolerance, floor=subject.settings.score_floor)


@contextmanager
def _captured_stdout() -> Iterator[list[str]]:
    """What Python code and C libraries write to stdout; the list is filled at the end."""
    written: list[str] = []
    text = io.StringIO()
    sys.stdout.flush()
    with tempfile.TemporaryFile() as file:
        # The descriptor itself is redirected, because C libraries do not write through sys.stdout.
        real = os.dup(1)
        os.dup2(file.fileno(), 1)
        try:
            with redirect_stdout(text):
                yield written
        finally:
            os.dup2(real, 1)
            os.close(real)
            file.seek(0)
            written += [text.getvalue(), file.read().decode(errors="replace")]


CHECKS = (
    prediction_is_repeatable,
    chunks_do_not_change_results,
    records_of_one_image_may_share_a_batch,
    any_sequence_of_records_works,
    records_are_left_alone,
    nothing_is_printed,
    global_randomness_is_left_alone,
    closing_twice_is_harmless,
    the_best_alone_are_the_first_of_all,
    stages_have_known_names,
    stages_are_what_predict_does,
    settings_and_spec_are_picklable,
)
