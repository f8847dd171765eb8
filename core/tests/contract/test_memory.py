from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from anydet.contract.encode import encode_entry
from anydet.contract.memory import columns_of, load_memory, read_memory
from anydet.data.dataset.columns import no_labels
from anydet.errors import ContractError
from anydet.geometry import masks
from anydet.types import ClassTable, DetectionColumns, GroundTruthColumns, ImagePredictions

KEYS = ("a.jpg", "b.jpg", "c.jpg")
TRUTH = GroundTruthColumns(
    images=KEYS,
    sizes_wh=np.array([(64, 32), (16, 48), (20, 20)]),
    image_index=np.zeros(0, np.int64),
    labels=no_labels(),
    classes=ClassTable(("cat", "dog", "bird"), (1, 3, 7)),
    source="made here",
    image_ids=np.array([11, 12, 13]),
)
ROWS = (
    (0, 0, 0.75, (4.0, 8.0, 20.0, 16.0)),
    (0, 2, 0.1 + 0.2, (0.0, 0.0, 64.0, 32.0)),
    (2, 1, 0.5, (5.0, 0.0, 15.0, 10.0)),
)
EXPECTED = [(KEYS[i], c, s, x1, y1, x2 - x1, y2 - y1) for i, c, s, (x1, y1, x2, y2) in ROWS]


def rows_of(columns: DetectionColumns) -> list[tuple[Any, ...]]:
    return [
        (columns.images[i], c, s, *np.round(box, 9).tolist())
        for i, c, s, box in zip(
            columns.image_index, columns.class_ids, columns.scores, columns.boxes_xywh_px, strict=True
        )
    ]


def results() -> list[dict[str, Any]]:
    return [
        {
            "image_id": 11 + i,
            "category_id": TRUTH.classes.source_ids[c],
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "score": s,
        }
        for i, c, s, (x1, y1, x2, y2) in ROWS
    ]


def of_image(i: int, source: bool = True) -> dict[str, Any]:
    found = [(c, s, box) for image, c, s, box in ROWS if image == i]
    return {
        "boxes": np.array([box for _, _, box in found], np.float64).reshape(-1, 4),
        "scores": np.array([s for _, s, _ in found]),
        "labels": np.array([TRUTH.classes.source_ids[c] if source else c for c, _, _ in found], np.int64),
    }


def images() -> list[ImagePredictions]:
    made = []
    for i in (0, 2):
        one = of_image(i, source=False)
        made.append(
            ImagePredictions(
                KEYS[i], (64, 32) if i == 0 else (20, 20), one["boxes"], one["scores"], one["labels"]
            )
        )
    return made


class Tensor:
    """What is looked at of torch's."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def detach(self) -> Tensor:
        return self

    def cpu(self) -> Tensor:
        return self

    def numpy(self) -> Any:
        return self.array


def entries() -> list[Any]:
    import json

    return [json.loads(encode_entry(image)) for image in images()]


FORMS: dict[str, Any] = {
    "COCO results": results(),
    "COCO results of numpy": [
        {**r, "image_id": np.int64(r["image_id"]), "bbox": np.array(r["bbox"])} for r in results()
    ],
    "pycocotools' array": np.array(
        [[r["image_id"], *r["bbox"], r["score"], r["category_id"]] for r in results()]
    ),
    "torchvision, by key": {KEYS[i]: of_image(i) for i in range(3)},
    "torchvision, by id": {11 + i: of_image(i) for i in range(3)},
    "torchvision, a subset by stem": {"a": of_image(0), "c": of_image(2)},
    "torchvision, in order": [of_image(i) for i in range(3)],
    "torchvision, tensors": [{k: Tensor(v) for k, v in of_image(i).items()} for i in range(3)],
    "torchvision, in order, with image_id": [{"image_id": 11 + i, **of_image(i)} for i in (0, 2)],
    "images": images(),
    "an iterator of images": None,
    "entries": entries(),
    "wrapped entries": {"schema_version": 1, "predictions": entries()},
    "a map": {entry["image"]: entry["detections"] for entry in entries()},
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_the_same_detections_in_every_form_are_the_same(form: str) -> None:
    value = iter(images()) if form == "an iterator of images" else FORMS[form]
    assert rows_of(columns_of(load_memory(value, TRUTH), TRUTH)) == EXPECTED


def test_detections_of_supervision_are_taken_by_image_and_in_order() -> None:
    supervision = pytest.importorskip("supervision")
    made = []
    for i in range(3):
        one = of_image(i, source=False)
        made.append(
            supervision.Detections(xyxy=one["boxes"], confidence=one["scores"], class_id=one["labels"])
        )
    made[1] = supervision.Detections.empty()
    assert rows_of(columns_of(load_memory(made, TRUTH), TRUTH)) == EXPECTED
    by_key = dict(zip(KEYS, made, strict=True))
    assert rows_of(columns_of(load_memory(by_key, TRUTH), TRUTH)) == EXPECTED


def test_tensors_of_bfloat16_are_taken_like_others() -> None:
    torch = pytest.importorskip("torch")
    whole = [torch.tensor(of_image(2)[name]) for name in ("boxes", "scores", "labels")]
    half = {"boxes": whole[0].bfloat16(), "scores": whole[1].bfloat16(), "labels": whole[2]}
    assert rows_of(columns_of(load_memory({"c.jpg": half}, TRUTH), TRUTH)) == EXPECTED[2:]


def test_masks_of_torchvision_are_cut_at_one_half() -> None:
    mask = np.zeros((1, 1, 20, 20), np.float32)
    mask[0, 0, 2:6, 3:9] = 0.9
    mask[0, 0, 10:, 10:] = 0.4
    raw = load_memory({"c.jpg": {**of_image(2), "masks": Tensor(mask)}}, TRUTH)
    assert raw.masks is not None
    assert raw.masks[0] is not None
    assert masks.area(raw.masks[0]) == 24


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([of_image(0)] * 2, "2 results that do not say which images they are of; the data set has 3"),
        ({"x.jpg": of_image(0)}, r"image 'x\.jpg' is not in the data set"),
        ([{**results()[0], "score": float("nan")}], r"\[0\]\.score: NaN is not a finite number"),
        (np.zeros((3, 6)), r"an array of shape \(3, 6\), where \(N, 7\) belongs"),
        (3, "int is none of the forms that are read"),
        ([object()], "object has no form in JSON"),
        ({"a.jpg": {**of_image(0), "scores": np.array([0.5])}}, "2 boxes, 1 scores and 2 labels"),
    ],
)
def test_what_is_of_no_form_is_refused_without_naming_a_command(value: Any, message: str) -> None:
    with pytest.raises(ContractError, match=message) as caught:
        load_memory(value, TRUTH)
    assert caught.value.fix
    assert "validate-predictions" not in caught.value.fix


def test_no_results_are_predictions_of_nothing() -> None:
    assert len(load_memory([], TRUTH)) == 0
    assert read_memory({}, TRUTH).errors == ()
