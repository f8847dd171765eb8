from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anydet.contract.conversion.convert import convert
from anydet.contract.conversion.yolozu import ONE_BASED, read_class_map, read_yolozu
from anydet.contract.reading.load import load
from anydet.errors import ContractError, OptionError
from anydet.geometry.rotations import rot6d_to_matrix

yolozu = pytest.importorskip("yolozu")
ROTATED = [0.0, -1.0, 0.0, 1.0, 0.0, 0.0]


def entry(**changes: Any) -> dict[str, Any]:
    detection = {
        "class_id": 80,
        "score": 0.5,
        "bbox": {"cx": 0.5, "cy": 0.5, "w": 0.2, "h": 0.1},
        "rot6d": ROTATED,
        "log_z": 0.25,
        "log_sigma_z": -1.0,
        "sigma_z": 0.36,
        "t_xyz": [0.1, 0.2, 1.3],
        "k_prime": [500, 500, 320, 240],
        "keypoints": [0.1, 0.2, 2, 0.3, 0.4, 1],
    }
    whole = {
        "schema_version": 2,
        "image": "a.jpg",
        "image_size": {"width": 320, "height": 320},
        "orig_w": 640,
        "orig_h": 480,
        "model_input_w": 320,
        "preprocess": {"method": "resize"},
        "preproc": {"method": "resize"},
        "intrinsics": [[500, 0, 320], [0, 501, 240], [0, 0, 1]],
        "detections": [detection],
    }
    return whole | changes


def save(path: Path, data: Any) -> Path:
    path.write_text(json.dumps(data))
    return path


def test_its_rotation_is_the_one_its_own_evaluator_sees(tmp_path: Path) -> None:
    from yolozu.eval.pose_eval import _rot6d_to_matrix

    rotation = [0.9, -0.1, 0.2, 0.3, 0.8, -0.4]
    data = entry()
    data["detections"][0]["rot6d"] = rotation
    convert(save(tmp_path / "y.json", [data]), tmp_path / "out.json", made_of="yolozu")
    poses = load(tmp_path / "out.json").poses
    assert poses is not None
    assert poses.rot6d is not None
    np.testing.assert_allclose(rot6d_to_matrix(poses.rot6d)[0], _rot6d_to_matrix(rotation), atol=1e-12)


def test_sizes_cameras_keypoints_and_foreign_keys_find_their_place(tmp_path: Path) -> None:
    meta = {"adapter": "rtdetr_pose", "notes": "mine", "timestamp": "not a time"}
    path = save(tmp_path / "y.json", {"schema_version": 1, "predictions": [entry()], "meta": meta})
    done = convert(path, tmp_path / "out.json", made_of="yolozu", wrap=True, class_map=ONE_BASED)
    assert (done.images, done.detections) == (1, 1)
    out = json.loads((tmp_path / "out.json").read_bytes())
    (image,) = out["predictions"]
    assert image["image_size"] == {"width": 640, "height": 480}
    assert image["intrinsics"] == {"fx": 500, "fy": 501, "cx": 320, "cy": 240}
    assert image["extra"] == {"image_size": {"width": 320, "height": 320}, "model_input_w": 320}
    (row,) = image["detections"]
    assert row["class_id"] == 79
    assert row["extra"] == {"sigma_z": 0.36, "t_xyz": [0.1, 0.2, 1.3], "k_prime": [500, 500, 320, 240]}
    assert row["keypoints"] == [{"x": 0.1, "y": 0.2, "v": 2}, {"x": 0.3, "y": 0.4, "v": 1}]
    assert out["meta"]["adapter"] == "rtdetr_pose"
    assert out["meta"]["extra"]["yolozu"]["notes"] == "mine"
    load(tmp_path / "out.json")


def test_nothing_of_a_file_is_dropped(tmp_path: Path) -> None:
    """Each value of the file is in the entry, or under its own key in an ``extra``."""
    whole = entry(
        orig_w=640,
        orig_h=None,
        image_size=None,
        intrinsics=[[500, 2, 320], [0, 501, 240], [0, 0, 1]],
        note="n",
    )
    box = {"cx": 0.5, "cy": 0.5, "w": 0.2, "h": 0.1, "angle": 0.3}
    points = [{"x": 0.1, "y": 0.2, "v": 2, "name": "eye"}]
    whole["detections"][0] |= {"bbox": box, "keypoints": points, "extra": "free", "mask": "mask.png"}
    data = {"schema_version": 1, "predictions": [whole], "meta": {"adapter": "a"}, "notes": [1]}
    convert(save(tmp_path / "y.json", data), tmp_path / "out.json", made_of="yolozu", wrap=True)
    out = json.loads((tmp_path / "out.json").read_bytes())
    (image,) = out["predictions"]
    assert image["intrinsics"] == {"fx": 500, "fy": 501, "cx": 320, "cy": 240}
    kept = {"orig_w": 640, "model_input_w": 320, "note": "n", "intrinsics": whole["intrinsics"]}
    assert image["extra"] == kept
    (row,) = image["detections"]
    assert row["bbox"] == {"cx": 0.5, "cy": 0.5, "w": 0.2, "h": 0.1}
    assert row["keypoints"] == [{"x": 0.1, "y": 0.2, "v": 2}]
    assert row["extra"] == {
        "bbox": box, "keypoints": points, "extra": "free", "mask": "mask.png",
        "sigma_z": 0.36, "t_xyz": [0.1, 0.2, 1.3], "k_prime": [500, 500, 320, 240],
    }  # fmt: skip
    assert out["meta"]["extra"]["yolozu"] == {"notes": [1]}


def test_flat_keypoints_with_scores_are_distinguished_from_those_with_visibilities(tmp_path: Path) -> None:
    data = entry()
    data["detections"][0]["keypoints"] = [0.1, 0.2, 0.9, 0.3, 0.4, 1]
    convert(save(tmp_path / "y.json", [data]), tmp_path / "out.json", made_of="yolozu")
    (row,) = json.loads((tmp_path / "out.json").read_bytes())[0]["detections"]
    assert row["keypoints"] == [{"x": 0.1, "y": 0.2, "score": 0.9}, {"x": 0.3, "y": 0.4, "score": 1}]
    assert "keypoints" not in row["extra"]


def test_a_file_of_its_own_exporter_is_read_and_its_validator_takes_what_we_write(tmp_path: Path) -> None:
    from yolozu.inference.adapter import DummyAdapter
    from yolozu.predictions.predictions import validate_predictions_payload

    records = [{"image": "a.jpg"}, {"image": "b.jpg"}]
    path = save(tmp_path / "y.json", DummyAdapter().predict(records))
    assert json.loads(path.read_bytes())[0]["schema_version"] in (1, 2)
    done = convert(path, tmp_path / "out.json", made_of="yolozu")
    assert done.images == 2
    validate_predictions_payload(json.loads((tmp_path / "out.json").read_bytes()), strict=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema_version": 3}, "schema_version: 3"),
        (
            {"detections": [{"class_id": 0, "score": 2, "bbox": {"cx": 0, "cy": 0, "w": 0, "h": 0}}]},
            "maximum",
        ),
        ({"detections": [{"class_id": 0, "score": 1, "bbox": {"cx": 0}}]}, "detections[0]"),
        ({"detections": [7]}, "detections[0]: a detection must be an object"),
        ({"image": None}, "image"),
    ],
)
def test_what_cannot_be_kept_is_named(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = save(tmp_path / "y.json", [entry(), entry(**{"image": "b.jpg", **changes})])
    with pytest.raises(ContractError) as caught:
        read_yolozu(path)
    assert message in caught.value.problem
    assert "[1]" in caught.value.problem


def test_class_maps_are_one_based_or_the_file_of_its_tools(tmp_path: Path) -> None:
    classes = save(tmp_path / "classes.json", {"category_id_to_class_id": {"1": 0, "90": 79}})
    assert read_class_map(str(classes)) == {1: 0, 90: 79}
    assert read_class_map("one-based")[80] == 79
    with pytest.raises(OptionError, match="no such file"):
        read_class_map(str(tmp_path / "none.json"))
    with pytest.raises(OptionError, match="its ids and classes are not whole numbers"):
        read_class_map(str(save(tmp_path / "names.json", {"1": "cat"})))
    path = save(tmp_path / "y.json", [entry()])
    with pytest.raises(ContractError, match="class_id 80 is not in the class map"):
        read_yolozu(path, {1: 0})
