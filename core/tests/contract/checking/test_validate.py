from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from anydet.contract.checking.validate import validate
from anydet.types import ClassTable, GroundTruthColumns, ImagePredictions, Labels

CLASSES = ClassTable(("disc", "box"), (1, 18))


@dataclass
class Scenes:
    """Two images of 8 x 4 pixels and two classes, under COCO's ids."""

    keys: tuple[str, ...] = ("a/1.jpg", "a/2.jpg", "b/1.jpg")
    classes: ClassTable | None = CLASSES
    source: str = "COCO JSON"
    image_ids: bool = True

    def ground_truth(self) -> GroundTruthColumns:
        none = np.zeros(0)
        index = none.astype(np.int64)
        return GroundTruthColumns(
            images=self.keys,
            sizes_wh=np.array([[8, 4]] * len(self.keys)),
            image_index=index,
            labels=Labels(index, np.zeros((0, 4)), none, none.astype(np.bool_)),
            classes=self.classes or ClassTable(()),
            source=self.source,
            image_ids=np.arange(len(self.keys)) if self.image_ids else None,
        )


def detection(**fields: Any) -> dict[str, Any]:
    return {"class_id": 0, "score": 0.5, "bbox": [0.5, 0.5, 0.5, 0.5], **fields}


def findings(tmp_path: Path, document: Any, dataset: Scenes | None = None) -> tuple[list[str], list[str]]:
    path = tmp_path / "p.json"
    path.write_text(json.dumps(document))
    report = validate(path, dataset)
    return tuple(
        [line.removeprefix(f"{path}: ") for line in part] for part in (report.errors, report.warnings)
    )  # type: ignore[return-value]


def test_a_report_counts_what_is_valid(images: list[ImagePredictions], written: Callable[..., Path]) -> None:
    report = validate(written("p.jsonl", images))
    assert (report.ok, report.shape, report.images, report.detections) == (True, "jsonl", 3, 3)
    assert report.to_json()["ok"] is True


def test_a_box_wholly_outside_is_a_warning_and_one_that_reaches_out_is_not(tmp_path: Path) -> None:
    boxes = [[1.5, 0.5, 0.5, 0.5], [0.5, -1, 0.5, 0.5], [1.1, 0.5, 0.5, 0.5], [0, 0, 0, 0], [0.5, 0.5, 9, 9]]
    errors, warnings = findings(
        tmp_path, [{"image": "a.jpg", "detections": [detection(bbox=b) for b in boxes]}]
    )
    assert errors == []
    assert warnings == [
        "[0].detections[0].bbox: [1.5, 0.5, 0.5, 0.5] is wholly outside the image (image a.jpg)",
        "[0].detections[1].bbox: [0.5, -1.0, 0.5, 0.5] is wholly outside the image (image a.jpg)",
    ]


def test_boxes_in_pixels_are_held_against_the_stated_size(tmp_path: Path) -> None:
    size = {"width": 8, "height": 4}
    entries = [
        {
            "image": "a",
            "image_size": size,
            "detections": [detection(bbox=[7, 1, 3, 3]), detection(bbox=[9, 1, 3, 3])],
        },
        {"image": "unknown size", "detections": [detection(bbox=[9, 1, 3, 3])]},
    ]
    meta = {"conventions": {"bbox_format": "xywh_abs"}}
    _, warnings = findings(tmp_path, {"predictions": entries, "meta": meta})
    assert [line.split(":")[0] for line in warnings] == ["predictions[0].detections[1].bbox"]


def test_matrices_that_are_no_rotations_are_warnings(tmp_path: Path) -> None:
    matrices = [np.eye(3), 1.1 * np.eye(3), np.diag([1, 1, -1]), None, np.full((3, 3), 1e300)]
    rows = [detection(**({} if m is None else {"R": m.tolist()})) for m in matrices]
    errors, warnings = findings(tmp_path, [{"image": "a", "detections": rows}])
    assert errors == []
    assert warnings == [
        "[0].detections[1].R: is not orthonormal (image a)",
        "[0].detections[4].R: is not orthonormal (image a)",
        "[0].detections[2].R: is a reflection, not a rotation (image a)",
    ]


def test_a_file_that_fits_its_data_set_is_valid(tmp_path: Path) -> None:
    document = {"a\\1.jpg": [detection(class_id=1)], "a/2.jpg": [], "b/1.jpg": []}
    assert findings(tmp_path, document, Scenes()) == ([], [])


def test_a_file_of_another_data_set_is_refused_with_names(tmp_path: Path) -> None:
    entries = [
        {"image": "1.jpg", "detections": []},
        {"image": "a/2.jpg", "image_size": {"width": 4, "height": 8}, "detections": [detection(class_id=2)]},
        {"image": "c.png", "detections": []},
    ]
    meta = {"classes": ["disc", "ring", "box"]}
    errors, warnings = findings(tmp_path, {"predictions": entries, "meta": meta}, Scenes())
    assert errors == [
        "image '1.jpg' may be any of 'a/1.jpg', 'b/1.jpg' (2 images)",
        "image 'c.png' is not in the data set",
        "predictions[1].image_size: 4 x 8 where the data set says 8 x 4 (image a/2.jpg)",
        "meta.classes: ['disc', 'ring', 'box'] where the data set has ['disc', 'box']",
        "predictions[1].detections[0].class_id: 2 is beyond the data set's 2 classes, in 1 detections "
        "(first in image a/2.jpg)",
    ]
    assert warnings == ["no entry for 2 images of the data set (a/1.jpg, b/1.jpg)"]


def test_classes_in_another_order_are_joined_by_name_and_fine(tmp_path: Path) -> None:
    document = {
        "predictions": [{"image": k, "detections": []} for k in Scenes().keys],
        "meta": {"classes": ["box", "disc"]},
    }
    assert findings(tmp_path, document, Scenes()) == ([], [])


def test_a_data_set_without_labels_still_knows_its_images(tmp_path: Path) -> None:
    errors, warnings = findings(
        tmp_path, {"a/1.jpg": [detection(class_id=70)]}, Scenes(source="none", classes=None)
    )
    assert errors == []
    assert warnings == ["no entry for 2 images of the data set (a/2.jpg, b/1.jpg)"]


def test_coco_results_are_read_with_their_data_set_and_exempt_from_the_score_range(tmp_path: Path) -> None:
    results = [{"image_id": i, "category_id": 18, "bbox": [1, 1, 2, 2], "score": 7.5} for i in range(3)]
    assert findings(tmp_path, results, Scenes()) == ([], [])
    assert findings(tmp_path, results)[0] == [
        "a COCO results file, whose image and class ids are those of its data set"
    ]
    results[1]["category_id"] = 2
    errors, (warning,) = findings(tmp_path, results, Scenes())
    assert errors == []
    assert warning.startswith(
        "results of categories that the data set does not have (2): 1 of 3 (the first: [1]"
    )
    (error,) = findings(tmp_path, results, Scenes(image_ids=False))[0]
    assert "name images by id" in error


def test_one_pass_says_everything_about_a_broken_file(tmp_path: Path) -> None:
    rows = [detection(score=2), detection(), detection(scroe=1)]
    entries = [{"image": "a", "detections": rows}, 7, {"image": "a", "detections": []}]
    errors, _ = findings(tmp_path, {"predictions": entries, "meta": {"images": "3"}, "notes": 1})
    assert errors == [
        "notes: unknown key; known: schema_version, predictions, meta",
        "predictions[0].detections[0].score: 2 is above the maximum 1 (image a)",
        "predictions[0].detections[2].scroe: unknown key; did you mean 'score'? (image a)",
        "predictions[1]: 7 where an object belongs",
        "predictions[2]: a second entry for one image, the first is predictions[0] (image a)",
        'meta.images: "3" where an integer belongs',
    ]
