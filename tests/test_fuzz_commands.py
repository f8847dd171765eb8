"""Commands are given broken inputs and odd outputs at random: a message and an exit code, never a traceback.

``ANYDET_FUZZ_SEED`` is another seed, ``ANYDET_FUZZ_CASES`` another number of cases of the siege, and
``ANYDET_FUZZ_CASE`` repeats one case.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import NamedTuple

import click
import pytest
from click.testing import CliRunner
from tests.panoptic import write_panoptic

from anydet.cli import main
from anydet.plugins.manager import Plugins

SEED = int(os.environ.get("ANYDET_FUZZ_SEED", "17"))
SIEGE = int(os.environ.get("ANYDET_FUZZ_CASES", "2000"))
ROOT = Path(__file__).parents[1]
OURS = ",".join(path.parent.name for path in sorted(ROOT.glob("plugins/*/pyproject.toml")))
SECONDS_PER_CASE = 300
"""Far above what any case needs, also on a busy machine: what takes longer hangs."""

ONE_STEP = "--max-steps 1 --epochs 1 --num-workers 0 --parity-policy off --run-dir OUT"
SMALL = f"--adapter adaptivestream --image-size 64 --batch-size 1 {ONE_STEP}"
COMMANDS = {
    "adaptation": ("list --json", "show WORD"),
    "adapters": (
        *("list --json", "show WORD", "check WORD", "new WORD", "new my_detector --out OUT"),
        "check onnxruntime --checkpoint MODEL",
    ),
    "adaptivestream": ("quick-test --seconds 1 --image-size WORD", "quick-test --device WORD"),
    "benchmark": (
        "--adapter toy --dataset DATA --rounds 1 --plot OUT.png",
        "--adapter toy --adapter WORD --dataset scenes --json OUT.json",
        "--adapter onnxruntime --checkpoint MODEL --dataset scenes",
        "--adapter toy --dataset scenes --rounds 1 --batch-size WORD",
    ),
    "check-dataset": (
        "DATA",
        "DATA --predictions FILE",
        "DATA --json",
        "FILE --repair OUT.json",
        "scenes --repair OUT",
        "DATA --images-too",
    ),
    "compare": ("FILE FILE --dataset DATA",),
    "continual": (
        "CONFIG --adapter adaptivestream --out OUT",
        "two-domains --adapter adaptivestream --dataset DATA --max-steps 1 --out OUT",
        "WORD --adapter WORD --dataset scenes --out OUT",
    ),
    "convert": (
        *("FILE OUT.jsonl", "FILE OUT.parquet", "FILE OUT.csv --dataset DATA"),
        *("DATA OUT --to coco", "DATA OUT --to voc"),
    ),
    "browse": ("FILE FILE --dataset DATA --resamples 2 --idle-minutes 0",),
    "corrupt": (
        "--dataset DATA --out OUT --corruptions fog --severity 1 --max-images 1",
        "--dataset corruption:fog:1:DATA --sheet OUT.png --severity 1",
    ),
    "dataset": (
        *("stats DATA --json OUT.json", "stats DATA --plots OUT", "filter DATA --classes WORD --output OUT"),
        *("filter DATA --images FILE --output OUT", "filter DATA --min-area 20 --empty drop --output OUT"),
        *("merge DATA scenes --prefixes a,b --output OUT", "merge DATA DATA --output OUT"),
        *("split DATA --parts WORD --output OUT", "split DATA --group-by WORD --stratify --output OUT"),
        "sample DATA --images 1 --output OUT",
    ),
    "demo": ("--out OUT --images 1",),
    "diagnose": ("CONFIG", f"--dataset DATA {SMALL}"),
    "doctor": ("--quick --json",),
    "eval": (
        "--dataset DATA --predictions FILE",
        "--dataset DATA --predictions FILE --json OUT.json",
        "--dataset scenes --predictions predictions.json --corrupted fog:3=FILE",
    ),
    "eval-coco": (
        "--dataset DATA --predictions FILE",
        "--dataset DATA --predictions FILE --json OUT.json",
        "--dataset scenes --predictions predictions.json --explain --reference FILE",
    ),
    "eval-panoptic": (
        "--dataset panoptic --predictions FILE --segments found",
        "--dataset DATA --predictions found.json --json OUT.json",
    ),
    "eval-suite": (
        "FILE --protocol yolo-640 --dataset DATA --allow image_size --allow score_threshold --allow nms_iou "
        "--allow max_detections",
        "predictions.json --protocol CONFIG --dataset scenes",
        "predictions.json --protocol WORD --dataset scenes --allow WORD",
    ),
    "export-onnx": (
        "--adapter adaptivestream --checkpoint MODEL --no-check --output OUT.onnx",
        "--adapter rtdetr_pose --checkpoint MODEL --output OUT.onnx",
        "--adapter WORD --output OUT.onnx",
        "--adapter adaptivestream --option image_size=32 --no-check --output OUT",
    ),
    "export-predictions": (
        "--adapter toy --dataset DATA --output OUT.json",
        "--adapter precomputed --option predictions=FILE --dataset DATA --output OUT.parquet",
        "--adapter toy --dataset DATA --output OUT.jsonl --on-error skip",
        "--adapter onnxruntime --checkpoint MODEL --dataset scenes --output OUT.json",
        "--adapter onnxruntime --option preset=ultralytics-end2end --checkpoint model.onnx --dataset scenes "
        "--output OUT.json",
        "--adapter adaptivestream --checkpoint MODEL --dataset scenes --output OUT.json",
        "--adapter rtdetr_pose --checkpoint MODEL --dataset scenes --output OUT.json",
        "--adapter fasterrcnn_multitask --checkpoint MODEL --dataset scenes --output OUT.json",
        "--adapter WORD --dataset scenes --output OUT.json",
        "--adapter toy --tta-views WORD --dataset scenes --output OUT.json",
    ),
    "fasterrcnn-multitask": (
        "split FILE --out OUT",
        "prepare --output-dir OUT --train-json FILE --train-cleaned bikes/all --val-json FILE "
        "--val-cleaned bikes/all",
        "prepare --output-dir OUT --env-file FILE",
    ),
    "fuse": ("FILE FILE --output OUT.json", "FILE predictions.json --output OUT.parquet --method WORD"),
    "parity": (
        "FILE FILE",
        "FILE predictions.json --dataset DATA --output-dir OUT",
        "predictions.json FILE --missing skip --json OUT.json",
    ),
    "plot-metrics": ("FILE --out OUT.png",),
    "plugins": (
        "list --json",
        "check WORD",
        "check coco --kind datasets --dataset DATA",
        "check WORD --kind views",
    ),
    "predict": ("FILE --adapter toy --output OUT.json", "DATA --adapter toy --output OUT.jsonl"),
    "prepare-coco-yolo": ("--coco-root DATA --split val --out OUT",),
    "quantize": (
        "--model MODEL --dataset DATA --output OUT.onnx",
        "--model model.onnx --dataset DATA --eval-dataset DATA --output OUT.onnx --max-drop 1",
        "--model model.onnx --dataset scenes --output OUT --option WORD",
    ),
    "report": (
        "FILE --dataset DATA --resamples 2 --output OUT.html",
        "FILE FILE --dataset DATA --resamples 2 --output OUT.html",
    ),
    "synth": (
        *("--images 1 --out OUT", "--images 1 --out OUT --scene WORD", "--images 1 --out OUT --size WORD"),
        *("--images 1 --out OUT --format WORD", "--images 1 --out OUT --split WORD"),
    ),
    "tensorrt": (
        "build --onnx MODEL --engine OUT.engine",
        "build --onnx MODEL --engine OUT.engine --opt-shapes WORD",
        "pipeline --onnx MODEL --dataset DATA --out OUT",
    ),
    "test": (
        "CONFIG --adapter toy --dataset scenes --out OUT",
        "poses --adapter toy --dataset DATA --scenario clean --scenario low-light --out OUT",
        "standard --adapter precomputed --predictions FILE --dataset scenes --out OUT --json OUT.json",
        "WORD --adapter WORD --dataset scenes --scenario WORD --out OUT",
    ),
    "train": (
        "CONFIG",
        f"--dataset DATA {SMALL}",
        f"--dataset masks --checkpoint MODEL {SMALL}",
        "--resume --run-dir DATA",
        "--adapter WORD --dataset DATA --run-dir OUT",
    ),
    "transformers": ("save DATA --out OUT", "save MODEL --out OUT", "save WORD --out OUT"),
    "ttt-compare": ("CONFIG --out OUT",),
    "ttt-statistics": ("--adapter adaptivestream --dataset DATA --output OUT.npz",),
    "validate-predictions": ("FILE", "FILE --dataset DATA", "FILE --repair OUT.json"),
    "view": ("FILE --dataset DATA --out OUT",),
}
"""Lines of each command: FILE, MODEL, CONFIG and DATA are broken, WORD is an odd name, OUT is an output."""
RARE = {
    *("adaptivestream", "continual", "demo", "diagnose", "doctor", "train", "plugins", "adapters"),
    *("export-onnx", "quantize", "tensorrt", "transformers", "ttt-compare", "ttt-statistics"),
}
"""Commands that take long, or have little that can be broken: a quarter as often as others."""
IN_A_PROCESS = 10
"""One case in so many is run in a process of its own, whose end is looked at, too."""

WORDS = (
    *(
        "",
        "nan",
        "-1",
        "0x0",
        "99999999999x1",
        "../x",
        "/dev/full",
        "a:b:c",
        "scale:nan",
        "slice:0",
        "toy:toy",
    ),
    *(
        "hflip,hflip",
        "\x1b[31mred",
        "caf\xe9",
        "\udcff",
        "x" * 300,
        "%s{}",
        "shapes",
        "bikes",
        "coco",
        "hflip",
    ),
)

HOSTILE = (
    *(b"NaN", b"Infinity", b"1e999", b"-1", b"9223372036854775808", b"0.5", b'""', rb'"\u0000"'),
    *(rb'"\ud800"', rb'"\u001b[31m"', b'"' + b"x" * 100_000 + b'"', b"[" * 3000 + b"]" * 3000),
    *(b"null", b"true", b"{}", b"[]", b"[[1, 2], [3]]", b'"../../x"'),
)


def mutated(data: bytes, dice: random.Random) -> bytes:
    """Bytes with one to three things wrong."""
    for _ in range(dice.randint(1, 3)):
        at = dice.randrange(len(data) + 1)
        end = min(len(data), at + dice.choice((1, 4, 100)))
        kind = dice.choice(("flip", "cut", "drop", "insert", "double", "value", "value", "value"))
        if kind == "flip" and at < len(data):
            data = data[:at] + bytes([data[at] ^ (1 << dice.randrange(8))]) + data[at + 1 :]
        elif kind == "cut":
            data = data[:at]
        elif kind == "drop":
            data = data[:at] + data[end:]
        elif kind == "insert":
            data = data[:at] + dice.randbytes(dice.choice((1, 8, 64))) + data[at:]
        elif kind == "double":
            data = data[:end] + data[at:]
        elif kind == "value":
            data = with_hostile_value(data, dice)
    return data


def with_hostile_value(data: bytes, dice: random.Random) -> bytes:
    """JSON with one value replaced by text that may not be JSON; other bytes as they are."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return data
    at = document
    while True:
        keys = list(at) if isinstance(at, dict) else range(len(at)) if isinstance(at, list) else ()
        if not keys:
            return data
        key = dice.choice(keys)
        if not (isinstance(at[key], (dict, list)) and at[key] and dice.random() < 0.8):
            break
        at = at[key]
    at[key] = "@here@"
    return json.dumps(document).encode().replace(b'"@here@"', dice.choice(HOSTILE))


def broken(path: Path, others: list[Path], dice: random.Random) -> None:
    """Make a file something that it should not be."""
    kinds = ("empty", "folder", "dangling", "null", "other", "fifo", "circle")
    kind = dice.choice(("bytes",) * 14 + kinds)
    data = path.read_bytes()
    path.unlink()
    if kind == "bytes":
        path.write_bytes(mutated(data, dice))
    elif kind == "empty":
        path.touch()
    elif kind == "folder":
        path.mkdir()
    elif kind == "dangling":
        path.symlink_to("nowhere")
    elif kind == "null":
        path.symlink_to("/dev/null")
    elif kind == "circle":
        path.symlink_to(path.name)
    elif kind == "fifo":
        # What comes through it once is whole, or broken as well.
        os.mkfifo(path)
        content = data if dice.random() < 0.5 else mutated(data, dice)
        threading.Thread(target=feed, args=(path, content), daemon=True).start()
    elif kind == "other":
        path.write_bytes(dice.choice(others).read_bytes())


def feed(fifo: Path, content: bytes) -> None:
    """Write into a FIFO, whose reader may leave early."""
    with contextlib.suppress(OSError):
        fifo.write_bytes(content)


def release_writers(work: Path) -> None:
    """Let go those that nobody has read from."""
    for path in work.rglob("*"):
        if path.is_fifo():
            os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))


def write_models(folder: Path) -> None:
    """A detector that finds the same everywhere, and weights of no model."""
    import numpy as np
    import onnx
    import torch
    from onnx import TensorProto, helper, numpy_helper
    from safetensors.torch import save_file

    found = np.array([[[4, 4, 40, 40, 0.9, 1], [8, 8, 30, 50, 0.5, 2]]], np.float32)
    graph = helper.make_graph(
        [helper.make_node("Identity", ["found"], ["output0"])],
        "fuzz",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, (1, 3, 64, 64))],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, found.shape)],
        [numpy_helper.from_array(found, "found")],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9),
        folder / "model.onnx",
    )
    weights = {"a.weight": torch.ones(3, 4), "a.bias": torch.zeros(3)}
    torch.save({"model": weights, "adapter": "adaptivestream", "format": 1}, folder / "model.pt")
    save_file(weights, folder / "model.safetensors")


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """Small valid inputs of every kind, made by the commands themselves."""
    folder = tmp_path_factory.mktemp("given")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("ANYDET_PLUGINS", OURS)
        for line in (
            "synth --images 2 --out scenes",
            "synth --images 2 --out coco --format coco",
            "synth --scene bikes --images 1 --out bikes --split all",
            "synth --scene segmentation --images 2 --size 64x64 --out masks",
            "export-predictions --adapter toy --dataset scenes --output predictions.json",
            "convert predictions.json predictions.jsonl",
            "convert predictions.json predictions.parquet",
        ):
            assert CliRunner().invoke(main, line.split()).exit_code == 0, line
        Path("train_metrics.jsonl").write_text(
            '{"step": 1, "train_loss": 2.0}\n{"step": 2, "train_loss": 1}\n'
        )
        Path("picture.png").write_bytes(next(Path("scenes/images/val").iterdir()).read_bytes())
        Path("train.yaml").write_text(
            "adapter: adaptivestream\ndataset: masks\nimage_size: 64\nmax_steps: 1\nepochs: 1\n"
            "num_workers: 0\nbatch_size: 1\nrun_dir: run\n"
        )
        write_models(folder)
        write_panoptic(Path("panoptic"))
        shutil.copytree("panoptic/found", "found")
        shutil.copy("panoptic/found.json", "found.json")
    return folder


@contextlib.contextmanager
def time_limit(seconds: int):
    """A case that takes longer is a failure, not a hang."""

    def too_long(*_):
        raise TimeoutError(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def one_case(number: int, given: Path, room: Path) -> tuple[str, str]:
    """Break something, run a command on it; what was run, and what is wrong with how it ended."""
    dice = random.Random(f"{SEED}:{number}")
    work = room / "case"
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(given, work)
    files = sorted(path for path in given.rglob("*") if path.is_file())
    often = sorted(COMMANDS.keys() - RARE) * 4 + sorted(RARE)
    name = dice.choice(often)
    words = [filled(word, work, given, files, dice) for word in shlex.split(dice.choice(COMMANDS[name]))]
    line = shlex.join([name, *words]).encode(errors="backslashreplace").decode()
    before = os.getcwd()  # noqa: PTH109
    os.chdir(work)
    try:
        with time_limit(SECONDS_PER_CASE):
            run = CliRunner().invoke if number % IN_A_PROCESS else in_a_process
            done = run(main, [name, *words])
    except TimeoutError as exc:
        return line, str(exc)
    finally:
        os.chdir(before)
        release_writers(work)
    return line, "; ".join(faults(name, done, work))


def filled(word: str, work: Path, given: Path, files: list[Path], dice: random.Random) -> str:
    """A word of a line with what it stands for, which is broken."""
    kinds = {
        "FILE": (),
        "MODEL": (".onnx", ".pt", ".safetensors"),
        "CONFIG": (".yaml",),
        "model.onnx": (".onnx",),
    }
    for kind, suffixes in kinds.items():
        if kind in word:
            known = [p for p in files if p.parent == given and (not suffixes or p.suffix in suffixes)]
            path = work / dice.choice(known).name
            if path.is_file():
                broken(path, files, dice)
            return word.replace(kind, path.name)
    if word == "DATA":
        data = dice.choice(("scenes", "coco", "bikes", "masks", "panoptic"))
        inside = sorted(p for p in (work / data).rglob("*") if p.is_file() and not p.is_symlink())
        broken(dice.choice(inside), files, dice)
        return data
    if word.startswith("OUT"):
        odd = dice.random()
        return "/dev/full" if odd < 0.1 else "nowhere/deep/" + word if odd < 0.2 else word
    return dice.choice(WORDS) if word == "WORD" else word


class Done(NamedTuple):
    """How a process ended, as ``CliRunner`` says it."""

    exit_code: int
    stdout: str
    stderr: str
    exception: None = None

    @property
    def output(self) -> str:
        return self.stdout + self.stderr


def in_a_process(_main: click.Command, words: list[str]) -> Done:
    done = subprocess.run(
        [sys.executable, "-m", "anydet.cli", *words],
        capture_output=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    return Done(done.returncode, *(text.decode(errors="replace") for text in (done.stdout, done.stderr)))


def faults(name: str, done, work: Path) -> list[str]:
    """What a command must not do, and this one did."""
    found = []
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        found.append(f"{type(done.exception).__name__}: {done.exception}"[:300])
    if done.exit_code not in {0, 1, 2}:
        found.append(f"exit code {done.exit_code}")
    if "Traceback (most recent" in done.output:
        found.append("a traceback")
    if "\x1b" in done.output:
        found.append("an escape character")
    lines = done.stderr.splitlines()
    # A key of 100,000 letters makes a long line of `view`.
    longest = 200_000 if name == "view" else 2000
    if len(lines) > 60 or any(len(one) > longest for one in lines):
        found.append(f"{len(lines)} lines of errors, the longest of {max(map(len, lines))} characters")
    if done.exit_code == 2 and "Usage: " not in done.output:
        found.append("no usage")
    if list(work.rglob("*.partial")):
        found.append("a .partial file is left")
    return found


def fuzz(cases: range, given: Path, room: Path) -> None:
    """Run cases of the seed and fail with all that went wrong."""
    only = os.environ.get("ANYDET_FUZZ_CASE")
    wrong = []
    for number in [int(only)] if only else cases:
        line, fault = one_case(number, given, room)
        if fault:
            wrong.append(f"ANYDET_FUZZ_SEED={SEED} ANYDET_FUZZ_CASE={number}: anydet {line}\n    {fault}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
@pytest.mark.filterwarnings("default::anydet.errors.AnydetWarning")
def test_some_broken_inputs_end_in_messages(given, tmp_path, monkeypatch):
    monkeypatch.setenv("ANYDET_PLUGINS", OURS)
    fuzz(range(60), given, tmp_path)


@pytest.mark.soak
@pytest.mark.filterwarnings("default::anydet.errors.AnydetWarning")
@pytest.mark.parametrize("part", range(10))
def test_many_broken_inputs_end_in_messages(part, given, tmp_path, monkeypatch):
    monkeypatch.setenv("ANYDET_PLUGINS", OURS)
    fuzz(range(part * SIEGE // 10, (part + 1) * SIEGE // 10), given, tmp_path)


def test_every_command_is_fuzzed():
    ctx = click.Context(main, info_name="anydet", obj=Plugins(only=OURS.split(",")))
    assert COMMANDS.keys() == set(main.list_commands(ctx))
