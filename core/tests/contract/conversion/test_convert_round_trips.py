"""Every pair of formats there and back: what changes is what was listed, and what was listed changes."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anydet.contract.columns import read_images
from anydet.contract.conversion.coco_file import images_of_coco
from anydet.contract.conversion.convert import Conversion, convert
from anydet.contract.conversion.csv_file import read_csv
from anydet.contract.conversion.dropped_fields import CHANGES, COUNTS, HOLDS, UNSCORED, round_trip_table
from anydet.contract.conversion.supervision import from_supervision, to_supervision
from anydet.contract.conversion.yolozu import ONE_BASED
from anydet.contract.encode import encode_entry
from anydet.contract.reading.entries import read_meta
from anydet.contract.reading.opening import open_source
from anydet.contract.write import write_predictions
from anydet.data.dataset.columns import no_labels
from anydet.geometry import masks
from anydet.types import (
    Classification,
    ClassTable,
    GroundTruthColumns,
    ImagePredictions,
    Intrinsics,
    Poses,
)

pytest.importorskip("pyarrow")

FORMATS = {
    "list": "x.json",
    "wrapped": "x.json",
    "JSON Lines": "x.jsonl",
    "Parquet": "x.parquet",
    "CSV": "x.csv",
    "COCO results": "x.json",
}
NAMES = ("disc", "box")


def truth_of(images: list[ImagePredictions]) -> GroundTruthColumns:
    return GroundTruthColumns(
        images=tuple(p.image for p in images),
        sizes_wh=np.array([p.size_wh for p in images]),
        image_index=np.zeros(0, np.int64),
        labels=no_labels(),
        classes=ClassTable(NAMES, (3, 10)),
        source="made here",
        image_ids=np.arange(len(images)) * 11 + 5,
    )


def turn(source: Path, folder: Path, kind: str, truth: GroundTruthColumns) -> tuple[Path, Conversion]:
    folder.mkdir(exist_ok=True)
    out = folder / FORMATS[kind]
    into = "coco" if kind == "COCO results" else None
    return out, convert(source, out, made_into=into, truth=truth, wrap=kind == "wrapped")


def read(
    path: Path, kind: str, truth: GroundTruthColumns
) -> tuple[dict[str, ImagePredictions], dict[str, Any]]:
    """Images by key, and what the file says of the run and its classes."""
    if kind == "CSV":
        table = read_csv(path)
        return {p.image: p for p in table.images}, {"classes": table.names}
    if kind == "COCO results":
        with open_source(path) as source:
            return {p.image: p for p in images_of_coco(source, truth)}, {}
    with open_source(path) as source:
        meta = read_meta(source)[0] or {}
    return {p.image: p for p in read_images(path)}, {k: v for k, v in meta.items() if k != "conventions"}


def poses_of(p: ImagePredictions) -> dict[str, Any]:
    columns = {} if p.poses is None else {f.name: getattr(p.poses, f.name) for f in fields(p.poses)}
    return {name: c for name, c in columns.items() if c is not None and not np.isnan(c).all()}


def points_of(p: ImagePredictions) -> Any:
    return None if p.keypoints is None or np.isnan(p.keypoints).all() else p.keypoints[..., :2]


def scored(p: ImagePredictions) -> Any:
    return None if points_of(p) is None else np.where(np.isnan(p.keypoints[..., 0]), 0, p.keypoints[..., 2])


def visibility(p: ImagePredictions) -> Any:
    """Visibility and score of points that are labeled."""
    if p.keypoint_visibility is None or p.keypoints is None:
        return None
    stated = np.where(np.isnan(p.keypoints[..., 0]), -1, p.keypoint_visibility)
    return stated if (stated >= 0).any() else None


def known(column: Any, missing: Callable[[Any], Any]) -> Any:
    return None if column is None or missing(column).all() else column


VALUES: Mapping[str, Callable[[ImagePredictions], Any]] = {
    "boxes, scores, classes": lambda p: (p.boxes_xyxy_px, p.scores, p.class_ids),
    "states": lambda p: known(p.states, lambda c: c < 0),
    "state scores": lambda p: known(p.state_scores, np.isnan),
    "masks": lambda p: tuple(p.masks) if any(p.masks or ()) else None,
    "keypoints": points_of,
    UNSCORED: scored,
    "keypoint visibilities": visibility,
    "poses": poses_of,
    "extras of detections": lambda p: p.detection_extra if any(p.detection_extra or ()) else None,
    "classifications": lambda p: p.classification,
    "semantic masks": lambda p: p.semantic_mask,
    "intrinsics": lambda p: p.intrinsics,
    "preprocess": lambda p: p.preprocess,
    "extras of images": lambda p: p.extra,
    "image sizes": lambda p: p.size_wh,
}


def same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.shape == b.shape and np.allclose(a, b, rtol=1e-12, atol=1e-9, equal_nan=True)
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return type(a) is type(b) and bool(a == b)


def differences(before: dict[str, ImagePredictions], after: dict[str, ImagePredictions]) -> Iterator[str]:
    if before.keys() - after.keys():
        assert all(not len(before[key]) for key in before.keys() - after.keys())
        yield "images without detections"
    for name, value in VALUES.items():
        if not all(same(value(before[key]), value(p)) for key, p in after.items()):
            yield name


@pytest.mark.parametrize(("kind", "other"), [*product(FORMATS, FORMATS)])
def test_what_a_pair_of_formats_changes_is_what_it_lists(
    kind: str, other: str, images: list[ImagePredictions], written: Callable[..., Path], tmp_path: Path
) -> None:
    truth = truth_of(images)
    start, _ = turn(written("start.json", images), tmp_path / "start", kind, truth)
    between, there = turn(start, tmp_path / "between", other, truth)
    end, back = turn(between, tmp_path / "end", kind, truth)
    (before, meta), (after, end_meta) = read(start, kind, truth), read(end, kind, truth)
    changed = set(differences(before, after)) | ({"meta"} if meta != end_meta else set())
    listed = set(there.lost) | set(back.lost)
    if other in HOLDS and "keypoints" not in HOLDS[other]:
        changed -= {UNSCORED}  # no keypoints, no scores of them
    assert changed == listed


@pytest.mark.parametrize("kind", FORMATS)
def test_the_counts_of_the_losses_are_those_of_what_the_file_had(
    kind: str, images: list[ImagePredictions], written: Callable[..., Path], tmp_path: Path
) -> None:
    truth = truth_of(images)
    _, done = turn(written("start.json", images), tmp_path / "out", kind, truth)
    counts = {name: sum(map(count, images)) for name, count in COUNTS.items()}
    held = HOLDS.get(kind, frozenset(counts))
    wanted = {name: count for name, count in counts.items() if name not in held and count}
    wanted |= {name: sum(map(count, images)) for name, count in CHANGES.get(kind, {}).items()}
    lost_meta = {"list": 3, "CSV": 2, "COCO results": 2}.get(kind)  # adapter and images; classes have a place
    assert done.lost == wanted | ({"meta": lost_meta} if lost_meta else {})
    assert min(counts.values()) > 0


def test_the_table_has_a_row_for_each_field_and_a_column_for_each_format() -> None:
    header, _, *rows = round_trip_table().splitlines()
    assert [cell.strip() for cell in header.strip("|").split("|")] == [
        "field",
        *FORMATS,
        "YOLO labels",  # there and back in test_convert.py
    ]
    assert [row.split("|")[1].strip() for row in rows] == ["boxes, scores, classes", *COUNTS, "meta"]


finite = st.floats(-1e6, 1e6, width=32)
unit = st.floats(0, 1)
names = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=8)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | finite | names,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=2),
    max_leaves=4,
)
objects = st.dictionaries(names, json_values, min_size=1, max_size=2)
WIDTH, HEIGHT = 30, 20


@st.composite
def rles(draw: Any) -> Any:
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    x, y = draw(st.integers(0, WIDTH - 2)), draw(st.integers(0, HEIGHT - 2))
    mask[y : draw(st.integers(y + 1, HEIGHT)), x : draw(st.integers(x + 1, WIDTH))] = True
    return masks.encode(mask)


@st.composite
def results(draw: Any, image: str) -> ImagePredictions:
    """Any result: each field of each detection there or not."""
    count = draw(st.integers(0, 4))

    def column(shape: tuple[int, ...], values: Any = finite) -> Any:
        """Rows of NaN among others; ``None`` where no row is known."""
        known = draw(st.lists(st.booleans(), min_size=count, max_size=count))
        size = int(np.prod(shape, dtype=int))
        rows = [draw(st.lists(values, min_size=size, max_size=size)) if k else [np.nan] * size for k in known]
        return np.array(rows, np.float64).reshape(count, *shape) if any(known) else None

    def optional(values: Any) -> Any:
        found = tuple(draw(st.lists(st.none() | values, min_size=count, max_size=count)))
        return found if any(found) else None

    corners = np.array(draw(st.lists(unit, min_size=4 * count, max_size=4 * count))).reshape(count, 4)
    boxes = np.concatenate([corners[:, :2], corners[:, :2] + corners[:, 2:]], axis=1)
    boxes *= (WIDTH, HEIGHT, WIDTH, HEIGHT)
    points = column((3, 3), unit)
    if points is not None:
        points[..., :2] *= (WIDTH, HEIGHT)
    visible = None
    if points is not None and draw(st.booleans()):
        visible = np.array(draw(st.lists(st.integers(-1, 2), min_size=3 * count, max_size=3 * count)))
        visible = np.where(np.isnan(points[..., 0]), -1, visible.reshape(count, 3))
        at_origin = (points[..., :2] == 0).all(axis=2)  # unlabeled ones there are how files say "missing"
        visible = np.where(at_origin & (visible == 0), 1, visible)
        visible = visible if (visible >= 0).any() else None
    states = column((), st.integers(0, 9))
    shapes = {"log_z": (), "rot6d": (6,), "rotations": (3, 3), "translations_m": (3,), "offsets_px": (2,)}
    shapes |= {"k_delta": (4,), "log_sigma_z": (), "log_sigma_rot": ()}
    poses = {name: found for name, shape in shapes.items() if (found := column(shape)) is not None}
    return ImagePredictions(
        image,
        (WIDTH, HEIGHT),
        boxes,
        np.array(draw(st.lists(unit, min_size=count, max_size=count)), np.float64),
        np.array(draw(st.lists(st.integers(0, 1), min_size=count, max_size=count)), np.int64),
        states=None if states is None else np.nan_to_num(states, nan=-1).astype(np.int64),
        state_scores=column((2,), unit),
        masks=optional(rles()),
        keypoints=points,
        keypoint_visibility=visible,
        poses=Poses(**poses) if poses else None,
        detection_extra=optional(objects),
        classification=draw(
            st.none() | st.builds(Classification, st.integers(0, 9), unit, st.just((0.5, 0.25)))
        ),
        semantic_mask=draw(st.none() | st.dictionaries(st.integers(0, 9), rles(), min_size=1, max_size=2)),
        intrinsics=draw(st.none() | st.builds(Intrinsics, st.floats(1, 9), st.floats(1, 9), finite, finite)),
        preprocess=draw(st.none() | objects),
        extra=draw(st.just({}) | objects),
    )


tables = st.lists(names, unique=True, min_size=1, max_size=3).flatmap(
    lambda keys: st.tuples(*[results(f"{key}.jpg") for key in keys])
)


def through(images: tuple[ImagePredictions, ...], kinds: list[str]) -> dict[str, ImagePredictions]:
    """The images at the end of a way through files of some kinds."""
    with tempfile.TemporaryDirectory() as folder:
        at = Path(folder) / "start.jsonl"
        write_predictions(map(encode_entry, images), at)
        truth = truth_of(list(images))
        for number, kind in enumerate([*kinds, "JSON Lines"]):
            at, done = turn(at, Path(folder) / str(number), kind, truth)
            if not set(kinds) & {"CSV", "COCO results"}:
                assert set(done.lost) <= {"meta"}
        return {p.image: p for p in read_images(at)}


@pytest.mark.slow
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(images=tables, kinds=st.lists(st.sampled_from([*FORMATS][:4]), min_size=1, max_size=4))
def test_any_way_through_the_contracts_own_formats_keeps_every_field(
    images: tuple[ImagePredictions, ...], kinds: list[str]
) -> None:
    before = {p.image: p for p in images}
    after = through(images, kinds)
    assert list(before) == list(after)
    assert not list(differences(before, after))


@pytest.mark.slow
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(images=tables, kinds=st.lists(st.sampled_from([*FORMATS]), min_size=1, max_size=4))
def test_any_way_through_all_formats_keeps_boxes_scores_and_classes(
    images: tuple[ImagePredictions, ...], kinds: list[str]
) -> None:
    before = {p.image: p for p in images if len(p) or "COCO results" not in kinds}
    plain = [replace(p, detection_extra=None, extra={}) for p in images]
    after = through(tuple(plain), kinds)
    assert before.keys() == after.keys()
    assert "boxes, scores, classes" not in set(differences(before, after))


@pytest.mark.slow
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(images=tables)
def test_supervision_keeps_every_field(images: tuple[ImagePredictions, ...]) -> None:
    pytest.importorskip("supervision")
    for before in images:
        assert encode_entry(from_supervision(to_supervision(before))) == encode_entry(before)


@pytest.mark.slow
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(images=tables)
def test_files_of_yolozu_keep_boxes_scores_and_classes(images: tuple[ImagePredictions, ...]) -> None:
    """Written as that package has them: its own versions, classes from 1, rotations stacked as rows."""
    items = [json.loads(encode_entry(p)) | {"schema_version": 2} for p in images]
    for item in items:
        item |= {"orig_w": WIDTH, "orig_h": HEIGHT, "image_size": {"width": 320, "height": 320}}
        for detection in item["detections"]:
            detection["class_id"] += 1
            if "rot6d" in detection:
                detection["rot6d"] = [detection["rot6d"][i] for i in (0, 3, 1, 4, 2, 5)]
    with tempfile.TemporaryDirectory() as folder:
        start, end = Path(folder) / "y.json", Path(folder) / "x.json"
        start.write_text(json.dumps(items))
        assert convert(start, end, made_of="yolozu", class_map=ONE_BASED).lost == {}
        after = {p.image: p for p in read_images(end)}
    before = {p.image: p for p in images}
    # what that package does not have, and six numbers that are no rotation, go to extra
    moved = {"poses", "classifications", "semantic masks", "extras of detections", "extras of images"}
    assert set(differences(before, after)) <= moved
