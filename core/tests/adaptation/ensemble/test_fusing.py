"""Files of several models fused into one: what is in it, what it says of itself, and what is refused."""

from __future__ import annotations

import hashlib
import json
import tracemalloc

import numpy as np
import pytest

from anydet.adaptation.ensemble.fusing import FuseSettings, fuse_files, settings_of
from anydet.adaptation.tta.fusions import WeightedBoxesFusion
from anydet.contract.checking.validate import validate
from anydet.contract.columns import read_images
from anydet.contract.encode import encode_entry
from anydet.data.opening import open_dataset
from anydet.errors import ContractError, OptionError, PluginError
from anydet.plugins.manager import Plugins
from anydet.prediction.choices import Choice
from anydet.prediction.hooks import FusionSettings, ViewResult
from anydet.testing.comparison import same_columns
from anydet.types import ImagePredictions

PLUGINS = Plugins([])
SIZE = (100, 80)


def result(key, boxes, scores, class_ids, size_wh=SIZE, **more):
    corners = np.array(boxes, np.float64).reshape(-1, 4)
    return ImagePredictions(
        key, size_wh, corners, np.array(scores, np.float64), np.array(class_ids, np.int64), **more
    )


def fuse(files, output, settings=None, **more):
    return fuse_files(files, output, settings or FuseSettings(), PLUGINS, **more)


def random_results(seed, keys=("a.jpg", "b.jpg", "c.jpg")):
    rng = np.random.default_rng(seed)
    found = []
    for key in keys:
        corners = rng.uniform(0, 40, (20, 2))
        boxes = np.concatenate([corners, corners + rng.uniform(5, 40, (20, 2))], axis=1)
        found.append(result(key, boxes, rng.uniform(0.05, 1, 20), rng.integers(0, 3, 20)))
    return found


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".parquet"])
def test_each_image_is_what_the_fusion_makes_of_the_models_results(file_of, tmp_path, suffix):
    ours, theirs = random_results(0), random_results(1)
    a, b, out = file_of("a.json", *ours), file_of(f"b{suffix}", *theirs), tmp_path / f"out{suffix}"
    summary = fuse([a, b], out, FuseSettings(weights=(2.0, 1.0)))
    wbf = WeightedBoxesFusion(FusionSettings({"iou_threshold": 0.65, "score_threshold": 0.0}))
    window = (0.0, 0.0, *map(float, SIZE))
    read = zip(read_images(a), read_images(b), read_images(out), strict=True)
    for one, other, fused in read:
        expected = wbf.fuse([ViewResult(one, 2.0, window), ViewResult(other, 1.0, window)])
        np.testing.assert_array_equal(fused.scores, expected.scores)
        np.testing.assert_array_equal(fused.class_ids, expected.class_ids)
        np.testing.assert_allclose(fused.boxes_xyxy_px, expected.boxes_xyxy_px, atol=1e-12)
    assert (summary.images, summary.given, summary.lacking) == (3, (60, 60), (0, 0))
    assert validate(out).ok


def test_meta_says_of_which_files_and_how(file_of, tmp_path):
    about = {"adapter": "one", "adapter_version": "1.0", "checkpoint_sha256": "0" * 64}
    a = file_of("a.json", *random_results(0), classes=["x", "y", "z"], **about)
    b = file_of("b.json", *random_results(1))
    out = tmp_path / "out.json"
    summary = fuse([a, b], out, settings_of("nmw", PLUGINS, iou=0.5, weights=(2.0, 0.5)))
    meta = json.loads(out.read_text("utf-8"))["meta"]
    assert meta["classes"] == ["x", "y", "z"]
    assert meta["images"] == 3
    fusion = meta["fusion"]
    assert (fusion["method"], fusion["missing"]) == ("nmw", "error")
    assert fusion["options"] == {"iou_threshold": 0.5, "score_threshold": 0}
    assert [file["path"] for file in fusion["files"]] == [str(a), str(b)]
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (a, b)]
    assert [file["sha256"] for file in fusion["files"]] == digests
    assert [file["weight"] for file in fusion["files"]] == [2.0, 0.5]
    assert [file["meta"] for file in fusion["files"]] == [about, None]
    written = sum(len(image) for image in read_images(out))
    assert written == summary.detections


def test_the_data_set_stays_where_all_files_name_the_same(file_of, tmp_path):
    data = {"root": "data/scenes", "split": "val", "fingerprint": "sha256:1"}
    a = file_of("a.json", *random_results(0), dataset=data)
    b = file_of("b.json", *random_results(1), dataset=data)
    c = file_of("c.json", *random_results(1), dataset={**data, "fingerprint": "sha256:2"})
    for other, expected in ((b, data), (c, None)):
        fuse([a, other], tmp_path / "out.json")
        assert json.loads((tmp_path / "out.json").read_text("utf-8"))["meta"].get("dataset") == expected


def test_an_image_that_a_file_lacks_is_an_error_or_empty_or_skipped(file_of, tmp_path):
    ours = random_results(0)
    a, b, out = file_of("a.json", *ours), file_of("b.json", *ours[:2]), tmp_path / "out.json"
    with pytest.raises(ContractError, match=r"b.json: no result of 1 image that others have, such as c.jpg"):
        fuse([a, b], out)
    assert not out.exists()
    empty = fuse([a, b], out, FuseSettings(missing="empty"))
    last = list(read_images(out))[-1]
    assert last.scores.max() == pytest.approx(ours[2].scores.max() / 2)
    assert empty.lacking == (0, 1)
    fuse([a, b], out, FuseSettings(missing="skip"))
    _, _, alone = read_images(out)
    order = np.argsort(-ours[2].scores, kind="stable")
    np.testing.assert_array_equal(alone.scores, ours[2].scores[order])
    np.testing.assert_allclose(alone.boxes_xyxy_px, ours[2].boxes_xyxy_px[order], atol=1e-12)


def test_an_image_that_a_run_skipped_counts_as_one_that_it_lacks(file_of, tmp_path):
    broken = result("a.jpg", [], [], [], extra={"error": "cannot be decoded"})
    whole = result("a.jpg", [[1, 2, 30, 40]], [0.9], [0])
    a, b, out = file_of("a.json", broken), file_of("b.json", whole), tmp_path / "out.json"
    with pytest.raises(ContractError, match=r"a.json: no result of 1 image"):
        fuse([a, b], out)
    fuse([a, b], out, FuseSettings(missing="skip"))
    (alone,) = read_images(out)
    assert (alone.scores.tolist(), dict(alone.extra)) == ([0.9], {})


def test_coco_results_are_fused_with_their_data_set(problem, tmp_path):
    truth, results = problem
    dataset = open_dataset(truth)
    out = tmp_path / "out.json"
    summary = fuse([results, results], out, settings_of("nms", PLUGINS), dataset=dataset)
    images = list(read_images(out))
    assert [image.image for image in images] == list(dataset.keys)
    assert summary.lacking == (0, 0)
    with pytest.raises(ContractError, match="a COCO results file") as caught:
        fuse([results, results], out)
    assert "--dataset" in caught.value.fix


@pytest.fixture
def problem(tmp_path):
    """An instances file of two images, and results that find something on the first alone."""
    truth = {
        "images": [{"id": i, "file_name": f"{i}.jpg", "width": 100, "height": 80} for i in (7, 8)],
        "annotations": [],
        "categories": [{"id": 3, "name": "cat"}, {"id": 5, "name": "dog"}],
    }
    found = [{"image_id": 7, "category_id": 5, "bbox": [10, 10, 20, 20], "score": 0.5}]
    (tmp_path / "truth.json").write_text(json.dumps(truth), "utf-8")
    (tmp_path / "results.json").write_text(json.dumps(found), "utf-8")
    return tmp_path / "truth.json", tmp_path / "results.json"


def test_thresholds_cut_what_is_written(file_of, tmp_path):
    a, b, out = (
        file_of("a.json", *random_results(0)),
        file_of("b.json", *random_results(1)),
        tmp_path / "o.json",
    )
    fuse([a, b], out)
    everything = list(read_images(out))
    fuse([a, b], out, FuseSettings(score_threshold=0.3, max_detections=5))
    for whole, cut in zip(everything, read_images(out), strict=True):
        best = whole.scores[whole.scores >= 0.3][:5]
        np.testing.assert_array_equal(cut.scores, best)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        (FuseSettings(Choice("wfb")), PluginError, "no fusion called 'wfb' .*did you mean 'wbf'"),
        (FuseSettings(Choice("wbf", {"iou": 1})), OptionError, "did you mean 'iou_threshold'|iou"),
        (FuseSettings(weights=(1.0,)), OptionError, "1 weight for 2 files"),
        (FuseSettings(weights=(1.0, 0.0)), OptionError, "weights: 0.0 is not a finite number above 0"),
        (FuseSettings(missing="drop"), OptionError, "missing: 'drop'"),
        (FuseSettings(max_detections=0), OptionError, "max_detections: 0"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_read(tmp_path, settings, error, message):
    nowhere = tmp_path / "nowhere.json"
    with pytest.raises(error, match=message):
        fuse([nowhere, nowhere], tmp_path / "out.json", settings)


def test_one_file_is_refused_and_one_that_is_not_there(file_of, tmp_path):
    a = file_of("a.json", *random_results(0))
    with pytest.raises(OptionError, match="two predictions files"):
        fuse([a], tmp_path / "out.json")
    with pytest.raises(ContractError, match=r"nowhere.json: no such file"):
        fuse([a, tmp_path / "nowhere.json"], tmp_path / "out.json")


def test_an_iou_that_is_stated_twice_is_refused():
    with pytest.raises(OptionError, match="are the same"):
        settings_of("wbf", PLUGINS, iou=0.5, options={"iou_threshold": 0.5})


def test_what_was_there_stays_where_a_fusion_fails(file_of, tmp_path):
    a = file_of("a.json", *random_results(0))
    b = file_of("b.json", *random_results(1, ("a.jpg",)))
    out = tmp_path / "out.json"
    out.write_text("before", "utf-8")
    with pytest.raises(ContractError):
        fuse([a, b], out)
    assert out.read_text("utf-8") == "before"


def test_the_order_of_files_changes_no_box(file_of, tmp_path):
    a, b = file_of("a.json", *random_results(0)), file_of("b.json", *random_results(1))
    fuse([a, b], tmp_path / "ab.json")
    fuse([b, a], tmp_path / "ba.json")
    for one, other in zip(read_images(tmp_path / "ab.json"), read_images(tmp_path / "ba.json"), strict=True):
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-12)
        np.testing.assert_allclose(one.boxes_xyxy_px, other.boxes_xyxy_px, atol=1e-9)


def test_progress_counts_every_image(file_of, tmp_path):
    a, seen = file_of("a.json", *random_results(0)), []
    fuse([a, a], tmp_path / "out.json", progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.slow
def test_memory_is_that_of_columns_whatever_the_number_of_results(tmp_path):
    """Python objects of all detections at once would take some thousand bytes a detection."""
    peaks, counts = [], (200, 800)
    for images in counts:
        path = tmp_path / f"{images}.jsonl"
        rng = np.random.default_rng(0)
        with path.open("wb") as file:
            for i in range(images):
                corners = rng.uniform(0, 40, (50, 2))
                boxes = np.concatenate([corners, corners + rng.uniform(5, 40, (50, 2))], axis=1)
                found = result(f"{i}.jpg", boxes, rng.uniform(0.05, 1, 50), rng.integers(0, 3, 50))
                file.write(encode_entry(found) + b"\n")
        tracemalloc.start()
        fuse([path, path], tmp_path / "out.jsonl", settings_of("nms", PLUGINS))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    more = 50 * (counts[1] - counts[0]) * 2
    assert (peaks[1] - peaks[0]) / more < 250


def test_the_same_file_twice_is_itself(file_of, tmp_path):
    """Apart boxes: no two of a class overlap."""
    found = result("a.jpg", [[0, 0, 20, 20], [30, 30, 60, 70], [70, 5, 90, 20]], [0.9, 0.5, 0.25], [0, 0, 1])
    a, out = file_of("a.json", found), tmp_path / "out.json"
    (before,) = read_images(a)
    for method in ("wbf", "nms", "nmw"):
        fuse([a, a], out, settings_of(method, PLUGINS))
        (after,) = read_images(out)
        np.testing.assert_allclose(after.boxes_xyxy_px, before.boxes_xyxy_px, atol=1e-12)
        np.testing.assert_allclose(after.scores, before.scores, rtol=1e-15)
        assert same_columns(after.class_ids, before.class_ids)


def test_files_of_differently_corrupted_images_are_said_and_a_common_corruption_is_kept(file_of, tmp_path):
    results = random_results(0)
    fog = {"name": "fog", "severity": 3, "seed": 0, "clean": "sha256:0"}
    clean = file_of("clean.json", *results)
    foggy = [file_of(f"{i}.json", *results, extra={"corruption": fog}) for i in range(2)]
    odd = file_of("odd.json", *results, extra={"corruption": "\x1b fog"})
    summary = fuse([clean, foggy[0], odd], tmp_path / "out.json")
    (warning,) = summary.warnings
    assert "clean.json: clean, or not stated" in warning
    assert "0.json: fog:3" in warning
    assert r"odd.json: \x1b fog" in warning
    assert "corruption" not in json.loads((tmp_path / "out.json").read_text())["meta"].get("extra", {})
    assert fuse(foggy, tmp_path / "both.json").warnings == ()
    assert json.loads((tmp_path / "both.json").read_text())["meta"]["extra"] == {"corruption": fog}
    assert fuse([clean, clean], tmp_path / "clean2.json").warnings == ()
