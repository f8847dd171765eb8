"""COCO results and annotations: the scanner gives what the slow path gives, bit for bit."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anydet.contract.reading.coco_results import coco_ids, load_coco_results
from anydet.data.coco.columns import of_scan
from anydet.data.coco.dataset import CocoFormat
from anydet.data.coco.parsing import parse_coco
from anydet.data.coco.reading import read_coco
from anydet.data.dataset.oddities import OddityWarning
from anydet.data.dataset.table import ImageTable
from anydet.data.opening import open_dataset
from anydet.errors import ContractError, DatasetError
from anydet.geometry import masks
from anydet.mask_columns import MaskColumn, SegmentationColumn
from anydet.scanner import Stop
from anydet.types import RLE
from anydet_fasteval.scanner import CompiledScanner

CORPUS = Path(__file__).parents[1] / "fuzz" / "corpus"
KEYS = {7: "7.jpg", 9: "9.jpg", 42: "42.jpg"}
CLASSES = {1: 0, 18: 1}
Scanners = tuple[CompiledScanner, ...]
Same = Callable[[Any, Any], bool]
many = settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)

number = st.one_of(st.floats(-1e6, 1e6), st.integers(-1000, 1000))
side = st.one_of(st.floats(0, 1e6), st.integers(0, 1000))
box = st.tuples(number, number, side, side).map(list)
points = st.lists(st.tuples(number, number, st.sampled_from([0, 1, 2, 2.0])), min_size=1, max_size=3)
flat = points.map(lambda rows: [value for row in rows for value in row])
runs = st.lists(st.integers(0, 12), min_size=1, max_size=9)


@st.composite
def codes(draw: st.DrawFn) -> dict[str, Any]:
    """A mask whose runs fill 2 x 3 pixels, compressed or not."""
    cuts = sorted(draw(st.lists(st.integers(0, 6), max_size=5)))
    counts = np.diff([0, *cuts, 6]).tolist()
    rle = masks.from_uncompressed(counts, (2, 3))
    return {"size": [2, 3], "counts": draw(st.sampled_from([rle.counts, rle.counts, counts]))}


compressed = codes().filter(lambda code: isinstance(code["counts"], str))
unknown = st.dictionaries(st.sampled_from(["id", "info", "ä\n"]), st.one_of(st.none(), st.text(), flat))
results = st.lists(
    st.builds(
        lambda known, other: {**other, **known},
        st.fixed_dictionaries(
            {"image_id": st.sampled_from(list(KEYS)), "category_id": st.sampled_from(list(CLASSES))},
            optional={"bbox": box, "segmentation": compressed, "keypoints": flat},
        ).flatmap(lambda row: number.map(lambda score: {**row, "score": score})),
        unknown,
    ),
    max_size=6,
)
polygons = st.lists(
    st.lists(number, min_size=6, max_size=8).filter(lambda ring: len(ring) % 2 == 0), max_size=2
)
annotations = st.fixed_dictionaries(
    {"image_id": st.sampled_from([1, 2, 30]), "category_id": st.sampled_from([3, 1]), "bbox": box},
    optional={
        "id": st.one_of(st.none(), st.integers(0, 9)),
        "area": st.one_of(st.none(), side),
        "iscrowd": st.sampled_from([0, 1, True, False, None]),
        "segmentation": st.one_of(st.none(), polygons, codes()),
        "keypoints": st.one_of(st.none(), st.just([]), flat),
        "state": st.one_of(st.none(), st.integers(0, 3)),
        "num_keypoints": st.integers(),
        "attributes": unknown,
    },
)
truths = st.fixed_dictionaries(
    {
        "images": st.just(
            [
                {"id": 30, "file_name": "a\\b.jpg", "width": 3, "height": 2, "neg_category_ids": [3]},
                {"id": 1, "file_name": "ä.jpg", "width": None, "license": 4},
                {"id": 2, "file_name": "c.jpg", "not_exhaustive_category_ids": [1, 3]},
            ]
        ),
        "annotations": st.lists(annotations, max_size=5),
    },
    optional={
        "info": unknown,
        "licenses": st.lists(unknown),
        "categories": st.just(
            [{"id": 3, "name": "disc", "frequency": "r"}, {"id": 1, "name": "box", "x": []}]
        ),
    },
)
intruders = st.sampled_from(
    [None, True, 0, -1, 1.0, 0.5, 2**31, 2**63, 1e308, "", "x", "7", [], [1], [0, 0, 1, -1], {}, {"x": 1}]
).map(deepcopy)


def nodes(value: Any) -> list[Any]:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    found = [value] if isinstance(value, dict | list) else []
    return found + [node for item in inside for node in nodes(item)]


def mutate(draw: Callable[..., Any], document: Any) -> Any:
    document = deepcopy(document)
    for _ in range(draw(st.integers(0, 2))):
        owner = draw(st.sampled_from(nodes(document)))
        places = list(owner) if isinstance(owner, dict) else list(range(len(owner)))
        if not places:
            continue
        place = draw(st.sampled_from(places))
        if draw(st.booleans()):
            owner[place] = draw(intruders)
        else:
            del owner[place]
    return document


def read_results(path: Path, scanner: CompiledScanner | None = None) -> Any:
    try:
        return load_coco_results(path, KEYS, CLASSES, scanner)
    except ContractError as exc:
        return exc.problem


def read_truth(path: Path) -> ImageTable | None:
    try:
        return parse_coco(path)
    except DatasetError:
        return None


def scanned_truth(path: Path, scanner: CompiledScanner) -> ImageTable | None:
    found = scanner.annotations(path)
    return None if isinstance(found, Stop) else of_scan(found)


@pytest.mark.slow
@many
@given(rows=results, indent=st.sampled_from([None, 1]))
def test_results_have_the_same_bits(
    rows: Any, indent: int | None, scanners: Scanners, same: Same, tmp_path: Path
) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps(rows, indent=indent))
    whole = all({"bbox", "segmentation", "keypoints"} & row.keys() for row in rows)
    wanted = read_results(path)
    for scanner in scanners:
        assert isinstance(scanner.coco_results(path), Stop) != whole
        assert same(read_results(path, scanner), wanted)


@pytest.mark.slow
@many
@given(data=st.data())
def test_mutated_results_get_one_verdict(
    data: st.DataObject, scanners: Scanners, same: Same, tmp_path: Path
) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps(mutate(data.draw, data.draw(results))))
    wanted = read_results(path)
    for scanner in scanners:
        assert same(read_results(path, scanner), wanted)


@pytest.mark.slow
@many
@given(document=truths, indent=st.sampled_from([None, 1]))
def test_annotations_have_the_same_bits(
    document: Any, indent: int | None, scanners: Scanners, same: Same, tmp_path: Path
) -> None:
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(document, indent=indent))
    wanted = read_truth(path)
    for scanner in scanners:
        assert same(scanned_truth(path, scanner), wanted)


@pytest.mark.slow
@many
@given(data=st.data())
def test_mutated_annotations_get_one_verdict(
    data: st.DataObject, scanners: Scanners, same: Same, tmp_path: Path
) -> None:
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(mutate(data.draw, data.draw(truths))))
    wanted = read_truth(path)
    for scanner in scanners:
        found = scanned_truth(path, scanner)
        assert found is None or same(found, wanted)


@many
@given(counts=runs, cut=st.integers(0, 3), data=st.data())
def test_masks_are_measured_as_pycocotools_does(
    counts: list[int], cut: int, data: st.DataObject, scanner_of_masks: CompiledScanner
) -> None:
    height = data.draw(st.sampled_from([h for h in range(1, 13) if sum(counts) % h == 0] or [1]))
    width = sum(counts) // height
    if not width:
        return
    whole = masks.from_uncompressed(counts, (height, width))
    torn = RLE((height, width), whole.counts[: len(whole.counts) - cut])
    facts = scanner_of_masks.masks(MaskColumn.of([None, whole, torn]))
    assert facts.whole.tolist() == [True, True, masks.is_whole(torn) if torn.counts else False]
    assert facts.areas[:2].tolist() == [0, masks.area(whole)]
    assert facts.boxes[1].tolist() == masks.bounds_xywh(whole).tolist()


@pytest.fixture(scope="session")
def scanner_of_masks(scanners: Scanners) -> CompiledScanner:
    return scanners[0]


def test_a_file_that_breaks_a_rule_is_explained_as_without_a_scanner(
    tmp_path: Path, scanner: CompiledScanner
) -> None:
    path = tmp_path / "instances.json"
    document = json.loads((CORPUS / "coco_truth.json").read_text())
    document["annotations"][1] |= {"iscrowd": "no", "keypoints": [1, 2, 2]}
    path.write_text(json.dumps(document))
    with pytest.raises(DatasetError) as without:
        read_coco(path)
    with pytest.raises(DatasetError) as found:
        read_coco(path, scanner)
    stop = scanner.annotations(path)
    assert isinstance(stop, Stop)
    assert found.value.problem == f"{without.value.problem} (byte {stop.offset + 1})"
    assert (stop.image, stop.field) == ("1", "iscrowd")
    assert path.read_bytes()[stop.offset :].startswith(b'"no"')


@pytest.mark.parametrize(
    ("count", "stops"), [(0, True), (0.0, True), (False, True), (-0.0, True), (1, False)]
)
def test_visible_keypoints_that_are_not_counted_are_left_to_the_slower_reader(
    tmp_path: Path, scanner: CompiledScanner, count: float, stops: bool
) -> None:
    path = tmp_path / "instances.json"
    document = json.loads((CORPUS / "coco_truth.json").read_text())
    for points in ([1, 2, 0], [1, 2, 2]):
        document["annotations"][1] |= {"keypoints": points, "num_keypoints": count}
        path.write_text(json.dumps(document))
        assert isinstance(scanner.annotations(path), Stop) is (stops and points[2] > 0)


@pytest.mark.parametrize(
    "truth",
    [
        "coco128/annotations/instances_train2017.json",
        "coco_results/val2014_100/instances_val2014_100.json",
        "coco_results/keypoints/gt_dataset.json",
    ],
)
def test_real_annotations_take_the_fast_path(
    truth: str, shared_data: Path, scanner: CompiledScanner, same: Same
) -> None:
    path = shared_data / truth
    assert same(scanned_truth(path, scanner), read_coco(path))
    fast = open_dataset(path, formats=[CocoFormat()], scanner=scanner)
    assert same(fast.ground_truth(), open_dataset(path, formats=[CocoFormat()]).ground_truth())


@pytest.mark.parametrize("kind", ["fakebbox100", "fakesegm100"])
def test_real_results_take_the_fast_path(
    kind: str, shared_data: Path, scanner: CompiledScanner, same: Same
) -> None:
    folder = shared_data / "coco_results" / "val2014_100"
    results = folder / f"instances_val2014_{kind}_results.json"
    truth = CocoFormat().open(folder / "instances_val2014_100.json", None, None).ground_truth()
    assert not isinstance(scanner.coco_results(results), Stop)
    tables = coco_ids(truth)
    assert same(load_coco_results(results, *tables, scanner), load_coco_results(results, *tables))


def test_a_pickled_record_is_as_small_as_that_of_an_image_alone(scanner: CompiledScanner, tmp_path: Path):
    code = masks.encode(np.arange(384).reshape(16, 24) % 7 == 0)
    ring = [2.0, 3.0, 12.5, 3.0, 12.0, 9.0]
    kinds = ({"size": list(code.size_hw), "counts": code.counts}, [ring, ring])

    def build(count: int):
        images = [{"id": i, "file_name": f"{i:04d}.jpg", "width": 24, "height": 16} for i in range(count)]
        # The second object of every image comes after the first one of all.
        annotations = [
            {"id": i + 1 + j * count, "image_id": i, "category_id": 1, "bbox": [2, 3, 10, 6], "area": 60.0}
            | {"iscrowd": 0, "segmentation": kind}
            for j, kind in enumerate(kinds)
            for i in range(count)
        ]
        document = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "cow"}]}
        file = tmp_path / f"{count}.json"
        file.write_text(json.dumps(document))
        return open_dataset(file, scanner=scanner)

    (alone,) = build(1)
    assert isinstance(alone.labels.segmentations, SegmentationColumn)
    many = build(1000)
    limit = len(pickle.dumps(alone)) + 64  # numbers are longer
    assert max(len(pickle.dumps(record)) for record in many) <= limit
    again = pickle.loads(pickle.dumps(many[700]))
    assert tuple(again.labels.segmentations) == (code, (tuple(ring), tuple(ring)))
    assert again.labels.annotation_ids.tolist() == [701, 1701]


@pytest.mark.parametrize(
    "areas", [(None, 3.5, 0), (None, None, None), (1.0, 2.0, 3.0), ("absent", 4.0, None)]
)
def test_which_areas_are_the_files_own_is_the_same_with_and_without_a_scanner(tmp_path, areas):
    rows = [
        {"id": i, "image_id": 7, "category_id": 1, "bbox": [0, 0, i, 2]}
        | ({} if area == "absent" else {"area": area})
        for i, area in enumerate(areas, start=1)
    ]
    path = tmp_path / "truth.json"
    images, categories = [{"id": 7, "file_name": "7.jpg"}], [{"id": 1, "name": "cat"}]
    path.write_text(json.dumps({"images": images, "annotations": rows, "categories": categories}))
    quick = of_scan(CompiledScanner().annotations(path)).labels
    slow = parse_coco(path).labels
    own = [isinstance(area, float | int) for area in areas]
    expected = [
        area if stated else 2.0 * i for i, (area, stated) in enumerate(zip(areas, own, strict=True), 1)
    ]
    for labels in (quick, slow):
        assert labels.areas.tolist() == expected
        assert (labels.area_stated is None) == all(own)
        assert all(own) or labels.area_stated.tolist() == own


@pytest.mark.parametrize("value", [None, 2, -1])
def test_an_odd_iscrowd_is_counted_with_a_scanner_too(tmp_path, value):
    path = tmp_path / "truth.json"
    row = {"id": 1, "image_id": 7, "category_id": 1, "bbox": [0, 0, 3, 2], "iscrowd": value}
    images, categories = [{"id": 7, "file_name": "7.jpg"}], [{"id": 1, "name": "cat"}]
    path.write_text(json.dumps({"images": images, "annotations": [row], "categories": categories}))
    with pytest.warns(OddityWarning, match="annotations whose iscrowd is"):
        table = read_coco(path, CompiledScanner())
    assert table.labels.iscrowd.tolist() == [bool(value)]
