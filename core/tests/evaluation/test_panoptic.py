"""Panoptic quality against a plain implementation of panopticapi's ``pq_compute``."""

from __future__ import annotations

import json
from collections import Counter, defaultdict

import numpy as np
import pytest
from PIL import Image

from anydet.data.opening import open_dataset
from anydet.errors import AnydetError, ContractError, DatasetError, EvaluationError
from anydet.evaluation.panoptic import evaluate_segments
from anydet.evaluation.panoptic_files import read_panoptic_sides
from anydet.geometry.masks import encode

CATEGORIES = [
    {"id": 3, "name": "cat", "isthing": 1},
    {"id": 5, "name": "dog", "isthing": 1},
    {"id": 90, "name": "sky", "isthing": 0},
    {"id": 91, "name": "road", "isthing": 0},
    {"id": 200, "name": "never seen", "isthing": 0},
]
SEEN = [one["id"] for one in CATEGORIES[:4]]
SIZE = (24, 32)


def draw(rng, count):
    """Ids of pixels and the category of each segment: rectangles over each other, on pixels of none."""
    pixels, segments = np.zeros(SIZE, np.int64), {}
    for id_ in rng.choice(np.arange(1, 1 << 24), count, replace=False).tolist():
        y, x = rng.integers(0, [SIZE[0] - 4, SIZE[1] - 4])
        pixels[y : y + rng.integers(3, 18), x : x + rng.integers(3, 22)] = id_
        segments[id_] = int(rng.choice(SEEN))
    seen = set(np.unique(pixels).tolist())
    return pixels, {id_: category for id_, category in segments.items() if id_ in seen}


def shifted(rng, pixels, segments):
    """The same segments under other ids, moved by a pixel or so, some of another class, and one more."""
    moved = np.roll(pixels, rng.integers(-2, 3, 2).tolist(), axis=(0, 1))
    other, found = draw(rng, 2)
    result, ids = np.zeros(SIZE, np.int64), {}
    for id_, category in segments.items():
        new = int(rng.integers(1, 1 << 24))
        result[moved == id_] = new
        ids[new] = int(rng.choice(SEEN)) if rng.random() < 0.2 else category
    corner = (slice(0, 8), slice(0, 8))
    result[corner] = other[corner]
    seen = set(np.unique(result).tolist())
    return result, {id_: category for id_, category in {**ids, **found}.items() if id_ in seen}


def save(folder, name, annotations, images=()):
    """A panoptic JSON and its PNG files, of (image id, pixels, segments, crowds)."""
    (folder / name).mkdir(parents=True)
    written = []
    for id_, pixels, segments, crowds in annotations:
        colors = np.stack([pixels >> shift & 255 for shift in (0, 8, 16)], axis=-1).astype(np.uint8)
        Image.fromarray(colors).save(folder / name / f"{id_:012}.png")
        info = [
            {
                "id": one,
                "category_id": category,
                "area": int((pixels == one).sum()),
                "bbox": [0, 0, 1, 1],
                "iscrowd": int(one in crowds),
            }
            for one, category in segments.items()
        ]
        written.append({"image_id": id_, "file_name": f"{id_:012}.png", "segments_info": info})
    content = {"annotations": written, "images": list(images), "categories": CATEGORIES}
    (folder / f"{name}.json").write_text(json.dumps(content))
    return folder / f"{name}.json"


def problem(folder, seed, images=5):
    """Truth and predictions in files."""
    rng = np.random.default_rng(seed)
    truth, found = [], []
    for id_ in (np.arange(images) * 7 + 4).tolist():
        pixels, segments = draw(rng, 7)
        crowds = {one for one in segments if rng.random() < 0.15}
        truth.append((id_, pixels, segments, crowds))
        found.append((id_, *shifted(rng, pixels, segments), set()))
    listed = [
        {"id": id_, "file_name": f"{id_:012}.jpg", "width": SIZE[1], "height": SIZE[0]} for id_, *_ in truth
    ]
    paths = save(folder, "panoptic_val", truth, listed), save(folder, "found", found[::-1])
    return paths, truth, found


def evaluated(dataset, predictions, **options):
    sides = read_panoptic_sides(open_dataset(dataset), predictions, **options)
    return evaluate_segments(sides.images, sides.pairs, sides.classes)


def plain(truth, found):
    """``pq_compute`` of panopticapi in its own words: (TP, FP, FN, IoU) by category."""
    stat = defaultdict(lambda: [0, 0, 0, 0.0])
    for (_, true, true_of, crowds), (_, guess, guess_of, _) in zip(truth, found, strict=True):
        shared = Counter(zip(true.ravel().tolist(), guess.ravel().tolist(), strict=True))
        area = Counter(true.ravel().tolist()), Counter(guess.ravel().tolist())
        matched, hit = set(), set()
        for (t, p), count in shared.items():
            if t in true_of and p in guess_of and t not in crowds and true_of[t] == guess_of[p]:
                iou = count / (area[0][t] + area[1][p] - count - shared[0, p])
                if iou > 0.5:
                    stat[true_of[t]][0] += 1
                    stat[true_of[t]][3] += iou
                    matched.add(t)
                    hit.add(p)
        crowd_of = {}
        for t, category in true_of.items():
            if t in crowds:
                crowd_of[category] = max(t, crowd_of.get(category, 0))
            elif t not in matched:
                stat[category][2] += 1
        for p, category in guess_of.items():
            if p not in hit:
                inside = shared[0, p] + (shared[crowd_of[category], p] if category in crowd_of else 0)
                if inside / area[1][p] <= 0.5:
                    stat[category][1] += 1
    return stat


def average(stat, isthing=None):
    """``pq_average``."""
    rows = []
    for one in CATEGORIES:
        tp, fp, fn, iou = stat[one["id"]]
        if isthing in (None, one["isthing"]) and tp + fp + fn:
            rows.append((iou / (tp + fp / 2 + fn / 2), iou / tp if tp else 0, tp / (tp + fp / 2 + fn / 2)))
    return np.mean(rows, axis=0)


@pytest.mark.parametrize("seed", range(8))
def test_the_numbers_are_those_of_a_plain_implementation(seed, tmp_path):
    (dataset, predictions), truth, found = problem(tmp_path, seed)
    measured = evaluated(dataset, predictions)
    stat = plain(truth, found)
    for suffix, isthing in (("", None), ("_things", 1), ("_stuff", 0)):
        ours = [measured.metrics[f"{name}{suffix}"] for name in ("PQ", "SQ", "RQ")]
        assert ours == pytest.approx(average(stat, isthing).tolist(), abs=1e-12)
    rows = {row[0]: row for row in measured.tables[0].rows}
    assert {name: list(row[5:]) for name, row in rows.items()} == {
        one["name"]: stat[one["id"]][:3] for one in CATEGORIES
    }
    assert measured.tables[0].rows[-1][:5] == ("never seen", "stuff", None, None, None)
    assert sum(row[5] for row in measured.tables[0].rows) > 5, "some segments match"


@pytest.mark.parametrize("seed", range(4))
def test_the_numbers_are_those_of_hotcoco(seed, tmp_path):
    panoptic = pytest.importorskip("hotcoco.panoptic")
    (dataset, predictions), *_ = problem(tmp_path, seed)
    theirs = panoptic.pq_compute(str(dataset), str(predictions))
    metrics = evaluated(dataset, predictions).metrics
    for group, suffix in (("All", ""), ("Things", "_things"), ("Stuff", "_stuff")):
        ours = [metrics[f"{name}{suffix}"] for name in ("PQ", "SQ", "RQ")]
        assert ours == pytest.approx([theirs[group][name] for name in ("pq", "sq", "rq")], abs=1e-12)


def test_masks_of_detections_are_segments_the_higher_score_above(tmp_path):
    (dataset, _), truth, found = problem(tmp_path, 2)
    entries = []
    for id_, pixels, segments, _ in found[1:]:
        detections = []
        # The lower scores cover all that is below those above them, and change nothing.
        rows = sorted(segments.items(), key=lambda one: (pixels == one[0]).sum(), reverse=True)
        covered = np.zeros(SIZE, np.bool_)
        for i, (one, category) in enumerate(rows):
            mask = (pixels == one) | covered
            covered |= pixels == one
            box = [0.5, 0.5, 1, 1]
            class_id = [c["id"] for c in CATEGORIES].index(category)
            code = encode(mask)
            detections.append(
                {
                    "class_id": class_id,
                    "score": 0.9 - i / 20,
                    "bbox": box,
                    "mask": {"size": list(code.size_hw), "counts": code.counts},
                }
            )
        size = {"width": SIZE[1], "height": SIZE[0]}
        entries.append({"image": f"{id_:012}.jpg", "image_size": size, "detections": detections})
    path = tmp_path / "contract.json"
    path.write_text(json.dumps(entries))
    sides = read_panoptic_sides(open_dataset(dataset), path)
    metrics = evaluate_segments(sides.images, sides.pairs, sides.classes).metrics
    # Of the first image nothing is predicted, which a warning says.
    empty = [(found[0][0], np.zeros(SIZE, np.int64), {}, set()), *found[1:]]
    assert metrics["PQ"] == pytest.approx(average(plain(truth, empty))[0], abs=1e-12)
    assert "not mention 1 of the images" in sides.warnings[0]


def test_detections_without_masks_are_refused(tmp_path):
    (dataset, _), *_ = problem(tmp_path, 2)
    path = tmp_path / "contract.json"
    detection = {"class_id": 0, "score": 0.5, "bbox": [0.5, 0.5, 0.1, 0.1]}
    path.write_text(json.dumps([{"image": f"{4:012}.jpg", "detections": [detection]}]))
    with pytest.raises(EvaluationError, match="1 of 1 detections have no mask") as caught:
        evaluated(dataset, path)
    assert "panoptic results" in caught.value.fix


def test_the_truth_itself_is_perfect_and_an_empty_prediction_finds_nothing(tmp_path):
    (dataset, _), truth, _ = problem(tmp_path, 3)
    change(dataset, lambda c: [one.update(iscrowd=0) for a in c["annotations"] for one in a["segments_info"]])
    metrics = evaluated(dataset, dataset).metrics
    assert {metrics["PQ"], metrics["SQ"], metrics["RQ"]} == {1.0}
    empty = save(tmp_path, "empty", [(id_, np.zeros(SIZE, np.int64), {}, set()) for id_, *_ in truth])
    assert evaluated(dataset, empty).metrics["PQ"] == 0.0


def test_groups_without_a_class_have_no_number(tmp_path):
    pixels = np.full(SIZE, 70000)
    image = {"id": 1, "file_name": "1.jpg", "width": SIZE[1], "height": SIZE[0]}
    dataset = save(tmp_path, "panoptic_val", [(1, pixels, {70000: 3}, set())], [image])
    metrics = evaluated(dataset, dataset).metrics
    assert metrics["PQ_things"] == 1.0
    assert metrics["PQ_stuff"] is None


def test_a_segment_in_void_or_a_crowd_of_its_class_counts_neither_way(tmp_path):
    true = np.zeros(SIZE, np.int64)
    true[:, :16] = 9
    image = {"id": 1, "file_name": "1.jpg", "width": SIZE[1], "height": SIZE[0]}
    dataset = save(tmp_path, "panoptic_val", [(1, true, {9: 3}, {9})], [image])
    found = np.zeros(SIZE, np.int64)
    found[:4, :8], found[4:8, 8:24], found[8:, 20:] = 1, 2, 3  # in the crowd, half in void, in void
    for categories, extra in (((3, 3, 3), 0), ((5, 5, 5), 1)):
        segments = dict(zip((1, 2, 3), categories, strict=True))
        predictions = save(tmp_path / str(extra), "found", [(1, found, segments, set())])
        rows = {row[0]: row[5:] for row in evaluated(dataset, predictions).tables[0].rows}
        # Of another class than the crowd, segment 2 is half in void and not more.
        assert rows["dog" if extra else "cat"] == (0, 2 * extra, 0)


def change(path, edit):
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def first(content):
    return content["annotations"][0]


@pytest.mark.parametrize(
    ("edit", "kind", "message", "fix"),
    [
        (lambda c: c["annotations"].pop(), EvaluationError, "no prediction of 1 image of 5", "--max-images"),
        (
            lambda c: first(c)["segments_info"].pop(),
            EvaluationError,
            r"is in the PNG and not in segments_info",
            "one export",
        ),
        (
            lambda c: first(c)["segments_info"].append({"id": 77, "category_id": 3}),
            EvaluationError,
            "segments of segments_info that are not in the PNG: 77",
            "one export",
        ),
        (
            lambda c: first(c)["segments_info"][0].update(category_id=4),
            ContractError,
            r"has the category_id 4, which the data set does not have \(it has 3, 5, 90, 91, 200",
            "correct",
        ),
        (
            lambda c: first(c)["segments_info"].append(first(c)["segments_info"][0]),
            ContractError,
            "is there twice in segments_info",
            "correct",
        ),
        (
            lambda c: first(c)["segments_info"][0].update(id=0),
            ContractError,
            "segment id 0: ids are 1 to 16777215",
            "correct",
        ),
        (
            lambda c: c["annotations"].append(first(c)),
            ContractError,
            "image_id 32 has two annotations",
            "each image one",
        ),
        (
            lambda c: first(c).update(file_name="missing.png"),
            ContractError,
            "1 of 5 PNG files are not in .*missing.png",
            "--segments",
        ),
        (lambda c: c.update(annotations=1), ContractError, "no panoptic results", "segments_info"),
        (lambda c: first(c).update(file_name="../out.png"), DatasetError, "outside", "copy"),
    ],
)
def test_what_is_wrong_with_predictions_is_named(edit, kind, message, fix, tmp_path):
    (dataset, predictions), *_ = problem(tmp_path, 1)
    change(predictions, edit)
    with pytest.raises(kind, match=message) as caught:
        evaluated(dataset, predictions)
    assert fix in caught.value.fix


def test_files_that_do_not_fit_are_named(tmp_path):
    (dataset, predictions), *_ = problem(tmp_path, 1)
    png = tmp_path / "found" / f"{4:012}.png"
    Image.new("RGB", (8, 6)).save(png)
    with pytest.raises(EvaluationError, match="32 x 24 pixels in the data set and 8 x 6 in the predictions"):
        evaluated(dataset, predictions)
    png.write_bytes(b"no image")
    with pytest.raises(AnydetError, match="cannot be read as an image"):
        evaluated(dataset, predictions)
    with pytest.raises(ContractError, match="its PNG files are not in") as caught:
        evaluated(dataset, predictions, folder=tmp_path / "nowhere")
    assert "--segments" in caught.value.fix


def test_a_true_png_with_another_segment_is_named(tmp_path):
    (dataset, predictions), *_ = problem(tmp_path, 1)
    change(dataset, lambda c: first(c)["segments_info"].pop())
    with pytest.raises(DatasetError, match="is not in the segments_info of its annotation"):
        evaluated(dataset, predictions)


def test_a_data_set_without_segments_is_refused(tmp_path):
    (_, predictions), *_ = problem(tmp_path, 1)
    instances = tmp_path / "instances_val.json"
    instances.write_text(json.dumps({"images": [], "annotations": [], "categories": CATEGORIES}))
    with pytest.raises(EvaluationError, match="no panoptic segments"):
        evaluated(instances, predictions)


def test_only_the_first_images_are_evaluated_where_they_are_limited(tmp_path):
    (dataset, predictions), truth, found = problem(tmp_path, 5)
    measured = evaluated(dataset, predictions, max_images=2)
    assert measured.metrics["PQ"] == pytest.approx(average(plain(truth[:2], found[:2]))[0], abs=1e-12)
    assert measured.protocol["images"] == 2
