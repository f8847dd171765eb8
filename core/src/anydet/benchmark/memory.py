"""The most memory that an adapter takes, measured in a process of its own."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from dataclasses import replace
from itertools import islice

from anydet.data.record.pixels import ImageArray
from anydet.data.record.record import Record
from anydet.errors import AnydetError
from anydet.plugins.manager import Plugins
from anydet.prediction.recipe import Recipe

TIMEOUT_S = 600.0
_CHILD = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from anydet.benchmark.memory import measure_here; measure_here()"
)
_NO_UNIT = "the operating system does not say how much memory a process takes"


def peak_mib(recipe: Recipe, records: list[Record]) -> float | str:
    """Peak resident memory, MiB, of a new process that opens the adapter and predicts the records.

    In one process, what two adapters have in common would be counted for the first of them. Text where it
    cannot be measured: why.

    Args:
        recipe: of the adapter.
        records: a batch, decoded here, so that every adapter is given the same.
    """
    given = [
        replace(record, pixels=ImageArray(record.pixels.read()), labels=None, class_mask=None)
        for record in records
    ]
    path = json.dumps([entry for entry in sys.path if entry])
    try:
        done = subprocess.run(
            [sys.executable, "-c", _CHILD, path],
            input=pickle.dumps((recipe, given)),
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no answer in {TIMEOUT_S:g} s"
    lines = done.stdout.decode(errors="replace").splitlines()
    if done.returncode or not lines:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        return ": ".join(["its process died", *last])
    found: float | str = json.loads(lines[-1])
    return found


def measure_here() -> None:
    """In the child: predict what comes through stdin; print the peak, MiB, or why there is none, as JSON."""
    recipe, records = pickle.load(sys.stdin.buffer)  # from the parent, who is us
    try:
        with recipe.open(Plugins.from_env()) as pipeline:
            list(islice(pipeline.run(records), len(records)))
        found: float | str = _peak()
    except AnydetError as exc:
        found = exc.problem
    print("\n" + json.dumps(found), flush=True)  # noqa: T201 - the parent reads it


def _peak() -> float | str:
    try:
        import resource
    except ImportError:  # Windows
        return _NO_UNIT
    # macOS gives bytes, Linux kilobytes. Where this process has been forked from a larger one, Linux counts
    # that one's memory before exec too; what it has itself is in /proc.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if sys.platform == "darwin":
        return peak / 2**20
    try:
        with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123 - no path of anybody's
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
    except (OSError, StopIteration):
        return peak / 1024
