"""Writers that are killed or interrupted leave nothing half-written, and can be run again."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from functools import partial

import pytest

ANYDET = [sys.executable, "-m", "anydet.cli"]
pytestmark = pytest.mark.slow

# Counts calls that change the file system, and sends a signal to the process at one of them.
KILLER = """
import os, signal, sys
at, seen = int(os.environ.get("KILL_AT", "0")), 0

def hook(event, arguments):
    global seen
    writes = event in {"os.rename", "os.mkdir", "os.rmdir", "os.remove", "shutil.copyfile"}
    if event == "open":
        path, mode, flags = arguments
        writes = flags & (os.O_WRONLY | os.O_RDWR) and "anydet-out" in str(path)
    elif writes:
        writes = any("anydet-out" in str(argument) for argument in arguments)
    if writes:
        seen += 1
        if seen == at:
            os.kill(os.getpid(), int(os.environ.get("KILL_BY", signal.SIGKILL)))

# Ignored in whatever a shell runs in the background.
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.addaudithook(hook)
import atexit
atexit.register(lambda: print(f"writes: {seen}", file=sys.stderr))
import runpy
sys.argv = ["anydet", *sys.argv[1:]]
runpy.run_module("anydet.cli", run_name="__main__")
"""

LINES = {
    "json": "export-predictions --adapter toy --dataset scenes --output {out}/p.json",
    "wrapped": "export-predictions --adapter toy --dataset scenes --output {out}/p.json --wrap",
    "jsonl": "export-predictions --adapter toy --dataset scenes --output {out}/p.jsonl",
    "parquet": "export-predictions --adapter toy --dataset scenes --output {out}/p.parquet",
    "convert": "convert p.json {out}/p.parquet",
    "convert data": "convert scenes {out}/data --to coco",
    "split data": "dataset split scenes --output {out}/data --parts a=0.5,b=0.5 --stratify --to voc",
    "synth": "synth --out {out}/new --images 3 --size 96x72 --format coco",
    "synth masks": "synth --scene segmentation --out {out}/new --images 3 --size 96x72",
    "prepare": "prepare-coco-yolo --coco-root coco --split val --out {out}/yolo --copy-images",
    "repair": "validate-predictions p.json --repair {out}/p.json",
    "eval": "eval-coco --dataset scenes --predictions p.json --json {out}/result.json",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    here = tmp_path_factory.mktemp("writers")
    for line in (
        "synth --out scenes --images 3 --size 96x72",
        "synth --out coco --images 3 --size 96x72 --format coco",
        "export-predictions --adapter toy --dataset scenes --output p.json --wrap",
    ):
        subprocess.run([*ANYDET, *line.split()], cwd=here, check=True, capture_output=True)
    (here / "killer.py").write_text(KILLER)
    return here


def run(line, folder, *, kill_at=0, by=signal.SIGKILL, **options):
    return subprocess.run(
        [sys.executable, "killer.py", *line.split()],
        cwd=folder,
        env={**os.environ, "KILL_AT": str(kill_at), "KILL_BY": str(int(by))},
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


def whole(path):
    """Content of a file or of all files of a folder, without what a clock says."""
    if path.is_dir():
        files = {p.relative_to(path).as_posix(): p for p in sorted(path.rglob("*")) if p.is_file()}
        return {name: whole(p) for name, p in files.items() if not name.startswith(".")}
    if path.suffix == ".parquet":
        import pyarrow.parquet

        return pyarrow.parquet.read_table(path).to_pylist()
    content = path.read_bytes()
    if path.suffix == ".json":
        value = json.loads(content)
        return value.get("predictions", value.get("metrics", value)) if isinstance(value, dict) else value
    return b"".join(part for part in content.splitlines(keepends=True) if not part.startswith(b'{"meta"'))


def killed_at(how, folder, tmp_path, steps):
    """Kill a writer at these of its writes; nothing is there afterwards, or all, and it can be run again."""
    out = tmp_path / "anydet-out"
    line = LINES[how].format(out=out)
    done = run(line, folder)
    assert done.returncode == 0, done.stderr
    expected = {path.name: whole(path) for path in out.iterdir()}
    writes = int(done.stderr.rsplit("writes: ", 1)[1])
    assert writes >= 2
    for step in steps(writes):
        shutil.rmtree(out, ignore_errors=True)
        assert run(line, folder, kill_at=step).returncode == -signal.SIGKILL
        for path in out.iterdir() if out.exists() else ():
            if not path.name.startswith(".") and ".partial" not in path.name and how != "prepare":
                assert whole(path) == expected[path.name], f"half-written at write {step} of {writes}"
        resumed = " --resume" * ((out / "p.json.partial").exists() or any(out.glob("p.*.partial")))
        again = run(line + resumed, folder)
        if again.returncode and how.startswith("synth") and (out / "new").exists():
            assert "not an empty folder" in again.stderr  # killed after it was complete
        else:
            assert again.returncode == 0, again.stderr
        assert {p.name: whole(p) for p in out.iterdir() if not p.name.startswith(".")} == expected


@pytest.mark.parametrize("how", LINES)
def test_a_writer_that_is_interrupted_says_so_and_leaves_nothing_half_written(how, folder, tmp_path):
    out = tmp_path / "anydet-out"
    line = LINES[how].format(out=out)
    done = run(line, folder)
    expected = {path.name: whole(path) for path in out.iterdir()}
    writes = int(done.stderr.rsplit("writes: ", 1)[1])
    for step in {1, writes // 2 or 1, writes}:
        shutil.rmtree(out)
        stopped = run(line, folder, kill_at=step, by=signal.SIGINT)
        assert stopped.returncode == 130, stopped.stderr
        assert "Traceback" not in stopped.stderr
        assert "\nError: interrupted" in "\n" + stopped.stderr
        out.mkdir(exist_ok=True)
        left = {path.name: path for path in out.iterdir()}
        kept = {name for name in left if ".partial" in name}
        assert not kept or how in {"json", "wrapped", "jsonl", "parquet"}
        assert not any(name.startswith(".") for name in left)
        for name in left.keys() - kept if how != "prepare" else ():
            assert whole(left[name]) == expected[name], f"half-written at write {step} of {writes}"


@pytest.mark.parametrize("how", LINES)
def test_a_writer_that_is_killed_leaves_nothing_half_written(how, folder, tmp_path):
    killed_at(how, folder, tmp_path, lambda writes: {writes // 2 or 1, writes})


@pytest.mark.soak
@pytest.mark.parametrize("how", LINES)
def test_a_writer_that_is_killed_at_each_of_its_writes_leaves_nothing_half_written(how, folder, tmp_path):
    killed_at(how, folder, tmp_path, lambda writes: range(1, writes + 1))


@pytest.mark.parametrize("how", LINES)
def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(how, folder, tmp_path):
    out = tmp_path / "anydet-out"
    line = LINES[how].format(out=out)
    # Of a limited size of files the first write beyond it fails, as on a full disk.
    limited = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (300, 300))
    done = subprocess.run(
        [*ANYDET, *line.split()],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limited,
        env={**os.environ, "ANYDET_CACHE": "0"},
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "cannot be written: File too large" in done.stderr
    assert "scenes/" not in done.stderr.split("Error:")[1]
    left = [p for p in out.rglob("*") if p.is_file() and ".partial" not in p.name] if out.exists() else []
    assert not left
    resumed = " --resume" * any(out.glob("p.*.partial")) if out.exists() else ""
    assert run(line + resumed, folder).returncode == 0


def test_an_export_that_predicted_nothing_leaves_nothing(folder, tmp_path):
    out = tmp_path / "anydet-out"
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "a.png").write_bytes(b"no image")
    done = run(f"export-predictions --adapter toy --dataset {broken} --output {out}/p.json", folder)
    assert done.returncode == 1
    assert not list(out.iterdir())
