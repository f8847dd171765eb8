"""What a COCO engine is held to: the arrays of the reference engine, on random problems."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from anydet.contract.reading.load import load
from anydet.data.opening import open_dataset
from anydet.data.scenes.shape_scenes import SyntheticDataset, write_coco_shapes
from anydet.errors import AnydetError, EvaluationError
from anydet.evaluation.evaluator import Engine, EngineArrays, IouType
from anydet.evaluation.protocol import CocoSettings
from anydet.evaluation.pycocotools_engine import PycocotoolsEngine
from anydet.plugins.manager import Plugins
from anydet.scanner import Scanner
from anydet.testing.comparison import frozen, same_columns
from anydet.testing.kit import NotApplicable, Subject, checks_of
from anydet.testing.problems import Problem, random_problem

if TYPE_CHECKING:
    from typing_extensions import Self

_SEEDS = range(6)
_SCANNED = {
    "list.json": '[{"image": "a.png", "detections": [{"class_id": 0, "score": 0.5, "bbox": {"cx": 0.5, "cy": '
    '0.5, "w": 0.25, "h": 1e-1}}]}, {"image": "b.png", "detections": []}]',
    "wrapped.json": '{"predictions": [{"image": "a.png", "detections": [{"class_id": 2, "score": 1, "bbox": '
    '{"cx": 0.1, "cy": 0.2, "w": 0.3, "h": 0.4}, "extra": {"note": "\\u00e9"}}]}], "meta": {}}',
    "lines.jsonl": '{"image": "a.png", "detections": []}\n{"image": "b.png", "detections": [{"class_id": 1, '
    '"score": 0.25, "bbox": {"cx": 0.5, "cy": 0.5, "w": 0.5, "h": 0.5}}]}\n',
    "score.json": '[{"image": "a.png", "detections": [{"class_id": 0, "score": 2, "bbox": {"cx": 0.5, "cy": '
    '0.5, "w": 0.25, "h": 0.1}}]}]',
    "cut.json": '[{"image": "a.png", "detections": [{"class_id"',
}
"""Small files: three shapes of the contract, a score that is none, and a file that ends too early."""


@dataclass(frozen=True)
class EngineSubject(Subject):
    """An engine under test.

    Attributes:
        name: as it is registered.
        build: gives a new engine.
    """

    name: str
    build: Callable[[], Engine]

    @classmethod
    def installed(
        cls, plugins: Plugins, name: str, folder: Path, options: Mapping[str, Any] | None = None
    ) -> Self:
        """The installed engine called ``name``, which has no options."""
        del options
        return cls(name, plugins.load("engines", name), folder=folder)

    def set_up(self) -> None:
        """Build it once."""
        self.build()

    def scanner(self) -> Scanner:
        """Its reader of JSON files; leaves the check where it brings none."""
        found = self.build().scanner
        if found is None:
            raise NotApplicable("it brings no scanner")
        return found


def it_says_what_it_is(subject: EngineSubject) -> None:
    """``name`` is the name that it is registered under, ``version`` a text, ``threads`` 1 or more."""
    engine = subject.build()
    assert engine.name == subject.name, f"it calls itself {engine.name!r}; give {subject.name!r}"
    good = isinstance(engine.version, str) and engine.version
    assert good, f"version is {engine.version!r}; give that of its package"
    assert engine.threads >= 1, f"threads is {engine.threads}; give 1 or more"


def boxes_are_matched_as_by_pycocotools(subject: EngineSubject) -> None:
    """Arrays for boxes are those of the engine ``pycocotools``, to 1e-12."""
    _assert_equal_arrays(subject, "bbox")


def masks_are_matched_as_by_pycocotools(subject: EngineSubject) -> None:
    """Arrays for masks are those of the engine ``pycocotools``, to 1e-12."""
    _assert_equal_arrays(subject, "segm")


def boundaries_are_matched_as_by_pycocotools(subject: EngineSubject) -> None:
    """Arrays for boundaries of masks are those of the engine ``pycocotools``, to 1e-12."""
    _assert_equal_arrays(subject, "boundary")


def keypoints_are_matched_as_by_pycocotools(subject: EngineSubject) -> None:
    """Arrays for keypoints are those of the engine ``pycocotools``, to 1e-12."""
    _assert_equal_arrays(subject, "keypoints")


def threads_change_nothing(subject: EngineSubject) -> None:
    """One thread and three give the same arrays."""
    one, three = subject.build(), subject.build()
    one.threads, three.threads = 1, 3
    problem = random_problem(0, images=40)
    difference = _difference(*(_arrays(engine, problem, CocoSettings()) for engine in (one, three)))
    assert not difference, f"{difference} with three threads; add up in an order that does not depend on them"


def columns_are_left_alone(subject: EngineSubject) -> None:
    """The columns that it gets are the same afterwards."""
    before, problem = frozen(random_problem()), frozen(random_problem())
    try:
        _arrays(subject.build(), problem, CocoSettings())
    except ValueError as exc:
        raise AssertionError(f"{exc}: copy columns before writing to them") from exc
    assert same_columns(before, problem), "columns were changed; copy them before writing to them"


def predictions_are_scanned_as_they_are_read(subject: EngineSubject) -> None:
    """Its scanner gives of predictions what the plain reader gives, and both refuse the same files."""
    scanner = subject.scanner()
    for name, text in _SCANNED.items():
        path = subject.folder / name
        path.write_text(text, "utf-8")
        plain, scanned = _read(path, None), _read(path, scanner)
        # Of refusals the kinds are compared: a scanner also knows the byte.
        same = type(plain) is type(scanned) and (isinstance(plain, str) or same_columns(plain, scanned))
        assert same, f"{name}: scanned as {scanned!r}, read as {plain!r}; give a Stop where it is unusual"


def annotations_are_scanned_as_they_are_read(subject: EngineSubject) -> None:
    """Its scanner gives of a COCO annotations file what the plain reader gives."""
    scanner = subject.scanner()
    write_coco_shapes(SyntheticDataset(4, image_wh=(64, 48)), subject.folder / "scenes")
    plain, scanned = (
        open_dataset(subject.folder / "scenes", scanner=one).ground_truth() for one in (None, scanner)
    )
    for name in ("images", "sizes_wh", "image_index", "labels", "classes", "image_ids", "about"):
        assert same_columns(getattr(plain, name), getattr(scanned, name)), (
            f"{name} are others than those of the plain reader; give a Stop where the file is unusual"
        )


def _read(path: Path, scanner: Scanner | None) -> Any:
    try:
        return load(path, scanner)
    except AnydetError as exc:
        return type(exc).__name__


def _assert_equal_arrays(subject: EngineSubject, iou_type: IouType) -> None:
    settings = CocoSettings(iou_type), CocoSettings(iou_type, max_detections=(1, 2), iou_thresholds=(0.5,))
    for seed in _SEEDS:
        for one in settings:
            problem = random_problem(seed, images=5 + 4 * seed)
            wanted = _arrays(PycocotoolsEngine(), problem, one)
            try:
                found = _arrays(subject.build(), problem, one)
            except EvaluationError as exc:
                if iou_type == "bbox":
                    raise
                raise NotApplicable(f"it does not score {iou_type}: {exc.problem}") from exc
            difference = _difference(wanted, found)
            assert not difference, (
                f"{iou_type}, problem {seed}: {difference}; compare with pycocotools, ties and crowds first"
            )


def _arrays(engine: Engine, problem: Problem, settings: CocoSettings) -> EngineArrays:
    params = settings.params(len(problem.ground_truth.classes))
    return engine.accumulate(engine.match(problem.detections, problem.ground_truth, params), params)


def _difference(wanted: EngineArrays, found: EngineArrays) -> str:
    for name in ("precision", "recall", "scores"):
        a, b = getattr(wanted, name), getattr(found, name)
        if a.shape != b.shape:
            return f"{name} has shape {b.shape}, not {a.shape}"
        other = np.argwhere(~np.isclose(a, b, rtol=0, atol=1e-12))
        if len(other):
            at = tuple(other[0].tolist())
            return f"{name}{list(at)} is {b[at]}, not {a[at]}"
    return ""


CHECKS = checks_of(
    it_says_what_it_is,
    boxes_are_matched_as_by_pycocotools,
    masks_are_matched_as_by_pycocotools,
    boundaries_are_matched_as_by_pycocotools,
    keypoints_are_matched_as_by_pycocotools,
    threads_change_nothing,
    columns_are_left_alone,
    predictions_are_scanned_as_they_are_read,
    annotations_are_scanned_as_they_are_read,
)
"""Name -> check, in the order in which they are run."""
