"""The same detections in the form of every tool: all are read as the contract's own file is."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from anydet.contract.checking.repair import repair
from anydet.contract.conversion.convert import convert
from anydet.contract.raw import RawPredictions
from anydet.contract.reading.foreign.formats import FORMATS
from anydet.contract.reading.load import load, read
from anydet.contract.reading.shards import prediction_files
from anydet.data.dataset.columns import boxes_only, no_labels
from anydet.errors import AnydetError, AnydetWarning, ContractError
from anydet.evaluation.engines import choose_engine
from anydet.geometry import masks
from anydet.ids import twin_key
from anydet.plugins.manager import Plugins
from anydet.types import ClassTable, GroundTruthColumns, ImageColumns, ObjectModel

DOCS = Path(__file__).parents[4] / "docs" / "reference" / "conversion.md"
KEYS = ("val/a.jpg", "val/b.png", "val/c.jpg")
SIZES = ((64, 32), (16, 48), (20, 20))
NAMES = ("cat", "dog", "bird")
SOURCE_IDS = (1, 3, 7)
# Image, class id, score, corners in whole pixels: exact in every format's units.
ROWS = (
    (0, 0, 0.75, (4, 8, 20, 16)),
    (0, 2, 0.123456789, (0, 0, 64, 32)),
    (2, 1, 0.5, (5, 0, 15, 10)),
    (2, 2, 1.0, (1, 2, 4, 6)),
)
TRUTH = GroundTruthColumns(
    images=KEYS,
    sizes_wh=np.array(SIZES),
    image_index=np.zeros(0, np.int64),
    labels=no_labels(),
    classes=ClassTable(NAMES, SOURCE_IDS),
    source="made here",
    image_ids=np.array([11, 12, 13]),
)
"""Three images with ids, the second without detections."""


def rows_of(raw: RawPredictions, truth: GroundTruthColumns = TRUTH) -> list[tuple[Any, ...]]:
    """(key, class, score, x, y, w, h) of all detections, in the order of the data set."""
    columns = raw.columns(sizes_wh=np.array([truth.sizes_wh[truth.images.index(k)] for k in raw.images]))
    names = raw.classes or truth.classes.names
    found = [
        (raw.images[i], names[c], s, *np.round(box, 6).tolist())
        for i, c, s, box in zip(
            columns.image_index, columns.class_ids, columns.scores, columns.boxes_xywh_px, strict=True
        )
    ]
    return sorted(found, key=lambda row: truth.images.index(row[0]))


EXPECTED = [(KEYS[i], NAMES[c], s, x1, y1, x2 - x1, y2 - y1) for i, c, s, (x1, y1, x2, y2) in ROWS]


def of_image(i: int) -> list[tuple[int, float, tuple[int, int, int, int]]]:
    return [(c, s, box) for image, c, s, box in ROWS if image == i]


def save(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def write_csv(path: Path, header: str, rows: list[list[Any]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header.split(","), *rows])
    return path


def yolo(folder: Path, *, second: bool = False) -> Path:
    for i in (0, 2):
        width, height = SIZES[i]
        lines = []
        for c, s, (x1, y1, x2, y2) in of_image(i):
            box = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height)
            lines.append(" ".join(map(repr, (c, s, *box) if second else (c, *box, s))))
        save(folder / f"{Path(KEYS[i]).stem}.txt", "\n".join(lines) + "\n")
    return folder


def arrays(i: int, boxes: str, labels: Callable[[int], Any]) -> dict[str, Any]:
    found = of_image(i)
    return {
        "labels": [labels(c) for c, _, _ in found],
        "scores": [s for _, s, _ in found],
        boxes: [list(map(float, box)) for _, _, box in found],
    }


def mmdetection(folder: Path) -> Path:
    for i, key in enumerate(KEYS):
        save(folder / f"{Path(key).stem}.json", arrays(i, "bboxes", lambda c: c))
    return folder


def torchvision(folder: Path) -> Path:
    ids = {11 + i: arrays(i, "boxes", lambda c: SOURCE_IDS[c]) for i in range(3)}
    return save(folder / "r.json", ids)


def pipeline(i: int) -> list[dict[str, Any]]:
    sides = ("xmin", "ymin", "xmax", "ymax")
    return [
        {"score": s, "label": NAMES[c], "box": dict(zip(sides, b, strict=True))} for c, s, b in of_image(i)
    ]


def transformers(folder: Path) -> Path:
    return save(folder / "r.json", {key: pipeline(i) for i, key in enumerate(KEYS)})


def inference(i: int) -> dict[str, Any]:
    predictions = [
        {
            "x": (x1 + x2) / 2,
            "y": (y1 + y2) / 2,
            "width": x2 - x1,
            "height": y2 - y1,
            "confidence": s,
            "class": NAMES[c],
            "class_id": c,
        }
        for c, s, (x1, y1, x2, y2) in of_image(i)
    ]
    size = {"width": str(SIZES[i][0]), "height": str(SIZES[i][1])}
    return {"predictions": predictions, "image": size, "time": 0.1}


def roboflow(folder: Path) -> Path:
    for i, key in enumerate(KEYS):
        save(folder / f"{Path(key).name}.json", inference(i))
    return folder


def coco_document(folder: Path) -> Path:
    """Under ids of its own: images from 0, categories in another order."""
    own = {"bird": 1, "dog": 2, "cat": 3}
    images = [
        {"id": i, "file_name": key, "width": SIZES[i][0], "height": SIZES[i][1]} for i, key in enumerate(KEYS)
    ]
    annotations = [
        {
            "id": n,
            "image_id": i,
            "category_id": own[NAMES[c]],
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "area": (x2 - x1) * (y2 - y1),
            "iscrowd": 0,
            "segmentation": [],
            "score": s,
        }
        for n, (i, c, s, (x1, y1, x2, y2)) in enumerate(ROWS)
    ]
    categories = [{"id": number, "name": name} for name, number in own.items()]
    return save(
        folder / "r.json",
        {"info": {}, "images": images, "annotations": annotations, "categories": categories},
    )


def instance_masks(folder: Path) -> Path:
    entries = []
    for i in (0, 2):
        instances = []
        for n, (c, s, (x1, y1, x2, y2)) in enumerate(of_image(i)):
            mask = np.zeros(SIZES[i][::-1], np.uint8)
            mask[y1:y2, x1:x2] = 255
            Image.fromarray(mask).save(folder / f"m{i}{n}.png")
            instances.append({"class_id": c, "score": s, "mask": f"m{i}{n}.png"})
        entries.append({"image": Path(KEYS[i]).name, "instances": instances})
    return save(folder / "r.json", {"predictions": entries, "meta": {"split": "val"}})


def bop(folder: Path) -> Path:
    rows = [
        [i, i, SOURCE_IDS[c], s, "1 0 0 0 1 0 0 0 1", f"{x1 * 100} {y1 * 100} 1000", 0.1]
        for i, c, s, (x1, y1, *_) in ROWS
    ]
    return write_csv(folder / "method_set-test.csv", "scene_id,im_id,obj_id,score,R,t,time", rows)


def dota(folder: Path) -> Path:
    for c, name in enumerate(NAMES):
        lines = [
            f"{Path(KEYS[i]).stem} {s!r} {x1} {y1} {x2} {y1} {x2} {y2} {x1} {y2}"
            for i, other, s, (x1, y1, x2, y2) in ROWS
            if other == c
        ]
        save(folder / f"Task1_{name}.txt", "\n".join(lines) + "\n")
    return folder


def own_csv(folder: Path) -> Path:
    rows = [[KEYS[i], c, NAMES[c], s, *box, *SIZES[i]] for i, c, s, box in ROWS]
    return write_csv(folder / "p.csv", "image,class_id,class_name,score,x1,y1,x2,y2,width,height", rows)


WRITERS: dict[str, Callable[[Path], Path]] = {
    "csv": own_csv,
    "yolo": yolo,
    "yolo-confidence-second": lambda folder: yolo(folder, second=True),
    "coco-document": coco_document,
    "torchvision": torchvision,
    "transformers": transformers,
    "mmdetection": mmdetection,
    "roboflow": roboflow,
    "yolozu-masks": instance_masks,
    "bop": bop,
    "dota": dota,
}


def test_every_format_has_a_row_in_the_docs_and_a_writer_here() -> None:
    assert set(WRITERS) == set(FORMATS)
    text = DOCS.read_text("utf-8")
    for name in FORMATS:
        assert f"| `{name}` |" in text


@pytest.mark.parametrize("name", [n for n in WRITERS if n not in ("bop", "yolo-confidence-second")])
def test_a_file_of_every_tool_is_recognised_and_read_as_our_own(name: str, tmp_path: Path) -> None:
    raw = load(WRITERS[name](tmp_path), truth=lambda: TRUTH)
    assert rows_of(raw) == EXPECTED


def posed_truth() -> GroundTruthColumns:
    corners = np.array([[x, y, z] for x in (-0.1, 0.1) for y in (-0.05, 0.05) for z in (-0.1, 0.1)])
    model = ObjectModel("box", corners, 0.3, np.eye(4)[None])
    return replace(
        TRUTH,
        images=tuple(f"{i:06d}/rgb/{i:06d}.png" for i in range(3)),
        objects={0: model, 1: model, 2: model},
        about=ImageColumns(cameras=np.array([[10.0, 10.0, 0.0, 0.0]] * 3)),
        sizes_wh=np.array([(640, 480)] * 3),
        image_ids=None,
    )


def test_results_of_bop_have_poses_and_the_boxes_of_the_projected_models(tmp_path: Path) -> None:
    truth = posed_truth()
    raw = load(bop(tmp_path), truth=lambda: truth)
    assert raw.poses is not None
    assert [
        (raw.images[i], c, s) for i, c, s in zip(raw.image_index, raw.class_ids, raw.scores, strict=True)
    ] == [(truth.images[i], c, s) for i, c, s, _ in ROWS]
    np.testing.assert_allclose(raw.poses.translations_m[0], [0.4, 0.8, 1.0])
    np.testing.assert_allclose(raw.poses.rotations, np.broadcast_to(np.eye(3), (4, 3, 3)))
    # x from 0.3 to 0.5 m, at 0.9 m nearest: 10 * 0.3 / 1.1 to 10 * 0.5 / 0.9.
    np.testing.assert_allclose(raw.boxes[0][[0, 2]], [3 / 1.1, 5 / 0.9 - 3 / 1.1])
    with pytest.raises(ContractError, match="no scenes with models"):
        load(bop(tmp_path), truth=lambda: TRUTH)


Box = tuple[int, int, int, int]
TABLES: dict[str, tuple[Callable[[str, int, str, float, Box], list[Any]], str]] = {
    "ImageID,LabelName,Conf,XMin,YMin,XMax,YMax": (lambda i, _, n, s, b: [Path(i).stem, n, s, *b], ""),
    "file name,width,height,class,xmin,ymin,xmax,ymax,confidence": (
        lambda i, _, n, s, b: [i, *SIZES[KEYS.index(i)], n, *b, s],
        "",
    ),
    "image_id,xmin,ymin,xmax,ymax,confidence,class,name": (
        lambda i, c, n, s, b: [11 + KEYS.index(i), *b, s, c, n],
        "",
    ),
    "Image Name,category_id,score,left,top,width,height": (
        lambda i, c, _, s, b: [i, SOURCE_IDS[c], s, b[0], b[1], b[2] - b[0], b[3] - b[1]],
        "",
    ),
    "image,category,score,x1,y1,w,h": (
        lambda i, _, n, s, b: [i, n, s, b[0], b[1], b[2] - b[0], b[3] - b[1]],
        "",
    ),
    "file,label,prob,x_center,y_center,w,h": (
        lambda i, _, n, s, b: [i, n, s, (b[0] + b[2]) / 2, (b[1] + b[3]) / 2, b[2] - b[0], b[3] - b[1]],
        "",
    ),
    "image,label,score,x,y,width,height": (
        lambda i, _, n, s, b: [i, n, s, b[0], b[1], b[2] - b[0], b[3] - b[1]],
        "xywh_abs",
    ),
}


@pytest.mark.parametrize("header", TABLES)
def test_csv_is_read_by_the_usual_names_of_columns(header: str, tmp_path: Path) -> None:
    row, box_format = TABLES[header]
    path = write_csv(tmp_path / "r.csv", header, [row(KEYS[i], c, NAMES[c], s, b) for i, c, s, b in ROWS])
    raw = load(path, truth=lambda: TRUTH)
    if box_format:
        with pytest.raises(ContractError, match="may be a corner or the center"):
            raw.columns()
        raw = replace(raw, box_format=box_format)
    assert rows_of(raw) == EXPECTED


def categories_csv(path: Path, ids: list[Any], names: tuple[str, ...] = ()) -> Path:
    """A row of each id on the first image."""
    rows = [[KEYS[0], one, *names[i : i + 1], 0.5, 1, 2, 3, 4] for i, one in enumerate(ids)]
    named = ",category_name" * bool(names)
    return write_csv(path / "r.csv", f"image,category_id{named},score,x1,y1,x2,y2", rows)


def test_category_ids_of_a_csv_are_joined_as_those_of_coco_results(tmp_path: Path) -> None:
    def classes(ids: list[Any], **settings: Any) -> list[int]:
        return load(categories_csv(tmp_path, ids), truth=lambda: TRUTH, **settings).class_ids.tolist()

    assert classes([7, 1, 3]) == [2, 0, 1]
    with pytest.raises(ContractError, match=r"does not have: 0 \(first at line 2\)") as caught:
        classes([0, 1])
    assert "--class-map zero-based" in caught.value.fix
    assert classes([0, 1], class_map="zero-based") == [0, 1]
    assert classes([1, 3], class_map="one-based") == [0, 2]
    with pytest.raises(ContractError, match=r"the class map one-based does not have: 0 \(first at line 2\)"):
        repair(categories_csv(tmp_path, [0, 1]), tmp_path / "o.json", lambda: TRUTH, "one-based")
    chosen = str(save(tmp_path / "map.json", {"5": "dog"}))
    with pytest.warns(AnydetWarning, match=r"does not have \(6, 7\): 2 of 3 \(the first: line 3\)"):
        assert classes([5, 6, 7], class_map=chosen) == [1]
    with pytest.warns(AnydetWarning, match=r"does not have \(9\): 1 of 3 \(the first: line 4\)"):
        assert classes([1, 7, 9]) == [0, 2]
    with pytest.raises(ContractError, match=r"does not have \(9\): 1 of 3"):
        classes([1, 7, 9], refuse_odd=True)


def test_category_ids_of_a_csv_mean_nothing_without_the_data_set_but_for_names(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="its category ids are those of its data set"):
        load(categories_csv(tmp_path, [7, 1]))
    raw = load(categories_csv(tmp_path, [7, 1], ("bird", "cat")))
    assert raw.classes is not None
    assert [raw.classes[i] for i in raw.class_ids] == ["bird", "cat"]


def test_a_class_map_says_what_whole_numbers_of_any_tool_mean(tmp_path: Path) -> None:
    for name, used in (("yolo", "zero-based"), ("mmdetection", "zero-based")):
        raw = load(WRITERS[name](tmp_path / name), truth=lambda: TRUTH, class_map=used)
        assert rows_of(raw) == EXPECTED
    with pytest.raises(ContractError, match=r"the class map one-based does not have: 0 \(first at a\.json"):
        load(tmp_path / "mmdetection", truth=lambda: TRUTH, class_map="one-based")
    assert {row[1] for row in rows_of(load(coco_document(tmp_path), truth=lambda: TRUTH))} == set(NAMES)
    raw = load(tmp_path / "r.json", truth=lambda: TRUTH, class_map="one-based")  # over the document's names
    assert raw.class_ids.tolist() == [2 - c for _, c, _, _ in ROWS]
    own = save(tmp_path / "own.json", [{"image": KEYS[0], "detections": []}])
    (note,) = load(own, truth=lambda: TRUTH, class_map="one-based").notes
    assert "class_id counts from 0 in files of the contract; the class map was not used" in note


def test_csv_of_fractions_is_recognised_and_said(tmp_path: Path) -> None:
    """Open Images: XMin ... are fractions of the image."""
    rows = [
        [Path(KEYS[i]).stem, NAMES[c], s, *(v / SIZES[i][n % 2] for n, v in enumerate(b))]
        for i, c, s, b in ROWS
    ]
    path = write_csv(tmp_path / "r.csv", "ImageID,LabelName,Score,XMin,YMin,XMax,YMax", rows)
    raw = load(path, truth=lambda: TRUTH)
    assert rows_of(raw) == EXPECTED
    assert "fractions of the image" in raw.notes[0]


def test_a_csv_takes_no_score_above_one(tmp_path: Path) -> None:
    path = write_csv(
        tmp_path / "p.csv",
        "image,class_id,score,x1,y1,x2,y2",
        [[KEYS[0], 0, 4.42, 1, 2, 3, 4], [KEYS[0], 0, 0.5, 1, 2, 3, 4]],
    )
    with pytest.raises(ContractError, match=r"line 2: score: 4\.42 is above the maximum 1") as caught:
        load(path, truth=lambda: TRUTH)
    assert "--repair" in caught.value.fix
    assert "adapter" not in caught.value.fix
    assert len(read(path, truth=lambda: TRUTH).predictions) == 1


def test_what_is_broken_in_a_folder_of_files_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    """The first file says nothing of the others."""
    folder = yolo(tmp_path / "yolo")
    lines = (folder / "a.txt").read_text().splitlines()
    save(folder / "a.txt", "\n".join(["cat 0 0.5 0.5 0.1 0.1", *lines]))
    (folder / "b.txt").write_bytes(b"0 0.5\0\1\xff")
    found = read(folder, truth=lambda: TRUTH)
    assert [line.removeprefix(f"{folder}: ")[:30] for line in found.errors] == [
        "a.txt:1: 'cat 0 0.5 0.5 0.1 0."[:30],
        "b.txt: it holds zero bytes: UTF-16"[:30],
    ]
    assert rows_of(found.predictions) == EXPECTED
    assert len(repair(folder, tmp_path / "out.json", lambda: TRUTH)) == 2
    assert rows_of(load(tmp_path / "out.json")) == EXPECTED
    folder = mmdetection(tmp_path / "preds")
    save(folder / "a.json", '{"labels": [')
    found = read(folder, truth=lambda: TRUTH)
    assert found.errors[0].startswith(f"{folder}: a.json: not JSON")
    assert rows_of(found.predictions) == EXPECTED[2:]


def test_a_folder_without_predictions_says_what_it_holds_and_what_to_name(tmp_path: Path) -> None:
    mmdetection(tmp_path / "out" / "preds")
    save(tmp_path / "out" / "vis" / "a.jpg", "")
    save(tmp_path / "notes" / "a.txt", "hello world")
    save(tmp_path / "pictures" / "a.jpg", "")
    (tmp_path / "empty").mkdir()
    for folder, problem, fix in (
        ("out", r"no predictions there, but in preds/ \(mmdetection\)", f"name that: {tmp_path}/out/preds"),
        ("notes", r"1 text file without a line of numbers \(the first: .*notes/a\.txt\)", "save_conf"),
        ("pictures", r"no predictions there: it holds 'a\.jpg'", "give files that end in"),
        ("empty", "no predictions there: it is empty", "give files that end in"),
    ):
        for read_it in (lambda path: load(path, truth=lambda: TRUTH), prediction_files):
            with pytest.raises(ContractError, match=problem) as caught:
                read_it(tmp_path / folder)
            assert fix in caught.value.fix


TEXTS = {
    "p.csv": "image,class,score,x1,y1,x2,y2\nval/caf\u00e9.jpg,0,0.5,1,2,3,4\n",
    "s.csv": "scene_id,im_id,obj_id,score,R,t,time\n1,2,3,0.5,caf\u00e9,0 0 0,1\n",
    "r.json": '[{"image_id": 11, "category_id": 1, "bbox": [1,2,3,4], "score": 1, "file_name": "caf\u00e9"}]',
    "d.json": '{"images": [], "annotations": [], "n": "caf\u00e9"}',
    "p.jsonl": '{"image": "caf\u00e9", "detections": []}\n',
    "p.txt": "0 0.5 0.5 0.1 0.1 0.9 caf\u00e9\n",
}


@pytest.mark.parametrize(
    ("encoding", "problem"),
    [
        ("utf-16", "it is UTF-16, where plain UTF-8 belongs"),
        ("utf-16-be", "it holds zero bytes: UTF-16 without a byte order mark, or no text"),
        ("utf-8-sig", "it is UTF-8 with a byte order mark, where plain UTF-8 belongs"),
        ("latin-1", "not UTF-8"),
    ],
)
@pytest.mark.parametrize("name", TEXTS)
def test_text_in_another_encoding_is_said_to_be_that_with_the_way_to_save_it(
    name: str, encoding: str, problem: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(TEXTS[name].encode(encoding))
    if encoding == "utf-8-sig" and path.suffix in {".csv", ".txt"}:
        return  # it is what spreadsheets write, and read
    with pytest.raises(ContractError) as caught:
        load(path, truth=posed_truth if name == "s.csv" else lambda: TRUTH)
    assert problem in caught.value.problem
    assert str(path) in caught.value.problem
    assert "save it as UTF-8" in str(caught.value)


@pytest.mark.parametrize("name", [n for n in WRITERS if n != "yolo-confidence-second"])
def test_a_repair_reads_every_tools_files_in_another_encoding(name: str, tmp_path: Path) -> None:
    path, out = WRITERS[name](tmp_path), tmp_path / "out" / "p.json"
    out.parent.mkdir()
    for file in [*tmp_path.rglob("*.json"), *tmp_path.rglob("*.csv"), *tmp_path.rglob("*.txt")]:
        file.write_text(file.read_text("utf-8"), encoding="utf-16")
    truth = posed_truth() if name == "bop" else TRUTH
    with pytest.raises(ContractError, match="it is UTF-16"):
        load(path, truth=lambda: truth)
    lines = repair(path, out, lambda: truth)
    assert any("written as UTF-8: it is UTF-16" in line for line in lines)
    raw = load(out, truth=lambda: truth)
    assert raw.scores.tolist() == [s for _, _, s, _ in ROWS]
    if name != "bop":
        assert rows_of(raw) == EXPECTED


def test_a_second_column_that_must_be_the_confidence_is_said_with_what_reads_it(tmp_path: Path) -> None:
    rows = [(0.98, 0.3, 0.4, 0.2, 0.1), (0.9, 0.85, 0.5, 0.25, 0.9)]
    save(tmp_path / "p" / "a.txt", "\n".join(f"0 {' '.join(map(str, row))}" for row in rows))
    with pytest.warns(AnydetWarning, match="2 of 2, and none .* --from yolo-confidence-second"):
        load(tmp_path / "p", truth=lambda: TRUTH)
    out = tmp_path / "out.jsonl"
    convert(tmp_path / "p", out, made_of="yolo-confidence-second", truth=TRUTH)
    assert load(out).scores.tolist() == [0.98, 0.9]
    save(tmp_path / "p" / "a.txt", "0 0.98 0.3 0.4 0.2 0.1\n0 0.3 0.4 0.2 0.1 0.9\n0 0.9 0.5 0.5 0.5 0.2\n")
    save(
        tmp_path / "p" / "b.txt", "0 0.5 0.5 0.9 0.9 0.3\n" * 9
    )  # few are outside: a detector that clips none
    assert len(load(tmp_path / "p", truth=lambda: TRUTH)) == 12


@pytest.mark.filterwarnings("ignore:.*category_id holds names of classes")
def test_names_of_classes_in_another_case_are_the_data_sets_with_a_warning(tmp_path: Path) -> None:
    table = save(tmp_path / "p.csv", "image,label,conf,x1,y1,x2,y2\na.jpg, Cat,0.5,1,2,3,4\n")
    document = save(
        tmp_path / "d.json",
        {
            "images": [{"id": 1, "file_name": "val/a.jpg"}],
            "categories": [{"id": 5, "name": "CAT"}],
            "annotations": [{"image_id": 1, "category_id": 5, "bbox": [1, 2, 2, 2], "score": 0.5}],
        },
    )
    results = save(
        tmp_path / "r.json", [{"image_id": 11, "category_id": "CAT", "bbox": [1, 2, 2, 2], "score": 0.5}]
    )
    for path in (table, document, results):
        with pytest.warns(AnydetWarning, match="names of classes .* whatever .* case .*: 1 "):
            assert rows_of(load(path, truth=lambda: TRUTH)) == [("val/a.jpg", "cat", 0.5, 1, 2, 2, 2)]
    twice = replace(TRUTH, classes=ClassTable(("cat", "Cat", "bird"), SOURCE_IDS))
    with pytest.raises(ContractError, match="'CAT' is not in the data set"):
        load(document, truth=lambda: twice)


def test_labels_without_confidences_and_images_of_another_set_are_named(tmp_path: Path) -> None:
    save(tmp_path / "a" / "a.txt", "0 0.5 0.5 0.1 0.1\n")
    with pytest.raises(ContractError, match=r"a\.txt:1: no confidence: predict with save_conf=True"):
        load(tmp_path / "a", truth=lambda: TRUTH)
    save(tmp_path / "b" / "other.txt", "0 0.5 0.5 0.1 0.1 0.9\n")
    with pytest.raises(ContractError, match="image 'other' is not in the data set"):
        load(tmp_path / "b", truth=lambda: TRUTH)
    with pytest.raises(ContractError, match="name images without their ending"):
        load(tmp_path / "b")
    save(tmp_path / "c" / "a.txt", "0 0.5 0.5 0.1 0.1 0.9\n")
    save(tmp_path / "c" / "predictions.json", [])
    with pytest.raises(ContractError, match="predictions in two forms"):
        load(tmp_path / "c", truth=lambda: TRUTH)


def test_a_line_of_yolo_is_a_box_a_track_a_polygon_or_a_pose(tmp_path: Path) -> None:
    lines = [
        "0 0.5 0.5 0.5 0.5 0.9",
        "1 0.5 0.5 0.5 0.5 0.8 17",
        "2 0.25 0.25 0.75 0.25 0.75 0.75 0.25 0.75 0.7",
    ]
    path = save(tmp_path / "a.txt", "\n".join(lines))
    raw = load(path, truth=lambda: TRUTH)
    assert raw.boxes.tolist() == [[0.5] * 4] * 3
    assert raw.scores.tolist() == [0.9, 0.8, 0.7]
    assert raw.detection_extra == (None, {"track_id": 17}, None)
    assert raw.masks is not None
    assert raw.masks[0] is None
    assert raw.masks[2] is not None
    assert masks.area(raw.masks[2]) == 32 * 16
    posed = replace(TRUTH, labels=replace(no_labels(), keypoints=np.zeros((0, 2, 3))))
    save(path, "0 0.5 0.5 0.5 0.5 0.25 0.5 0.9 0.75 0.5 0.3 0.6\n")
    raw = load(path, truth=lambda: posed)
    assert raw.keypoints is not None
    assert raw.keypoints.tolist() == [[[16.0, 16.0, 0.9], [48.0, 16.0, 0.3]]]


def test_results_of_dota_are_oriented_boxes_of_one_task(tmp_path: Path) -> None:
    raw = load(dota(tmp_path), truth=lambda: TRUTH)
    assert raw.keypoints is not None
    assert raw.keypoints[0, :, :2].tolist() == [[4, 8], [20, 8], [20, 16], [4, 16]]
    one = load(tmp_path / "Task1_cat.txt", truth=lambda: TRUTH)
    assert rows_of(one) == EXPECTED[:1]
    save(tmp_path / "Task1_dog.txt", "c 0.5 5 0 15 0 15 10 5\n\nnowhere 0.5 5 0 15 0 15 10 5 10\n")
    with pytest.raises(ContractError) as caught:
        load(tmp_path, truth=lambda: TRUTH)
    assert "Task1_dog.txt:1: a line is an image, a score and 8 numbers of a box" in str(caught.value)
    assert "nowhere" in str(caught.value)
    save(tmp_path / "Task2_dog.txt", "c 0.5 5 0 15 10\n")
    with pytest.raises(ContractError, match=r"files of Task1 .* and of Task2"):
        load(tmp_path, truth=lambda: TRUTH)
    upright = load(tmp_path / "Task2_dog.txt", truth=lambda: TRUTH)
    assert rows_of(upright) == [EXPECTED[2]]
    assert upright.keypoints is None


def test_polygons_of_four_are_oriented_boxes_where_the_data_set_has_such(tmp_path: Path) -> None:
    line = "2 0.25 0.25 0.75 0.25 0.75 0.75 0.25 0.75 0.7"
    path = save(tmp_path / "a.txt", f"{line}\n0 0.5 0.5 0.5 0.5 0.9\n")
    quad, triangle = ((0.0, 0.0, 9.0, 0.0, 9.0, 9.0, 0.0, 9.0),), ((0.0, 0.0, 9.0, 0.0, 9.0, 9.0),)
    labels = boxes_only(np.zeros(2, np.int64), np.zeros((2, 4)))
    for outlines, oriented in (((quad, quad), True), ((quad, triangle), False), ((quad, None), False)):
        truth = replace(
            TRUTH, image_index=np.zeros(2, np.int64), labels=replace(labels, segmentations=outlines)
        )
        raw = load(path, truth=lambda truth=truth: truth)
        assert (raw.keypoints is not None) is oriented
        if raw.keypoints is not None:
            assert raw.keypoints[0, :, :2].tolist() == [[16, 8], [48, 8], [48, 24], [16, 24]]
            assert np.isnan(raw.keypoints[1]).all()


def test_results_that_name_no_image_are_taken_in_order_or_refused(tmp_path: Path) -> None:
    results = [arrays(i, "boxes", lambda c: SOURCE_IDS[c]) for i in range(3)]
    raw = load(save(tmp_path / "r.json", results), truth=lambda: TRUTH)
    assert rows_of(raw) == EXPECTED
    assert any("taken in their order" in note for note in raw.notes)
    with pytest.raises(ContractError, match="2 results that do not say which images"):
        load(save(tmp_path / "r.json", results[:2]), truth=lambda: TRUTH)


def test_labels_of_a_model_are_category_ids_unless_only_positions_fit(tmp_path: Path) -> None:
    positions = {key: arrays(i, "boxes", lambda c: c) for i, key in enumerate(KEYS)}
    raw = load(save(tmp_path / "r.json", positions), truth=lambda: TRUTH)
    assert rows_of(raw) == EXPECTED
    assert any("positions among the 3 classes" in note for note in raw.notes)
    positions[KEYS[0]]["labels"] = [1, 8]
    with pytest.raises(ContractError, match=r"val/a.jpg\[1\]: class 8 is not in the data set"):
        load(save(tmp_path / "r.json", positions), truth=lambda: TRUTH)


@pytest.mark.parametrize(
    "value",
    [
        {"images": [], "annotations": []},
        {"labels": [], "scores": [], "bboxes": []},
        {"predictions": [], "image": {"width": 64, "height": 32}},
    ],
)
def test_an_empty_document_of_another_tool_is_no_map_of_images(value: Any, tmp_path: Path) -> None:
    raw = load(save(tmp_path / "a.json", value), truth=lambda: TRUTH)
    assert len(raw) == 0
    assert set(raw.images) <= {"val/a.jpg"}


def test_a_document_without_scores_is_labels(tmp_path: Path) -> None:
    path = coco_document(tmp_path)
    document = json.loads(path.read_text())
    for annotation in document["annotations"]:
        del annotation["score"]
    with pytest.raises(ContractError, match="have no score: labels, not predictions"):
        load(save(path, document), truth=lambda: TRUTH)
    document["annotations"][1]["score"] = 0.5
    with pytest.raises(ContractError, match=r"annotations\[0\]: .*missing required field `score`"):
        load(save(path, document), truth=lambda: TRUTH)


def test_images_of_one_file_name_are_those_of_the_same_id_and_else_named_and_dropped(
    tmp_path: Path,
) -> None:
    twins = replace(TRUTH, images=("a.jpg", "b.jpg", twin_key("a.jpg", 13)))
    images = [{"id": 13, "file_name": "a.jpg"}, {"id": 11, "file_name": "a.jpg"}]
    rows = [
        {"image_id": one, "category_id": 1, "bbox": [1, 2, 3, 4], "score": score}
        for one, score in ((13, 0.25), (11, 0.75))
    ]
    document = {"images": images, "annotations": rows, "categories": [{"id": 1, "name": "cat"}]}
    path, out = save(tmp_path / "d.json", document), tmp_path / "out.json"
    raw = load(path, truth=lambda: twins)
    assert [raw.images[i] for i in raw.image_index] == ["a.jpg (image 13)", "a.jpg"]
    assert raw.scores.tolist() == [0.25, 0.75]
    # A stem means the first of them.
    stems = save(tmp_path / "r.json", [{**row, "image_id": "a"} for row in rows])
    with pytest.warns(AnydetWarning, match="without its suffix"):
        assert load(stems, truth=lambda: twins).images == ("a.jpg",)
    once = replace(TRUTH, images=("a.jpg", "b.jpg", "c.jpg"))
    with pytest.raises(
        ContractError, match=r"images\[1\]: id 11 is image 'a\.jpg', as images\[0\] is"
    ) as caught:
        load(path, truth=lambda: once)
    assert "--repair" in caught.value.fix
    assert [line.partition(": ")[2] for line in repair(path, out, lambda: once)] == [
        "images[1]: dropped: id 11 is image 'a.jpg', as images[0] is",
        "annotations[1]: dropped: image_id: 11 is none of its images",
    ]
    assert load(out, truth=lambda: once).scores.tolist() == [0.25]


def test_a_torchvision_list_with_image_ids_is_no_coco_results(tmp_path: Path) -> None:
    results = [{"image_id": 11 + i, **arrays(i, "boxes", lambda c: SOURCE_IDS[c])} for i in range(3)]
    path = save(tmp_path / "r.json", results)
    for scanner in (None, choose_engine(Plugins.from_env()).scanner):
        assert rows_of(load(path, scanner, lambda: TRUTH)) == EXPECTED


def test_a_name_that_may_be_two_images_is_refused(tmp_path: Path) -> None:
    truth = replace(TRUTH, images=("1.jpg", "2.jpg", "3.jpg"), image_ids=np.array([2, 3, 4]))
    # A label file is named after a file: its number is no id.
    save(tmp_path / "labels" / "2.txt", "0 0.5 0.5 0.1 0.1 0.9")
    assert load(tmp_path / "labels", truth=lambda: truth).images == ("2.jpg",)
    results = {"2": arrays(0, "boxes", lambda c: SOURCE_IDS[c])}
    with pytest.raises(ContractError, match=r"may be any of '2\.jpg', '1\.jpg'"):
        load(save(tmp_path / "r.json", results), truth=lambda: truth)


def _paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    members = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    return [at, *(path for key, one in members for path in _paths(one, (*at, key)))]


def _broken(value: Any, path: tuple[Any, ...], other: Any) -> Any:
    if not path:
        return other
    copy = value.copy()
    copy[path[0]] = _broken(value[path[0]], path[1:], other)
    return copy


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["x", "size", "id"]), inner),
    max_leaves=6,
)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::anydet.errors.AnydetWarning")
@pytest.mark.parametrize(
    "name", ["coco-document", "torchvision", "transformers", "mmdetection", "roboflow", "yolozu-masks"]
)
@given(data=st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_document_broken_anywhere_is_read_or_refused(name: str, tmp_path: Path, data: Any) -> None:
    path = WRITERS[name](tmp_path)
    path = path / sorted(p.name for p in path.iterdir())[0] if path.is_dir() else path
    value = json.loads(path.read_text())
    broken = save(path, _broken(value, data.draw(st.sampled_from(_paths(value))), data.draw(ODD)))
    for truth in (lambda: TRUTH, None):
        with suppress(AnydetError):
            load(broken, truth=truth).columns()
    with suppress(AnydetError):
        repair(broken, tmp_path / "out.json", lambda: TRUTH)
    save(path, value)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::anydet.errors.AnydetWarning")
@pytest.mark.parametrize("name", ["csv", "bop", "yolo"])
@given(data=st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_table_broken_anywhere_is_read_or_refused(name: str, tmp_path: Path, data: Any) -> None:
    path = WRITERS[name](tmp_path)
    path = path / "a.txt" if path.is_dir() else path
    text = path.read_text()
    start = data.draw(st.integers(0, len(text)))
    other = data.draw(st.sampled_from(["", "nan", "inf", "-1", "1e999", ",", "\n", '"', " ", "x", "\0", "é"]))
    broken = save(path, text[:start] + other + text[start + data.draw(st.integers(0, 3)) :])
    for truth in (posed_truth, lambda: TRUTH, None):
        with suppress(AnydetError):
            load(broken, truth=truth).columns()
    with suppress(AnydetError):
        repair(broken, tmp_path / "out.json", lambda: TRUTH)
    save(path, text)


def test_sizes_that_are_not_those_of_the_data_set_are_refused_alike(tmp_path: Path) -> None:
    """Boxes in the frame of a network's input, written beside its size."""
    row = {"x": 24, "y": 24, "width": 32, "height": 16, "confidence": 0.5, "class": "cat"}
    size = {"width": 128, "height": 64}
    path = save(tmp_path / "r.json", {"a.jpg": {"predictions": [row], "image": size}})
    entry = {"image": "val/a.jpg", "image_size": size, "detections": []}
    own = save(tmp_path / "own.json", [entry])
    out = tmp_path / "out.jsonl"
    for write in (
        lambda: repair(path, out, lambda: TRUTH),
        lambda: convert(path, out, truth=TRUTH),
        lambda: convert(own, out, truth=TRUTH),
    ):
        with pytest.raises(ContractError, match=r"128 x 64 where the data set says 64 x 32"):
            write()
    assert not out.exists()
    row["x"] = 12
    save(path, {"a.jpg": {"predictions": [row], "image": {"width": 64, "height": 32}}})
    assert convert(path, out, truth=TRUTH).detections == 1
