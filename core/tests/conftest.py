"""COCO problems as dictionaries and as columns, scenes in folders, and an adapter that records its runs."""

from __future__ import annotations

import json
import shutil
import sys
import types
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.data.writing.coco import write_coco
from anydet.data.writing.yolo import write_yolo
from anydet.doctor import survey
from anydet.geometry import masks
from anydet.plugins import Adapter, AdapterSpec, hookimpl
from anydet.plugins.adapter import TrainResult
from anydet.plugins.manager import Plugins
from anydet.types import RLE, ClassTable, DetectionColumns, Federation, GroundTruthColumns, Labels

Problem = tuple[dict[str, Any], list[dict[str, Any]]]
SIDE = 64
KEYPOINTS = 3


def columns_of(problem: Problem) -> tuple[DetectionColumns, GroundTruthColumns]:
    """The same problem as columns; classes and images in the order of the dictionaries."""
    truth, results = problem
    images = {image["id"]: i for i, image in enumerate(truth["images"])}
    classes = {category["id"]: i for i, category in enumerate(truth["categories"])}
    keys = tuple(image["file_name"] for image in truth["images"])
    sizes = np.array([[m["width"], m["height"]] for m in truth["images"]], np.int64).reshape(-1, 2)
    rows = truth["annotations"]
    labels = Labels(
        class_ids=_integers(classes[row["category_id"]] for row in rows),
        boxes_xywh_px=_floats((row["bbox"] for row in rows), (-1, 4)),
        areas=_floats((row["area"] for row in rows), (-1,)),
        iscrowd=_integers(row["iscrowd"] for row in rows).astype(np.bool_),
        segmentations=tuple(_segmentation(r["segmentation"], r["image_id"], truth) for r in rows)
        if all("segmentation" in row for row in rows)
        else None,
        keypoints=_keypoints(rows),
        annotation_ids=_integers(row["id"] for row in rows),
    )
    frequencies = tuple(c["frequency"] for c in truth["categories"] if "frequency" in c)
    table = ClassTable(tuple(c["name"] for c in truth["categories"]), tuple(classes), frequencies)
    ground_truth = GroundTruthColumns(
        keys,
        sizes,
        _integers(images[row["image_id"]] for row in rows),
        labels,
        table,
        "test",
        _integers(images),
        _federation(truth, classes) if frequencies else None,
    )
    boxes = _floats((row.get("bbox", [0, 0, 0, 0]) for row in results), (-1, 4))
    detections = DetectionColumns(
        keys,
        sizes,
        _integers(images[row["image_id"]] for row in results),
        _integers(classes[row["category_id"]] for row in results),
        boxes,
        _floats((row["score"] for row in results), (-1,)),
        boxes[:, 2] * boxes[:, 3],
        masks=tuple(_segmentation(row["segmentation"], row["image_id"], truth) for row in results)
        if all("segmentation" in row for row in results)
        else None,
        keypoints=_keypoints(results),
    )
    return detections, ground_truth


def _federation(truth: dict[str, Any], classes: dict[int, int]) -> Federation:
    fields = ("neg_category_ids", "not_exhaustive_category_ids")
    pairs = [
        _integers(
            number for i, m in enumerate(truth["images"]) for c in m[field] for number in (i, classes[c])
        ).reshape(-1, 2)
        for field in fields
    ]
    return Federation(*pairs)


def _integers(values: Any) -> Any:
    return np.array(list(values), np.int64)


def _floats(values: Any, shape: Any) -> Any:
    return np.array(list(values), np.float64).reshape(shape)


def _keypoints(rows: list[dict[str, Any]]) -> Any:
    if not all("keypoints" in row for row in rows) or not rows:
        return None
    return _floats((row["keypoints"] for row in rows), (len(rows), -1, 3))


def _segmentation(segmentation: Any, image_id: int, truth: dict[str, Any]) -> Any:
    if isinstance(segmentation, list):
        return tuple(tuple(map(float, ring)) for ring in segmentation)
    size = tuple(segmentation["size"])
    if isinstance(segmentation["counts"], list):
        return masks.from_uncompressed(segmentation["counts"], size)
    counts = segmentation["counts"]
    return RLE(size, counts if isinstance(counts, str) else counts.decode())


@st.composite
def problems(draw: Any, iou_type: str = "bbox") -> Problem:
    """Small problems with crowds, ties, empty boxes, areas on the borders, unused classes and images."""
    number = st.integers(0, SIDE // 2)
    image_ids = draw(st.lists(st.integers(0, 9), max_size=4, unique=True))
    class_ids = draw(st.lists(st.integers(0, 9), max_size=3, unique=True))
    truth: dict[str, Any] = {
        "images": [{"id": i, "file_name": f"{i}.jpg", "width": SIDE, "height": SIDE} for i in image_ids],
        "categories": [{"id": i, "name": f"class{i}"} for i in sorted(class_ids)],
        "annotations": [],
    }
    if not image_ids or not class_ids:
        return truth, []
    things = st.fixed_dictionaries(
        {
            "image_id": st.sampled_from(image_ids),
            "category_id": st.sampled_from(class_ids),
            "bbox": st.tuples(number, number, number, number).map(list),
        }
    )
    found = draw(st.lists(things, max_size=12))
    near = st.tuples(st.sampled_from(found or [None]), st.integers(0, 3))
    targets = draw(st.lists(st.one_of(things, near.map(_shifted)) if found else things, max_size=8))
    for row in found:
        row["score"] = draw(st.sampled_from([0.0, 0.25, 0.5, 0.5000001, 1.0]))
        _shape(draw, row, iou_type, truth=False)
    for i, target in enumerate(targets, start=1):
        area = draw(st.sampled_from([0.0, 5.0, 1023.5, 1024.0, 9216.0, 9216.5, None]))
        row = {**target, "id": i, "area": target["bbox"][2] * target["bbox"][3] if area is None else area}
        row["iscrowd"] = draw(st.sampled_from([0, 0, 0, 1]))
        _shape(draw, row, iou_type, truth=True)
        truth["annotations"].append(row)
    return truth, found


def _shifted(pair: tuple[dict[str, Any], int]) -> dict[str, Any]:
    """A target near a detection, so that IoU thresholds matter."""
    row, shift = pair
    return {**row, "bbox": [row["bbox"][0] + shift, *row["bbox"][1:]]}


def _shape(draw: Any, row: dict[str, Any], iou_type: str, *, truth: bool) -> None:
    """Give a row the mask or the keypoints that go with its box."""
    x, y, w, h = row["bbox"]
    if iou_type == "segm":
        mask = np.zeros((SIDE, SIDE), np.bool_)
        mask[y : y + h, x : x + w] = True
        row["segmentation"] = masks.to_coco(masks.encode(mask))
        if truth and draw(st.booleans()):
            row["segmentation"] = [[x, y, x + w, y, x + w, y + h, x, y + h]]
        if not truth:
            del row["bbox"]  # with it, loadRes would take the box's area for the mask's
    if iou_type == "keypoints":
        visible = [draw(st.sampled_from([0, 1, 2])) for _ in range(KEYPOINTS)]
        row["keypoints"] = [v for k in range(KEYPOINTS) for v in (x + k * w // 2, y + k, visible[k])]
        if truth:
            row["num_keypoints"] = sum(v > 0 for v in visible)


@pytest.fixture(scope="session")
def columns() -> Callable[[Problem], tuple[DetectionColumns, GroundTruthColumns]]:
    """``columns_of``."""
    return columns_of


@pytest.fixture(scope="session")
def random_problems() -> Callable[[str], st.SearchStrategy[Problem]]:
    """``problems``, to draw from with ``st.data()``."""
    return problems


@pytest.fixture(scope="session")
def read_problem(shared_data: Path) -> Callable[[str], tuple[Problem, Path, Path]]:
    """The real COCO result files: dictionaries, and the paths of ground truth and results."""
    folder = shared_data / "coco_results"
    instances = "val2014_100/instances_val2014"
    files = {
        "bbox": (f"{instances}_100.json", f"{instances}_fakebbox100_results.json"),
        "segm": (f"{instances}_100.json", f"{instances}_fakesegm100_results.json"),
        "keypoints": ("keypoints/gt_dataset.json", "keypoints/dt_dataset.json"),
    }

    def read(iou_type: str) -> tuple[Problem, Path, Path]:
        truth, results = (folder / name for name in files[iou_type])
        return (json.loads(truth.read_text()), json.loads(results.read_text())), truth, results

    return read


def make_crowd(images: int = 8, seed: int = 0) -> Problem:
    """COCO dictionaries: boxes near annotations and elsewhere, equal scores, crowds, an empty image."""
    rng = np.random.default_rng(seed)
    annotations, results = [], []
    for image in range(1, images + 1):
        for _ in range(6):
            x, y, w, h = (int(n) for n in rng.integers((0, 0, 10, 10), (70, 70, 30, 30)))
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": int(rng.integers(1, 4)),
                    "bbox": [x, y, w, h],
                    "area": w * h,
                    "iscrowd": int(rng.random() < 0.1),
                    "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]],
                }
            )
            for near in rng.random(rng.choice([0, 4])) < 0.6:
                shift = rng.integers(-6, 7, 2) if near else rng.integers(-40, 40, 2)
                same = rng.random() < 0.7
                results.append(
                    {
                        "image_id": image,
                        "category_id": annotations[-1]["category_id"] if same else int(rng.integers(1, 4)),
                        "bbox": [x + int(shift[0]), y + int(shift[1]), w, h],
                        "score": round(float(rng.beta(4, 2) if near and same else rng.beta(2, 4)), 2),
                    }
                )
    empty = {row["image_id"] for row in results} - {1}
    annotations = [row for row in annotations if row["image_id"] != max(empty)]
    truth = {
        "images": [
            {"id": i, "file_name": f"{i}.jpg", "width": 100, "height": 100} for i in range(1, images + 1)
        ],
        "categories": [{"id": i, "name": f"class{i}"} for i in range(1, 4)],
        "annotations": annotations,
    }
    return truth, results


@pytest.fixture(scope="session")
def crowd() -> Callable[..., Problem]:
    """``make_crowd``."""
    return make_crowd


@pytest.fixture(scope="session")
def scene_folders(tmp_path_factory):
    """Six scenes of 160x120 as COCO and as YOLO."""
    root, dataset = tmp_path_factory.mktemp("scenes"), SyntheticDataset(6, 3, (160, 120))
    write_coco(dataset, root / "coco", "val")
    write_yolo(dataset, root / "yolo", "val")
    return root


@pytest.fixture
def altered_coco(scene_folders, tmp_path):
    """A copy of the COCO scenes to break: ``altered_coco(change)`` changes its annotations."""
    root = tmp_path / "coco"
    shutil.copytree(scene_folders / "coco", root)
    file = root / "annotations" / "instances_val.json"

    def change(edit):
        content = json.loads(file.read_text())
        edit(content)
        file.write_text(json.dumps(content))
        return root

    return change


@pytest.fixture
def few_packages(monkeypatch):
    """Without the heavy extras, whose import takes seconds."""
    lines = ["numpy>=1.26", "a-package-nobody-has>=1; extra == 'plot'"]
    monkeypatch.setattr(survey, "requires", lambda _name: lines)


RECORDER_TRAINING = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "lr": {"default": 0.5},
        "width": {"type": "integer", "default": 8, "description": "Channels."},
        "norm": {"type": "boolean", "default": True, "description": "Normalize."},
    },
}


RECORDER_OPTIONS = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"size": {"type": "integer", "default": 64, "description": "Side."}},
}


class Recorder(Adapter):
    """Learns nothing, but keeps what it was asked for and leaves a checkpoint, as a run does."""

    runs: list = []  # noqa: RUF012  (emptied by the fixture)

    def predict(self, records):
        raise AssertionError("nobody predicts here")

    def train(self, run):
        sys.stdout.write("chatter\n")
        Recorder.runs.append((self.settings, run))
        for path in (run.paths.last, run.paths.best, run.paths.train_metrics):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("x")
        return TrainResult(str(run.paths.best), {"AP": 0.5, "APl": float("nan")})


@pytest.fixture
def recorder_plugins(tmp_path, monkeypatch):
    """An adapter called recorder, and one that cannot be trained."""
    package = tmp_path / "recorder_schemas"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "training.json").write_text(json.dumps(RECORDER_TRAINING))
    (package / "options.json").write_text(json.dumps(RECORDER_OPTIONS))
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("recorder_plugin", "recorder_schemas"):
        sys.modules.pop(name, None)
    module = types.ModuleType("recorder_plugin")
    specs = (
        AdapterSpec(
            "recorder",
            "recorder_plugin:Recorder",
            "keeps what it is asked",
            capabilities=("predict", "train"),
            training_schema="recorder_schemas:training.json",
            options_schema="recorder_schemas:options.json",
        ),
        AdapterSpec("idle", "recorder_plugin:Recorder", "learns nothing"),
    )
    module.Recorder = Recorder
    module.PLUGIN_API = 2
    module.register_adapters = hookimpl(lambda register: [register(spec) for spec in specs] and None)
    monkeypatch.setitem(sys.modules, "recorder_plugin", module)
    monkeypatch.chdir(tmp_path)
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    Recorder.runs = []
    return Plugins([EntryPoint("recorder", "recorder_plugin", "anydet")])


@pytest.fixture(scope="session")
def split_scenes(tmp_path_factory):
    """A YOLO folder with the splits train (4 images), val (2) and test (1)."""
    root = tmp_path_factory.mktemp("data") / "scenes"
    for split, images in (("train", 4), ("val", 2), ("test", 1)):
        part = root.with_name(split)
        write_yolo(SyntheticDataset(images, images, (64, 64), split), part, split)
        for kind in ("images", "labels"):
            (root / kind).mkdir(parents=True, exist_ok=True)
            (part / kind / split).rename(root / kind / split)
    return root


@pytest.fixture
def recorder() -> type[Recorder]:
    """``Recorder``, the adapter of ``recorder_plugins``."""
    return Recorder
