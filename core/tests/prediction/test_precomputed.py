"""An existing predictions file served as an adapter."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from anydet.contract.encode import encode_entry
from anydet.contract.write import write_predictions
from anydet.data.record.pixels import ImageArray
from anydet.data.record.record import Record
from anydet.data.record.transforms import HorizontalFlip
from anydet.errors import ContractError, OptionError
from anydet.geometry import masks
from anydet.plugins.manager import Plugins
from anydet.prediction.pipeline import Limits, Pipeline
from anydet.testing import AdapterConformance
from anydet.testing.images import in_memory
from anydet.types import Classification, ImagePredictions, Intrinsics, Poses

nan = np.nan


def record(key: str, size_wh: tuple[int, int] = (40, 20)) -> Record:
    return Record(key, ImageArray(np.zeros((size_wh[1], size_wh[0], 3), np.uint8)))


def full(key: str = "a/1.png") -> ImagePredictions:
    """Two detections, best first; the first with every optional field, one box leaving the image."""
    left = np.zeros((20, 40), np.bool_)
    left[:, :10] = True
    return ImagePredictions(
        key,
        (40, 20),
        np.array([[0.0, 2.0, 10.0, 18.0], [30.0, 10.0, 50.0, 24.0]]),
        np.array([0.75, 0.0]),
        np.array([1, 0]),
        states=np.array([2, -1]),
        state_scores=np.array([[0.25, 0.75], [nan, nan]]),
        masks=(masks.encode(left), None),
        keypoints=np.array([[[10.0, 5.0, 0.5], [20.0, 10.0, nan]], [[nan] * 3] * 2]),
        keypoint_visibility=np.array([[2, 1], [-1, -1]]),
        poses=Poses(log_z=np.array([0.5, nan]), translations_m=np.array([[0.5, 0.25, 1.5], [nan] * 3])),
        detection_extra=({"track": 7}, None),
        classification=Classification(1, 0.75, (0.25, 0.75)),
        semantic_mask={0: masks.encode(left)},
        intrinsics=Intrinsics(600.0, 601.0, 20.0, 10.0),
        preprocess={"resize": "letterbox"},
        extra={"frame": 3},
    )


@pytest.fixture
def plain() -> ImagePredictions:
    return ImagePredictions("a/2.png", (8, 8), np.array([[1.0, 2, 3, 4]]), np.array([0.5]), np.array([0]))


@pytest.fixture
def written(tmp_path):
    def write(images, name: str = "given.json", **meta) -> Path:
        path = tmp_path / name
        write_predictions(
            map(encode_entry, images), path, meta={"classes": ["disc", "box"], **meta}, wrap=True
        )
        return path

    return write


def precomputed(path: Path, **options):
    plugins = Plugins([])
    settings = plugins.settings("precomputed", options={"predictions": str(path), **options})
    return plugins.adapter("precomputed", settings)


def near(left, right) -> None:
    """Equal JSON, numbers to the last bits of a division and a multiplication."""
    if isinstance(left, dict):
        assert left.keys() == right.keys()
        for key in left:
            near(left[key], right[key])
    elif isinstance(left, list):
        assert len(left) == len(right)
        for a, b in zip(left, right, strict=True):
            near(a, b)
    elif isinstance(left, float):
        assert left == pytest.approx(right, rel=1e-14, abs=1e-14)
    else:
        assert left == right


@pytest.mark.parametrize("name", ["given.json", "given.jsonl"])
def test_every_field_of_every_entry_comes_back(written, plain, name):
    given = [full(), plain, ImagePredictions.empty("a/3.png", (9, 7))]
    adapter = precomputed(written(given, name))
    records = [record("a/3.png", (9, 7)), record("a/1.png"), record("a/2.png", (8, 8))]
    served = list(adapter.predict(records))
    for before, after in zip([given[2], given[0], given[1]], served, strict=True):
        near(json.loads(encode_entry(before)), json.loads(encode_entry(after)))
    assert adapter.classes.names == ("disc", "box")


def test_keys_join_by_path_and_basename_and_the_result_has_the_records_key(written, plain):
    adapter = precomputed(written([full("images\\1.png"), plain]))
    served = list(adapter.predict([record("images/1.png"), record("elsewhere/2.png", (8, 8))]))
    assert [(p.image, len(p)) for p in served] == [("images/1.png", 2), ("elsewhere/2.png", 1)]


def test_an_image_without_entry_is_an_error_that_names_it_unless_it_may_be_empty(written):
    path = written([full()])
    with pytest.raises(
        ContractError, match=r"no entry for image 'a/9.png'; did you mean 'a/1.png'"
    ) as caught:
        list(precomputed(path).predict([record("a/9.png")]))
    assert "missing=empty" in caught.value.fix
    (empty,) = precomputed(path, missing="empty").predict([record("a/9.png")])
    assert (empty.image, empty.size_wh, len(empty)) == ("a/9.png", (40, 20), 0)


def test_an_ambiguous_basename_lists_the_candidates_even_where_images_may_be_missing(written):
    path = written([full("a/1.png"), full("b/1.png")])
    with pytest.raises(ContractError, match=r"'1.png' may be any of 'a/1.png', 'b/1.png'"):
        list(precomputed(path, missing="empty").predict([record("1.png")]))


def test_two_images_that_join_one_entry_are_an_error_also_across_chunks(written):
    adapter = precomputed(written([full("1.png")]))
    for _ in range(2):
        list(adapter.predict([record("a/1.png")]))
    with pytest.raises(ContractError, match=r"'a/1.png' and 'b/1.png' both join the entry '1.png'"):
        list(adapter.predict([record("b/1.png")]))


def test_an_entry_of_another_size_is_an_error_with_its_place(written):
    adapter = precomputed(written([full()]))
    with pytest.raises(
        ContractError, match=r"predictions\[0\].image_size: 40x20, but the image is 20x40 \(image a/1"
    ):
        list(adapter.predict([record("a/1.png", (20, 40))]))


def test_boxes_are_read_in_the_format_that_the_option_names_and_sizes_come_from_the_image(tmp_path):
    path = tmp_path / "xywh.json"
    detection = {"class_id": 0, "score": 0.5, "bbox": [4, 5, 10, 6]}
    path.write_text(json.dumps([{"image": "a.png", "detections": [detection]}]))
    (image,) = precomputed(path, bbox_format="xywh_abs").predict([record("a.png")])
    assert image.boxes_xyxy_px.tolist() == [[4, 5, 14, 11]]
    path.write_text(
        json.dumps([{"image": "a.png", "detections": [detection | {"bbox": [0.5, 0.5, 0.5, 1]}]}])
    )
    (image,) = precomputed(path).predict([record("a.png")])
    assert image.boxes_xyxy_px.tolist() == [[10, 0, 30, 20]]


def test_a_transformed_image_is_refused(written):
    adapter = precomputed(written([full()]))
    with pytest.raises(OptionError, match=r"a/1.png has transforms \(HorizontalFlip\)"):
        list(adapter.predict([record("a/1.png").derive(HorizontalFlip())]))


def test_a_file_is_needed_and_must_keep_the_contract(tmp_path):
    with pytest.raises(OptionError, match="precomputed needs option predictions"):
        Plugins([]).settings("precomputed")
    with pytest.raises(ContractError, match="no such file"):
        precomputed(tmp_path / "absent.json")


def test_the_pipeline_gives_back_what_was_written_best_score_first(written, plain):
    given = [full(), plain]
    pipeline = Pipeline(precomputed(written(given)), Limits(0.0, 100, clip=False))
    chunks = list(pipeline.run([record("a/1.png"), record("a/2.png", (8, 8))]))
    for before, after in zip(given, [p for chunk in chunks for p in chunk], strict=True):
        near(json.loads(encode_entry(before)), json.loads(encode_entry(after)))


class TestPrecomputed(AdapterConformance):
    adapter = "precomputed"

    @pytest.fixture
    def settings(self, images, written):
        """A file with a result for each of the kit's images."""
        path = written(
            ImagePredictions(
                r.key, r.size_wh, np.array([[1.0, 2.0, 30.0, 40.0]]), np.array([0.5]), np.array([1])
            )
            for r in in_memory(images)
        )
        options = {"predictions": str(path), "missing": "empty"}
        return Plugins().settings("precomputed", options=options, batch_size=2, score_floor=0.001)
