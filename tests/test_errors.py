"""Wrong input of every kind into every place that takes one: a message, a fix, an exit code, no traceback.

``DATASET`` and the like in a line stand for an argument of that kind, which is given everything it is not.
"""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from tests.hints import untrue_fixes
from tests.panoptic import write_panoptic

from anydet import errors
from anydet.cli import main
from anydet.plugins.manager import Plugins

ROOT = Path(__file__).parents[1]
OURS = ",".join(path.parent.name for path in sorted(ROOT.glob("plugins/*/pyproject.toml")))

LINES = (
    "adaptation show ADAPTER",
    "adapters check ADAPTER",
    "plugins check ADAPTER",
    "plugins check scale --option OPTION",
    "adapters show ADAPTER",
    "adapters new NAME",
    "adapters new my_detector --out NEW_FOLDER",
    "check-dataset DATASET",
    "check-dataset scenes --split SPLIT",
    "check-dataset scenes --predictions PREDICTIONS",
    "check-dataset scenes --repair out.json",
    "check-dataset scenes --repair OUTPUT.json",
    "compare PREDICTIONS predictions.json --dataset scenes",
    "compare predictions.json predictions.json --dataset DATASET",
    "continual CONFIG --adapter fasterrcnn_multitask --out NEW_FOLDER",
    "continual two-domains --adapter ADAPTER --dataset scenes --out learned",
    "continual two-domains --adapter fasterrcnn_multitask --dataset DATASET --out learned",
    "continual two-domains --adapter fasterrcnn_multitask --dataset scenes --split SPLIT --out learned",
    "continual two-domains --adapter fasterrcnn_multitask --dataset scenes --val-split SPLIT --out learned",
    "convert PREDICTIONS out.jsonl",
    "convert PREDICTIONS out.csv --dataset scenes",
    "convert predictions.json out.json --to coco --dataset DATASET",
    "convert predictions.json OUTPUT.jsonl",
    "convert DATASET out --to coco",
    "convert scenes NEW_FOLDER --to coco",
    "convert DATASET out --to voc",
    "convert scenes NEW_FOLDER --to yolo-seg",
    "convert PREDICTIONS out.json --from yolozu --dataset scenes",
    "corrupt --dataset DATASET --out out",
    "corrupt --dataset scenes --split SPLIT --out out",
    "dataset stats DATASET",
    "dataset stats scenes --split SPLIT",
    "dataset stats scenes --json OUTPUT.json",
    "dataset filter DATASET --images 0* --output out",
    "dataset filter scenes --images 0* --output NEW_FOLDER",
    "dataset merge scenes DATASET --output out",
    "dataset split DATASET --output out",
    "dataset sample scenes --images 1 --output NEW_FOLDER",
    "demo --images 1 --out FOLDER",
    "demo --images 1 --out OTHERS",
    "eval --dataset scenes --predictions PREDICTIONS",
    "eval --dataset DATASET --predictions predictions.json",
    "eval-coco --dataset scenes --predictions PREDICTIONS",
    "eval-coco --dataset DATASET --predictions predictions.json",
    "eval-coco --dataset scenes --split SPLIT --predictions predictions.json",
    "eval-coco --dataset scenes --predictions predictions.json --strict --class-map MAP",
    "eval-coco --dataset scenes --predictions predictions.json --engine ENGINE",
    "eval-coco --dataset scenes --predictions predictions.json --json OUTPUT.json",
    "eval-coco --dataset scenes --predictions predictions.json --iou-type obb",
    "eval-coco --dataset scenes --predictions predictions.json --log-with TRACKER",
    "eval-panoptic --dataset DATASET --predictions panoptic/found.json",
    "eval-panoptic --dataset panoptic --split SPLIT --predictions panoptic/found.json",
    "eval-panoptic --dataset panoptic --predictions PREDICTIONS",
    "eval-panoptic --dataset panoptic --predictions panoptic/found.json --segments empty",
    "eval-panoptic --dataset panoptic --predictions panoptic/found.json --json OUTPUT.json",
    "eval --dataset panoptic --predictions panoptic/found.json",
    "fuse PREDICTIONS predictions.json --output out.json",
    "fuse predictions.json predictions.json --output OUTPUT.json",
    "export-onnx --adapter ADAPTER --output out.onnx",
    "export-onnx --adapter toy --output out.onnx",
    "export-onnx --adapter adaptivestream --option OPTION --output out.onnx",
    "export-onnx --adapter adaptivestream --checkpoint CHECKPOINT --output out.onnx",
    "export-onnx --adapter adaptivestream --output OUTPUT.onnx",
    "export-onnx --adapter adaptivestream --output OUTPUT",
    "export-onnx --adapter adaptivestream --opset 9 --output out.onnx",
    "export-onnx --adapter adaptivestream --config base --output out.onnx",
    "export-predictions --adapter ADAPTER --dataset scenes --output out.json",
    "export-predictions --adapter toy --dataset DATASET --output out.json",
    "export-predictions --adapter toy --dataset scenes --split SPLIT --output out.json",
    "export-predictions --adapter toy --dataset scenes --output OUTPUT.json",
    "export-predictions --adapter toy --dataset scenes --output out.json --option OPTION",
    "export-predictions --adapter toy --dataset scenes --output out.json --tta-views VIEW",
    "export-predictions --adapter toy --dataset scenes --output out.json --ttt",
    "export-predictions --adapter adaptivestream --dataset masks --output out.json --ttt-method align "
    "--ttt-source masks --ttt-source-split SPLIT",
    "export-predictions --adapter adaptivestream --dataset masks --output out.json --ttt-preset safe "
    "--ttt-update-filter FILTER",
    "ttt-compare CONFIG --out NEW_FOLDER",
    "ttt-compare SETTING --out compared",
    "ttt-statistics --adapter toy --dataset scenes --output out.npz",
    "ttt-statistics --adapter adaptivestream --dataset masks --output STATISTICS",
    "export-predictions --adapter toy --dataset scenes --output out.json --tta-views scale:0.5 "
    "--tta-option scale.factor=0.5 --tta-option TWICE",
    "ttt-statistics --adapter toy --dataset DATASET --output out.npz",
    "ttt-statistics --adapter ADAPTER --dataset scenes --output out.npz",
    "export-predictions --adapter toy --dataset scenes --output out.json --tta --tta-fusion FUSION",
    "export-predictions --adapter toy --dataset scenes --output out.json --tta --tta-option VIEWOPTION",
    "export-predictions --adapter toy --dataset scenes --output out.json --ttt-method METHOD",
    "fasterrcnn-multitask prepare --train-json DATASET --train-cleaned . --val-json empty.json "
    "--val-cleaned . --output-dir out",
    "fasterrcnn-multitask prepare --env-file CONFIG",
    "fasterrcnn-multitask split DATASET --out out",
    "fasterrcnn-multitask split bikes/all_annotations.json --out FOLDER",
    "eval-suite PREDICTIONS --protocol yolo-640 --dataset scenes --allow image_size --allow score_threshold "
    "--allow nms_iou --allow max_detections",
    "eval-suite predictions.json --protocol yolo-640 --dataset scenes",
    "eval-suite predictions.json --protocol yolo-640 --dataset scenes --allow NAME",
    "eval-suite predictions.json --protocol CONFIG --dataset scenes",
    "benchmark --adapter ADAPTER --dataset scenes",
    "benchmark --adapter toy --dataset DATASET",
    "benchmark --adapter toy --dataset scenes --split SPLIT",
    "benchmark --adapter toy --option OPTION --dataset scenes",
    "benchmark --adapter toy --dataset scenes --max-images 1 --rounds 1 --json OUTPUT.json",
    "benchmark --adapter toy --dataset scenes --max-images 1 --rounds 1 --plot OUTPUT.png",
    "benchmark --adapter onnxruntime --checkpoint CHECKPOINT --dataset scenes",
    "parity PREDICTIONS predictions.json",
    "parity predictions.json PREDICTIONS --dataset scenes",
    "parity predictions.json predictions.json --dataset DATASET",
    "parity predictions.json predictions.json --dataset scenes --split SPLIT",
    "parity predictions.json predictions.json --json OUTPUT.json",
    "parity predictions.json predictions.json --output-dir FOLDER",
    "plot-metrics RUNS --out out.png",
    "plot-metrics train_metrics.jsonl --out OUTPUT.png",
    "plot-metrics train_metrics.jsonl --out OUTPUT.gif",
    "plot-metrics train_metrics.jsonl --out out.png --metrics NUMBER",
    "predict picture.png --adapter precomputed --option predictions=PREDICTIONS",
    "export-predictions --adapter onnxruntime --checkpoint CHECKPOINT --dataset scenes --output out.json",
    "predict picture.png --adapter ADAPTER",
    "predict picture.png --adapter toy --option OPTION",
    "predict PICTURE --adapter toy",
    "predict picture.png --adapter toy --output OUTPUT.json",
    "predict picture.png --adapter toy --save-overlays FOLDER",
    "prepare-coco-yolo --coco-root DATASET --split val --out out",
    "prepare-coco-yolo --coco-root coco --split SPLIT --out out",
    "prepare-coco-yolo --coco-root coco --split val --out FOLDER",
    "quantize --model CHECKPOINT --dataset scenes --output out.onnx",
    "quantize --model m.onnx --dataset DATASET --output out.onnx",
    "quantize --model m.onnx --dataset scenes --split SPLIT --output out.onnx",
    "quantize --model m.onnx --dataset scenes --eval-dataset DATASET --output out.onnx",
    "quantize --model m.onnx --dataset scenes --output OUTPUT.onnx",
    "quantize --model m.onnx --dataset scenes --output out.json",
    "quantize --model m.onnx --dataset scenes --output out.onnx --option OPTION",
    "eval-coco --dataset scenes --predictions predictions.json --explain --reference PREDICTIONS",
    "synth --images 1 --out NEW_FOLDER",
    "test CONFIG --adapter toy --dataset scenes --out NEW_FOLDER",
    "test standard --adapter ADAPTER --dataset scenes --out scenarios",
    "test standard --adapter toy --dataset DATASET --out scenarios",
    "test standard --adapter toy --dataset scenes --split SPLIT --out scenarios",
    "test standard --adapter toy --option OPTION --dataset scenes --out scenarios",
    "test standard --adapter precomputed --predictions PREDICTIONS --dataset scenes --scenario clean "
    "--out scenarios",
    "test standard --adapter toy --dataset scenes --scenario clean --out FOLDER",
    "test standard --adapter toy --dataset scenes --scenario clean --out scenarios --json OUTPUT.json",
    "synth --scene bikes --images 1 --out FOLDER",
    "diagnose CONFIG --adapter fasterrcnn_multitask --dataset scenes",
    "diagnose --adapter ADAPTER --dataset scenes",
    "diagnose --adapter fasterrcnn_multitask --dataset DATASET",
    "diagnose --adapter toy --dataset scenes",
    "adaptivestream quick-test --seconds 1 --device nothing",
    "train CONFIG --adapter fasterrcnn_multitask --dataset scenes --run-id new",
    "train --adapter ADAPTER --dataset scenes --run-id new",
    "train --adapter fasterrcnn_multitask --dataset DATASET --run-id new",
    "train --adapter fasterrcnn_multitask --dataset scenes --split SPLIT --run-id new",
    "train --adapter fasterrcnn_multitask --dataset scenes --run-dir FOLDER",
    "tensorrt build --onnx CHECKPOINT --engine out.engine --library tensorrt-rtx",
    "tensorrt build --onnx m.onnx --engine out.engine --option OPTION",
    "tensorrt build --onnx m.onnx --engine OUTPUT.engine",
    "tensorrt build --onnx m.onnx --engine out.engine --calibration-dataset DATASET",
    "tensorrt pipeline --onnx CHECKPOINT --dataset scenes --out out --library tensorrt-rtx",
    "tensorrt pipeline --onnx m.onnx --dataset DATASET --out out",
    "tensorrt pipeline --onnx m.onnx --dataset scenes --split SPLIT --out out",
    "tensorrt pipeline --onnx m.onnx --dataset scenes --out FOLDER",
    "transformers save CHECKPOINT --out out",
    "browse PREDICTIONS --dataset scenes --idle-minutes 0",
    "browse predictions.json --dataset DATASET --idle-minutes 0",
    "browse predictions.json --dataset scenes --split SPLIT --idle-minutes 0",
    "report PREDICTIONS --dataset scenes --output out.html",
    "report predictions.json --dataset DATASET --output out.html",
    "report predictions.json --dataset scenes --split SPLIT --output out.html",
    "report predictions.json --dataset scenes --output OUTPUT.html",
    "validate-predictions PREDICTIONS",
    "validate-predictions PREDICTIONS --repair out.json",
    "validate-predictions predictions.json --dataset DATASET",
    "validate-predictions predictions.json --dataset scenes --split SPLIT",
    "validate-predictions broken.json --repair OUTPUT.json",
    "view PREDICTIONS --dataset scenes",
    "view predictions.json --dataset DATASET",
    "view predictions.json --dataset scenes --out FOLDER",
)
NOT_FILES = (
    "missing",
    "empty.json",
    "garbage.json",
    "letter.txt",
    "picture.png",
    "empty",
    "letter.txt/under",
)
WRONG = {
    "PREDICTIONS": (*NOT_FILES, "scenes", "number.json", "nested.json"),
    "DATASET": (*NOT_FILES, "predictions.json", "number.json", "nested.json"),
    "CONFIG": (*NOT_FILES, "scenes", "number.json", "nested.json", "predictions.json"),
    "PICTURE": ("missing", "empty.json", "letter.txt", "empty", "letter.txt/under", "*.nothing"),
    "RUNS": (*NOT_FILES, "scenes", "number.json", "nested.json", "predictions.json"),
    "NUMBER": ("AP51", "train_loss,AP"),
    "CHECKPOINT": ("missing", "empty.json", "garbage.json", "scenes"),
    "OUTPUT": ("letter.txt/under", "folder"),
    "FOLDER": ("letter.txt", "letter.txt/under"),
    "NEW_FOLDER": ("letter.txt", "letter.txt/under", "scenes"),
    "OTHERS": (".",),
    "NAME": ("My-Det", "toy", "class"),
    "OPTION": ("masks", "masks=7", "mask=1", "=1"),
    "ADAPTER": ("nobody", "toyy"),
    "SPLIT": ("nothing", "../val"),
    "ENGINE": ("nobody",),
    "TRACKER": ("nobody", "wandb,nobody"),
    "VIEW": ("nobody", "scale", "scale:x", "scale:0", "hflip:1", ","),
    "VIEWOPTION": ("hflip", "nobody.x=1", "random_hflip.prob=1", "random_hflip.flip_prob=2"),
    "FUSION": ("nobody",),
    "METHOD": ("nobody",),
    "FILTER": ("lora_only",),
    "STATISTICS": ("out.json", "out"),
    "TWICE": ("scale.factor=2",),
    "SETTING": ("split.yaml", "twice.yaml"),
}
"""What each kind of argument is not, but could be given."""
REPORTED = {"plugins/api.py", "plugins/manager.py"}
"""Where errors are caught again and become rows of 'anydet adapters list'."""
FAULTLESS = {"plugins list", "adaptation", "adaptation list", "adapters", "adapters list", "doctor"}
"""Commands that take nothing that can be wrong."""


def cases() -> list[str]:
    """Every line with every wrong thing in it."""
    kinds = [(line, re.search(r"\b[A-Z_]{4,}\b", line)) for line in LINES]
    return [
        line.replace(kind.group(), wrong) for line, kind in kinds if kind for wrong in WRONG[kind.group()]
    ]


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A folder with a data set, its predictions, and files that are neither."""
    folder = tmp_path_factory.mktemp("given")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for line in (
            "synth --images 2 --out scenes",
            "synth --images 1 --out coco --format coco",
            "synth --scene bikes --images 1 --out bikes --split all",
            "synth --scene segmentation --images 2 --size 64x64 --out masks",
            "export-predictions --adapter toy --dataset scenes --output predictions.json",
        ):
            assert CliRunner().invoke(main, line.split()).exit_code == 0, line
        write_panoptic(Path("panoptic"))
        for name in ("empty", "folder.json", "folder.jsonl", "folder.onnx", "folder.png", "folder.html"):
            Path(name).mkdir()
        Path("empty.json").touch()
        Path("garbage.json").write_bytes(bytes(range(256)))
        setting = "adapter: adaptivestream\ndataset: masks\nmethods: {norm: }\ncorruptions: [fog]\n"
        Path("split.yaml").write_text(f"{setting}split: nothing\n")
        Path("twice.yaml").write_text(f"{setting}dataset: scenes\n")
        Path("train_metrics.jsonl").write_text('{"step": 1, "train_loss": 2.0}\n')
        Path("letter.txt").write_text("Dear reader,\n")
        Path("number.json").write_text("17")
        Path("nested.json").write_text('{"predictions": ' + "[" * 5000 + "]" * 5000 + "}")
        Path("broken.json").write_text('[{"image": "a.png", "detections": [{"class_id": 0, "score": 2}]}]')
        Path("picture.png").write_bytes(next(Path("scenes/images/val").iterdir()).read_bytes())
    return folder


@pytest.mark.parametrize("line", cases())
def test_wrong_input_is_a_message_with_a_fix(line, given, monkeypatch):
    monkeypatch.chdir(given)
    monkeypatch.setenv("ANYDET_PLUGINS", OURS)
    before = sorted(given.rglob("*"))
    done = CliRunner().invoke(main, shlex.split(line))
    assert isinstance(done.exception, SystemExit), f"{done.output}\n{done.exception!r}"
    assert "Traceback" not in done.output
    assert done.exit_code in {1, 2}
    assert ("Usage: " if done.exit_code == 2 else "\n  fix: ") in done.output, done.output
    assert not untrue_fixes(done.output, line), done.output
    assert sorted(given.rglob("*")) == before, "nothing half-written is left"


@pytest.mark.parametrize("line", [line for line in LINES if "SPLIT" in line])
def test_a_wrong_split_is_blamed_on_the_option_that_names_it(line, given, monkeypatch):
    monkeypatch.chdir(given)
    monkeypatch.setenv("ANYDET_PLUGINS", OURS)
    done = CliRunner().invoke(main, shlex.split(line.replace("SPLIT", "nothing")))
    option = re.search(r"(--[a-z-]+) SPLIT", line)[1]
    fixes = re.findall(r"^ *fix: .*", done.output, re.MULTILINE)
    assert all(option in re.findall(r"--[a-z-]*split", fix) for fix in fixes if "split with" in fix), fixes
    assert fixes


def test_every_command_is_met():
    ctx = click.Context(main, info_name="anydet", obj=Plugins(only=OURS.split(",")))
    names = set()
    for name in main.list_commands(ctx):
        command = main.get_command(ctx, name)
        below = command.list_commands(ctx) if isinstance(command, click.Group) else ()
        names |= {name, *(f"{name} {part}" for part in below)}
    met = {name for name in names if any(line.startswith(f"{name} ") for line in LINES)}
    assert names - met <= FAULTLESS


def raised_without_fix(path: Path) -> list[str]:
    """Each place that raises one of our errors and does not say what to do."""
    ours = {name for name, kind in vars(errors).items() if isinstance(kind, type)} - {"UnsupportedError"}
    return [
        f"{path.name}:{node.lineno}: {ast.unparse(node.exc)}"
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)
        if getattr(node.exc.func, "id", "") in ours
        if not {"fix", None} & {keyword.arg for keyword in node.exc.keywords}
    ]


@pytest.mark.slow
def test_every_error_of_core_says_what_to_do():
    source = ROOT / "core/src/anydet"
    for path in source.rglob("*.py"):
        if path.relative_to(source).as_posix() not in REPORTED:
            assert not raised_without_fix(path)
