"""Whatever number of things is wrong, messages are short and the work grows no faster than the file."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from PIL import Image
from tests.hints import OURS

from anydet.cli import main
from anydet.errors import did_you_mean
from anydet.text import LINE, LINES

MANY = 1200
"""More than are explained one by one."""
BOX = {"cx": 0.5, "cy": 0.5, "w": 0.2, "h": 0.2}


def detection(**others: Any) -> dict[str, Any]:
    return {"class_id": 0, "score": 0.5, "bbox": BOX, **others}


def entry(image: str = "1.jpg", *detections: dict[str, Any], **others: Any) -> dict[str, Any]:
    return {"image": image, "detections": list(detections) or [detection()], **others}


def wrapped(*entries: dict[str, Any], **meta: Any) -> dict[str, Any]:
    return {"schema_version": 1, "predictions": list(entries), "meta": meta}


def coco(images: int = 3, names: tuple[str, ...] = ("thing",), **others: Any) -> dict[str, Any]:
    return {
        "images": [
            {"id": i, "file_name": f"{i}.jpg", "width": 64, "height": 48} for i in range(1, images + 1)
        ],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 1, "bbox": [4, 5, 20, 10], "area": 200, "iscrowd": 0}
            for i in range(1, images + 1)
        ],
        "categories": [{"id": i, "name": name} for i, name in enumerate(names, 1)],
        **others,
    }


def names(count: int, begin: str = "class") -> tuple[str, ...]:
    return tuple(f"{begin}{i}" for i in range(count))


def keys(count: int, begin: str = "scoer") -> dict[str, int]:
    return dict.fromkeys(names(count, begin), 1)


PREDICTIONS: dict[str, Callable[[int], Any]] = {
    "a long key": lambda n: [entry("k" * 1000 * n)],
    "a long key of a map": lambda n: {"k" * 1000 * n: [detection(score=2) for _ in range(n)]},
    "bad scores in one image": lambda n: [entry("1.jpg", *[detection(score=2)] * n)],
    "bad scores in many images": lambda n: [entry(f"{i}.jpg", detection(score=2)) for i in range(n)],
    "scores that are text": lambda n: [entry("1.jpg", *[detection(score="x" * 100)] * n)],
    "NaN": lambda n: [entry("1.jpg", *[detection(score=float("nan"))] * n)],
    "unknown keys of an image": lambda n: [entry(**keys(n))],
    "unknown keys of a detection": lambda n: [entry("1.jpg", detection(**keys(n)))],
    "unknown keys of a size": lambda n: [entry(image_size={"width": 4, "height": 4, **keys(n, "widht")})],
    "unknown keys of the file": lambda n: {**wrapped(entry()), **keys(n, "meat")},
    "unknown keys of meta": lambda n: wrapped(entry(), conventions=keys(n, "bbox_fromat")),
    "unknown images": lambda n: [entry(f"img{i}.jpg") for i in range(n)],
    "images that are all the first": lambda n: [entry(f"{i}/1.jpg") for i in range(n)],
    "an image many times": lambda n: [entry() for _ in range(n)],
    "boxes outside": lambda n: [entry("1.jpg", *[detection(bbox={**BOX, "cx": 5})] * n)],
    "unknown classes": lambda n: [entry("1.jpg", *[detection(class_id=i) for i in range(1, n)])],
    "class names": lambda n: wrapped(entry(), classes=names(n)),
    "a long class name": lambda n: wrapped(entry(), classes=["c" * 1000 * n]),
    "class names that are none": lambda n: wrapped(entry(), classes=[1] * n),
    "states": lambda n: wrapped(entry(), states=[1] * n),
}
REPAIRED = (
    "bad scores in one image",
    "unknown keys of a size",
    "unknown keys of meta",
    "an image many times",
)
TRUTH: dict[str, Callable[[int], Any]] = {
    "class names": lambda n: coco(3, names(n)),
    "long key and name": lambda n: {
        "images": [{"id": 1, "file_name": "k" * 1000 * n, "width": 64, "height": 48}],
        "annotations": [],
        "categories": [{"id": 1, "name": "c" * 1000 * n}],
    },
    "bad boxes": lambda n: coco(
        annotations=[{"id": i, "image_id": 1, "category_id": 1, "bbox": [0, 0, -1, 1]} for i in range(n)]
    ),
    "unknown ids": lambda n: coco(
        annotations=[
            {"id": i, "image_id": 7 + i, "category_id": 9 + i, "bbox": [0, 0, 1, 1]} for i in range(n)
        ]
    ),
    "one id": lambda n: coco(
        annotations=[{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1]} for _ in range(n)]
    ),
    "unknown keys": lambda n: {**coco(3), **keys(n)},
}
CASES = [
    *(
        (f"{line}: {name}", line, "bad.json", lambda n, make=make: json.dumps(make(n)))
        for name, make in PREDICTIONS.items()
        for line in (
            "validate-predictions bad.json --dataset truth.json",
            "eval-coco --dataset truth.json --predictions bad.json",
            *(["validate-predictions bad.json --repair out.json"] if name in REPAIRED else []),
        )
    ),
    *(
        (f"{line}: {name}", line, "bad.json", lambda n, make=make: json.dumps(make(n)))
        for name, make in TRUTH.items()
        for line in (
            "check-dataset bad.json --no-images",
            "eval-coco --dataset bad.json --predictions good.json",
        )
    ),
    *(
        (f"{line}: {path}", line, path, make)
        for line, path, make in (
            (
                "train bad.yaml --adapter fasterrcnn_multitask --dataset truth.json --run-id x",
                "bad.yaml",
                lambda n: "".join(f"epochz{i}: 1\n" for i in range(n)),
            ),
            (
                "train long.yaml --adapter fasterrcnn_multitask --dataset truth.json --run-id x",
                "long.yaml",
                lambda n: f"{'e' * 100 * n}: 1\n",
            ),
            (
                "check-dataset names.yaml --no-images",
                "names.yaml",
                lambda n: "path: .\nval: .\nnames:\n" + "".join(f"  {i}: 1\n" for i in range(n)),
            ),
            ("check-dataset yolo", "yolo/labels/val/a.txt", lambda n: "x 0.5 0.5 0.1 0.1\n" * n),
            ("check-dataset yolo ", "yolo/labels/val/a.txt", lambda n: f"0 {'9' * 1000 * n}\n"),
            ("check-dataset yolo  ", "yolo/labels/val/a.json", lambda n: json.dumps({"image_hw": "e" * n})),
            ("check-dataset yolo   ", "yolo/labels/val/a.json", lambda n: json.dumps({"image_hw": [1] * n})),
            (
                "eval --dataset truth.json --predictions good.json --slices s.csv",
                "s.csv",
                lambda n: "image,slice\n" + "".join(f"nowhere{i},x\n" for i in range(n)),
            ),
            (
                "eval --dataset truth.json --predictions good.json --slices l.csv",
                "l.csv",
                lambda n: f"image,slice\n{'k' * 1000 * n},x\n",
            ),
            (
                "view long.json --dataset truth.json",
                "long.json",
                lambda n: json.dumps([entry("k" * 1000 * n)]),
            ),
            (
                "plot-metrics m.jsonl --out m.png",
                "m.jsonl",
                lambda n: "".join(f'{{"step": "{i}"}}\n' for i in range(n)),
            ),
        )
    ),
]


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> Path:
    """Good ground truth and predictions."""
    folder = tmp_path_factory.mktemp("given")
    (folder / "truth.json").write_text(json.dumps(coco()))
    (folder / "good.json").write_text(
        json.dumps([entry(f"{i}.jpg", image_size={"width": 64, "height": 48}) for i in (1, 2, 3)])
    )
    for name in ("images", "labels"):
        (folder / "yolo" / name / "val").mkdir(parents=True)
    Image.new("RGB", (64, 48)).save(folder / "yolo/images/val/a.png")
    return folder


def calls(arguments: list[str]) -> tuple[int, Any]:
    """How many functions a command calls, and how it ended."""
    count = 0

    def counter(_frame, event, _argument):
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(counter)
    try:
        done = CliRunner().invoke(main, arguments)
    finally:
        sys.setprofile(None)
    return count, done


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "path", "make"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
@pytest.mark.filterwarnings("default::anydet.errors.AnydetWarning")
def test_messages_are_short_and_work_is_linear(line, path, make, given, monkeypatch):
    monkeypatch.chdir(given)
    monkeypatch.setenv("ANYDET_PLUGINS", ",".join(OURS))
    label = given / "yolo/labels/val/a.txt"
    label.write_text("0 0.5 0.5 0.1 0.1\n")
    (given / "yolo/labels/val/a.json").unlink(missing_ok=True)
    counts = []
    for many in (10, MANY, 2 * MANY):
        (given / path).write_text(make(many))
        count, done = calls(line.split())
        counts.append(count)
        assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
        assert "Traceback" not in done.output
        # Results are whole; what these commands find goes to stdout, too.
        finds = line.startswith(("validate-predictions", "check-dataset"))
        lines = (done.output if finds else done.stderr).splitlines()
        assert len(lines) <= 2 * LINES
        assert max(map(len, lines), default=0) <= 1.5 * LINE
    # The first run imports; what is left doubles with the file.
    _, once, twice = counts
    assert twice <= 2.3 * once, counts


@pytest.mark.slow
def test_names_are_compared_with_the_first_thousand_only():
    many = [f"{i:06}" for i in range(1_000_000)]
    assert did_you_mean("0000001", many)
    assert not did_you_mean("9999999", many)


def test_a_long_key_of_a_map_takes_no_memory_of_its_own(tmp_path):
    import tracemalloc

    from anydet.contract.reading.load import read

    path = tmp_path / "map.json"
    path.write_text(json.dumps({"k" * 2_000_000: [detection(score=2)] * 100}))
    read(path)
    tracemalloc.start()
    try:
        read(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20 * path.stat().st_size
