"""Files of any size that are not what they are taken for are refused by their beginning."""

from __future__ import annotations

import os
import resource
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.hints import OURS

from anydet.cli import main

SIZE = 1 << 36
"""Bytes of a file, nearly all of them in no block of the disk: more than any memory holds."""
SUFFIXES = ("json", "jsonl", "parquet", "yaml", "csv", "onnx", "env", "png", "pt")
LINES = (
    "benchmark --adapter onnxruntime --checkpoint zeros.onnx --dataset scenes",
    "benchmark --adapter toy --dataset scenes-of-zeros",
    "check-dataset zeros.json",
    "check-dataset zeros.yaml",
    "check-dataset scenes --predictions zeros.json",
    "check-dataset yolo-of-zeros",
    "continual zeros.yaml --adapter fasterrcnn_multitask --out new",
    "convert zeros.json out.jsonl",
    "convert zeros.jsonl out.json",
    "convert zeros.json out.json --from yolozu --dataset scenes",
    "convert zeros.json out --to coco",
    "dataset stats zeros.json",
    "dataset filter scenes --images zeros.csv --output new",
    "eval --dataset scenes --predictions zeros.json",
    "eval --dataset scenes --predictions zeros.jsonl",
    "eval --dataset scenes --predictions zeros.parquet",
    "eval --dataset scenes --predictions predictions.json --slices zeros.csv",
    "eval-coco --dataset zeros.json --predictions predictions.json",
    "eval-coco --dataset scenes --predictions zeros.json",
    "eval-coco --dataset coco-of-zeros --predictions predictions.json",
    "eval-panoptic --dataset zeros.json --predictions zeros.json",
    "export-predictions --adapter onnxruntime --checkpoint zeros.onnx --dataset scenes --output out.json",
    "predict zeros.png --adapter precomputed --option predictions=zeros.json",
    "export-predictions --adapter toy --dataset scenes-of-zeros --output out.json",
    "fasterrcnn-multitask prepare --env-file zeros.env",
    "fasterrcnn-multitask split zeros.json --out out",
    "plot-metrics zeros.jsonl --out out.png",
    "predict zeros.png --adapter toy",
    "prepare-coco-yolo --coco-root coco-of-zeros --split val --out out",
    "quantize --model zeros.onnx --dataset scenes --output out.onnx",
    "tensorrt build --onnx zeros.onnx --engine out.engine",
    "train zeros.yaml --adapter fasterrcnn_multitask --dataset scenes --run-id new",
    "train zeros.json --adapter fasterrcnn_multitask --dataset scenes --run-id new",
    "train --adapter fasterrcnn_multitask --checkpoint zeros.pt --dataset scenes --run-id new",
    "validate-predictions zeros.json",
    "validate-predictions zeros.jsonl",
    "validate-predictions zeros.parquet",
    "validate-predictions zeros.json --repair out.json",
    "browse zeros.json --dataset scenes --idle-minutes 0",
    "report zeros.json --dataset scenes --output out.html",
    "test zeros.yaml --adapter toy --dataset scenes --out new",
    "test standard --adapter precomputed --predictions zeros.json --dataset scenes --out new",
    "view zeros.json --dataset scenes",
)


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> Path:
    """Large files of zeros under all names, a data set and its predictions."""
    folder = tmp_path_factory.mktemp("given")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for line in (
            "synth --images 1 --out scenes",
            "synth --images 1 --out scenes-of-zeros",
            "export-predictions --adapter toy --dataset scenes --output predictions.json",
        ):
            assert CliRunner().invoke(main, line.split()).exit_code == 0
    (picture,) = folder.glob("scenes/images/*/*.png")
    for name in ("yolo-of-zeros/images/val", "yolo-of-zeros/labels/val", "coco-of-zeros/annotations"):
        (folder / name).mkdir(parents=True)
    (folder / "coco-of-zeros/val").mkdir()
    (folder / "yolo-of-zeros/images/val/a.png").write_bytes(picture.read_bytes())
    zeros = [folder / f"zeros.{suffix}" for suffix in SUFFIXES]
    zeros += [
        folder / "yolo-of-zeros/labels/val/a.txt",
        folder / "coco-of-zeros/annotations/instances_val.json",
        next(folder.glob("scenes-of-zeros/images/*/*.png")),
    ]
    try:
        for path in zeros:
            with path.open("wb") as file:
                os.truncate(file.fileno(), SIZE)
    except OSError as exc:
        pytest.skip(f"no files of {SIZE} bytes here: {exc}")
    return folder


@pytest.fixture
def little_memory():
    """What reads all of a file runs out of memory here instead of taking the machine's."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + (3 << 30), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.slow
@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("line", LINES)
def test_a_huge_file_of_zeros_is_refused_at_once(line, given, monkeypatch):
    monkeypatch.chdir(given)
    monkeypatch.setenv("ANYDET_PLUGINS", ",".join(OURS))
    done = CliRunner().invoke(main, shlex.split(line))
    assert isinstance(done.exception, SystemExit), repr(done.exception)
    assert done.exit_code == 1, done.output
    assert "Traceback" not in done.output
    assert len(done.output) < 5000
    assert "fix: " in done.output
