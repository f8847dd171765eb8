"""Commands are given broken inputs and odd outputs at random: a message and an exit code, never a traceback.

``ANYDET_FUZZ_SEED`` is another seed, ``ANYDET_FUZZ_CASE`` repeats one case of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shlex
import shutil
import signal
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from anydet.cli import main
from anydet.plugins.manager import Plugins

SEED = int(os.environ.get("ANYDET_FUZZ_SEED", "17"))
ROOT = Path(__file__).parents[1]
OURS = ",".join(path.parent.name for path in sorted(ROOT.glob("plugins/*/pyproject.toml")))
SECONDS_PER_CASE = 60
"""Far above what any case needs: what takes longer hangs."""

COMMANDS = {
    "check-dataset": ("DATA", "DATA --predictions FILE", "DATA --json"),
    "compare": ("FILE FILE --dataset DATA",),
    "convert": ("FILE OUT.jsonl", "FILE OUT.parquet", "FILE OUT.csv --dataset DATA", "DATA OUT --to coco"),
    "eval": ("--dataset DATA --predictions FILE", "--dataset DATA --predictions FILE --json OUT.json"),
    "eval-coco": ("--dataset DATA --predictions FILE", "--dataset DATA --predictions FILE --json OUT.json"),
    "export-predictions": (
        "--adapter toy --dataset DATA --output OUT.json",
        "--adapter precomputed --option predictions=FILE --dataset DATA --output OUT.parquet",
        "--adapter toy --dataset DATA --output OUT.jsonl --on-error skip",
        "--adapter onnxruntime --checkpoint FILE --dataset scenes --output OUT.json",
    ),
    "fasterrcnn-multitask split": ("FILE --out OUT",),
    "plot-metrics": ("FILE --out OUT.png",),
    "predict": ("FILE --adapter toy --output OUT.json", "DATA --adapter toy --output OUT.jsonl"),
    "prepare-coco-yolo": ("--coco-root DATA --split val --out OUT",),
    "validate-predictions": ("FILE", "FILE --dataset DATA", "FILE --repair OUT.json"),
    "view": ("FILE --dataset DATA --out OUT",),
}
"""Lines of each command: FILE and DATA are broken inputs, OUT is an output."""
LEFT_OUT = {
    "adaptation": "reads no file",
    "adapters": "reads no file",
    "adaptivestream": "trains on what it makes itself; reads no file",
    "demo": "reads no file",
    "diagnose": "trains; configurations are broken in test_errors.py",
    "doctor": "reads no file",
    "plugins": "reads no file",
    "synth": "reads no file",
    "train": "trains; configurations are broken in test_errors.py",
}

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
    kind = dice.choice(("bytes",) * 12 + ("empty", "folder", "dangling", "null", "other"))
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
    elif kind == "other":
        path.write_bytes(dice.choice(others).read_bytes())


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
            "export-predictions --adapter toy --dataset scenes --output predictions.json",
            "convert predictions.json predictions.jsonl",
            "convert predictions.json predictions.parquet",
        ):
            assert CliRunner().invoke(main, line.split()).exit_code == 0, line
        Path("train_metrics.jsonl").write_text(
            '{"step": 1, "train_loss": 2.0}\n{"step": 2, "train_loss": 1}\n'
        )
        Path("picture.png").write_bytes(next(Path("scenes/images/val").iterdir()).read_bytes())
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
    name = dice.choice(sorted(COMMANDS))
    words = []
    for word in dice.choice(COMMANDS[name]).split():
        if "FILE" in word:
            path = dice.choice([path for path in files if path.parent == given])
            if (work / path.name).is_file():
                broken(work / path.name, files, dice)
            words.append(word.replace("FILE", path.name))
        elif word == "DATA":
            data = dice.choice(("scenes", "coco", "bikes"))
            inside = sorted(p for p in (work / data).rglob("*") if p.is_file() and not p.is_symlink())
            broken(dice.choice(inside), files, dice)
            words.append(data)
        elif word.startswith("OUT"):
            odd = dice.random()
            words.append("/dev/full" if odd < 0.1 else "nowhere/deep/" + word if odd < 0.2 else word)
        else:
            words.append(word)
    line = shlex.join([*name.split(), *words])
    before = os.getcwd()  # noqa: PTH109
    os.chdir(work)
    try:
        with time_limit(SECONDS_PER_CASE):
            done = CliRunner().invoke(main, shlex.split(line))
    finally:
        os.chdir(before)
    return line, "; ".join(faults(done, work))


def faults(done, work: Path) -> list[str]:
    """What a command must not do, and this one did."""
    found = []
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        found.append(f"{type(done.exception).__name__}: {done.exception}"[:300])
    if done.exit_code not in {0, 1, 2, 130}:
        found.append(f"exit code {done.exit_code}")
    if "Traceback (most recent" in done.output:
        found.append("a traceback")
    if "\x1b" in done.output:
        found.append("an escape character")
    lines = done.stderr.splitlines()
    if len(lines) > 60 or any(len(one) > 2000 for one in lines):
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
def test_some_broken_inputs_end_in_messages(given, tmp_path, monkeypatch):
    monkeypatch.setenv("ANYDET_PLUGINS", OURS)
    fuzz(range(60), given, tmp_path)


def test_every_command_is_fuzzed_or_left_out_for_a_reason():
    ctx = click.Context(main, info_name="anydet", obj=Plugins(only=OURS.split(",")))
    assert {name.split()[0] for name in COMMANDS} | LEFT_OUT.keys() == set(main.list_commands(ctx))
