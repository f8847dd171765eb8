"""Escape sequences and marks of direction in names, keys and values never reach the terminal."""

from __future__ import annotations

import json
import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from PIL import Image
from tests.hints import OURS

from anydet.cli import main
from anydet.plugins.manager import Plugins
from anydet.text import LINE

TITLE = "\x1b]0;title\x07"
FORGED = "\nError: forged\n  fix: forged\nwarning: forged"
NAMES = [f"{TITLE}cat", "\x1b[2Jdog\x9b", "\u202egip$\\frac{$", f"line{FORGED}\tand\rreturn", "long" * 5000]
KEYS = [f"{TITLE}\x1b[2J.png", "\u202egnp.png", f"two{FORGED}.png"]
PATH = f"{TITLE}\x1b[2J\u202e{FORGED}"
LINES = (
    "adaptation show PATH",
    "adapters check PATH",
    "adapters new PATH",
    "adapters show PATH",
    "adaptivestream quick-test --device PATH",
    "check-dataset coco",
    "check-dataset coco --json",
    "check-dataset coco --predictions predictions.json",
    "check-dataset coco --predictions broken.json",
    "check-dataset broken-coco.json",
    "check-dataset broken-coco.json --repair out.json",
    "check-dataset yolo",
    "check-dataset PATH",
    "dataset stats coco",
    "dataset filter coco --classes PATH --output out",
    "dataset filter coco --empty drop --output out",
    "dataset merge coco coco --output out",
    "dataset merge coco yolo --prefixes a,b --output out",
    "dataset split coco --parts a=0.5,b=0.5 --stratify --output out",
    "compare predictions.json other.json --dataset coco",
    "compare predictions.json renamed.json --dataset coco",
    "continual config.yaml --adapter fasterrcnn_multitask --out out",
    "continual PATH --adapter fasterrcnn_multitask --dataset coco --out out",
    "convert predictions.json PATH.csv --dataset coco",
    "convert predictions.json PATH.jsonl --json",
    "convert coco PATH",
    "convert broken.json out.json",
    "corrupt --dataset coco --corruptions PATH --out out",
    "corrupt --dataset coco --corruptions contrast --severity 1 --out PATH",
    "diagnose config.yaml --adapter fasterrcnn_multitask --dataset coco",
    "eval --dataset coco --predictions predictions.json --rows 50 --plots plots",
    "eval --dataset coco --predictions predictions.json --json -",
    "eval --dataset coco --predictions predictions.json --explain",
    "eval --dataset coco --predictions predictions.json --slices slices.csv",
    "eval --dataset coco --predictions predictions.json --metrics PATH",
    "eval --dataset coco --predictions renamed.json",
    "eval --dataset coco --predictions lost.json",
    "eval-coco --dataset coco --predictions predictions.json --per-class --explain",
    "eval-coco --dataset coco --predictions predictions.json --json -",
    "eval-coco --dataset coco --predictions renamed.json",
    "eval-coco --dataset coco --predictions predictions.json --engine PATH",
    "eval-coco --dataset coco --predictions predictions.json --log-with PATH",
    "eval-panoptic --dataset coco --predictions predictions.json",
    "eval-panoptic --dataset PATH --predictions predictions.json",
    "export-onnx --adapter adaptivestream --checkpoint PATH --output model.onnx",
    "export-onnx --adapter adaptivestream --option image_size=32 --output PATH.onnx",
    "export-onnx --adapter PATH --output model.onnx",
    "export-predictions --adapter precomputed --option predictions=other.json --dataset coco --output o.json",
    "export-predictions --adapter precomputed --option predictions=lost.json --dataset coco --output o.json",
    "export-predictions --adapter toy --dataset coco --output PATH.json",
    "export-predictions --adapter toy --dataset yolo --output o.json --on-error skip",
    "fasterrcnn-multitask split coco/annotations/instances_val.json --out out",
    "fuse predictions.json other.json --missing empty --output PATH.json",
    "fuse predictions.json renamed.json --output out.json",
    "fuse predictions.json lost.json --dataset coco --output out.json",
    "benchmark --adapter toy --dataset coco --rounds 1 --json PATH",
    "benchmark --adapter toy --dataset coco --rounds 1 --plot PATH.png",
    "benchmark --adapter PATH --dataset coco",
    "benchmark --adapter toy --checkpoint PATH --dataset coco --rounds 1",
    "parity predictions.json other.json --dataset coco --output-dir PATH",
    "parity predictions.json renamed.json --json -",
    "parity predictions.json lost.json",
    "parity PATH predictions.json",
    "plot-metrics train_metrics.jsonl --out PATH.png",
    "plot-metrics train_metrics.jsonl --json",
    "plugins check PATH",
    "predict coco/images/val --adapter precomputed --option predictions=predictions.json",
    "predict coco/images/val --adapter precomputed --option predictions=predictions.json --json",
    "predict coco/images/val --adapter toy --save-overlays PATH",
    "predict PATH --adapter toy",
    "prepare-coco-yolo --coco-root coco --split val --out PATH",
    "quantize --model PATH --dataset coco --output out.onnx",
    "quantize --model model.onnx --dataset coco --output PATH.onnx",
    "synth --images 1 --out PATH",
    "report predictions.json --dataset coco --resamples 2 --output PATH.html",
    "report predictions.json other.json --dataset coco --resamples 2 --output out.html --json -",
    "browse predictions.json other.json --dataset coco --resamples 2 --idle-minutes 0",
    "browse predictions.json --dataset coco --resamples 2 --idle-minutes 0 --json -",
    "browse lost.json --dataset coco --idle-minutes 0",
    "browse predictions.json --dataset PATH --idle-minutes 0",
    "report lost.json --dataset coco --output out.html",
    "report predictions.json --dataset PATH --output out.html",
    "synth --scene PATH --out out",
    "tensorrt build --onnx PATH --engine out.engine",
    "tensorrt pipeline --onnx PATH --dataset coco --out out",
    "train config.yaml --adapter fasterrcnn_multitask --dataset coco --run-id new",
    "transformers save PATH --out out",
    "ttt-compare config.yaml --out out",
    "ttt-statistics --adapter PATH --dataset coco --output out.npz",
    "eval-suite renamed.json --protocol yolo-640 --dataset coco --allow PATH",
    "eval-suite predictions.json --protocol PATH --dataset coco",
    "eval-suite predictions.json --protocol config.yaml --dataset coco",
    "test PATH --adapter toy --dataset coco --out out",
    "test config.yaml --adapter toy --dataset coco --out out",
    "ttt-statistics --adapter toy --dataset coco --output PATH.npz",
    "validate-predictions predictions.json --dataset coco",
    "validate-predictions broken.json",
    "validate-predictions broken.json --json",
    "validate-predictions broken.json --repair out.json",
    "validate-predictions renamed.json --dataset coco",
    "validate-predictions lost.json --dataset coco",
    "view predictions.json --dataset coco --out PATH",
    "view predictions.json --dataset coco --json",
    "view lost.json --dataset coco",
    "PATH",
    "--PATH",
)
SUCCEED = (
    "--plots",
    "--per-class",
    "--save-overlays",
    "view predictions.json",
    "--rows",
    "convert predictions.json",
)
"""What must not fail for a name that is odd."""
LEFT_OUT = {"demo": "prints what it makes itself", "doctor": "prints what is installed"}


def detection(class_id: int, score: float, x: float) -> dict[str, object]:
    return {"class_id": class_id, "score": score, "bbox": {"cx": x, "cy": 0.5, "w": 0.2, "h": 0.3}}


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> Path:
    """Data sets and predictions, valid and broken, with hostile names and keys."""
    folder = tmp_path_factory.mktemp("given")
    pictures, annotations = folder / "coco/images/val", folder / "coco/annotations"
    for made in (pictures, annotations, folder / "yolo/images/val", folder / "yolo/labels/val"):
        made.mkdir(parents=True)
    for key in KEYS:
        Image.new("RGB", (64, 48), (90, 90, 90)).save(pictures / key)
        Image.new("RGB", (64, 48)).save(folder / "yolo/images/val" / key)
        (folder / "yolo/labels/val" / key).with_suffix(".txt").write_text(f"{TITLE} 0.5 0.5 0.1 0.1\n")
    (folder / "yolo/images/val/torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "yolo/data.yaml").write_text(f"path: .\nval: images/val\nnames: {json.dumps(NAMES)}\n")
    images = [{"id": i, "file_name": key, "width": 64, "height": 48} for i, key in enumerate(KEYS, 1)]
    boxes = [
        {"id": 10 * i + c, "image_id": i, "category_id": c + 1, "bbox": [12 * c, 16, 12, 14], "area": 168}
        for i in (1, 2, 3)
        for c in range(len(NAMES))
    ]
    truth = {
        "images": images,
        "annotations": [{**box, "iscrowd": 0} for box in boxes],
        "categories": [{"id": c, "name": name} for c, name in enumerate(NAMES, 1)],
    }
    lost = {
        **truth,
        "images": [*images, images[0]],
        "annotations": [{**boxes[0], "image_id": f"{TITLE}{FORGED}"}],
    }
    entries = [
        {"image": key, "detections": [detection(c, 0.9 - 0.1 * c, 0.1 + 0.19 * c) for c in range(len(NAMES))]}
        for key in KEYS
    ]
    bad = [{**detection(0, 2, 0.5), f"{TITLE}{FORGED}": 1}, {**detection(1, 0.5, 0.5), "bbox": TITLE}]
    written = {
        "coco/annotations/instances_val.json": truth,
        "broken-coco.json": lost,
        "predictions.json": {"schema_version": 1, "predictions": entries, "meta": {"classes": NAMES}},
        "other.json": {"schema_version": 1, "predictions": entries[:2], "meta": {"classes": NAMES}},
        "renamed.json": {
            "schema_version": 1,
            "predictions": entries,
            "meta": {"classes": [f"{name}\x1b" for name in NAMES], "states": [f"{TITLE}{FORGED}"]},
        },
        "lost.json": [{**entry, "image": f"\x1b{entry['image']}"} for entry in entries],
        "broken.json": [{"image": KEYS[0], "detections": bad, TITLE: 1}, {"image": KEYS[0], "detections": 1}],
    }
    for name, content in written.items():
        (folder / name).write_text(json.dumps(content))
    (folder / "slices.csv").write_text(f"image,slice\n{KEYS[0]},{TITLE}\n")
    (folder / "config.yaml").write_text(f"{json.dumps(TITLE)}: 1\n")
    (folder / "train_metrics.jsonl").write_text(json.dumps({"step": 1, "train_loss": 2.0, TITLE: 1.0}) + "\n")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("line", LINES)
def test_nothing_that_a_terminal_obeys_is_printed(line, given, tmp_path, monkeypatch):
    monkeypatch.chdir(given)
    monkeypatch.setenv("ANYDET_PLUGINS", ",".join(OURS))
    before = set(given.rglob("*"))
    done = CliRunner().invoke(main, [word.replace("PATH", PATH) for word in line.split(" ")])
    for made in sorted(set(given.rglob("*")) - before, reverse=True):
        made.rmdir() if made.is_dir() and not made.is_symlink() else made.unlink()
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert "Traceback" not in done.output
    if any(part in line for part in SUCCEED):
        assert done.exit_code == 0, done.output
    printed = done.stdout + done.stderr
    assert printed
    assert printed.replace("\n", "").isprintable(), printed
    assert not re.search(r"^\W*(Error|fix|warning): forged", printed, re.MULTILINE), printed
    if "--json" not in line:
        assert max(map(len, printed.splitlines())) <= 2 * LINE


def test_every_command_is_walked():
    ctx = click.Context(main, info_name="anydet", obj=Plugins(only=OURS))
    walked = {line.split(" ")[0] for line in LINES}
    assert walked - {"PATH", "--PATH"} | LEFT_OUT.keys() == set(main.list_commands(ctx))
