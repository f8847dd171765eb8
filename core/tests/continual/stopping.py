"""Sequences of tasks that are stopped at a place and gone on with, each in a process of its own.

Run as ``python -m core.tests.continual.stopping SETTING FOLDER``; writes ``ended.json``: place and signal ->
how the first process ended, and the one that went on. The processes are forks of this one, which computes
nothing itself, so that torch is imported once.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.tests.continual.conftest import growing_plugins

from anydet.continual.runs import Runs
from anydet.continual.setting import Setting
from anydet.errors import AnydetError
from anydet.evaluation.pycocotools_engine import PycocotoolsEngine
from anydet.training.engine import train


@dataclass(frozen=True)
class Place:
    """A call of a function, before or after which a signal arrives."""

    function: str
    call: int
    after: bool = False


PLACES = {
    "first step": Place("core.tests.continual.growing:GrowingTask.step", 1),
    "after the first checkpoint": Place(
        "anydet.training.checkpoints.checkpointer:save_checkpoint", 2, after=True
    ),
    "step of the second task": Place("core.tests.continual.growing:GrowingTask.step", 12),
    "Fisher information": Place("anydet.training.continual.methods:fisher_information", 1),
    "before what is left is written": Place("anydet.training.continual.methods:write_handover", 1),
    "after what is left is written": Place("anydet.training.continual.methods:write_handover", 1, after=True),
    "before a stage is done": Place("anydet.continual.stages:write_file", 1),
    "image that is predicted": Place("core.tests.training.grid:GridPredictor.prepare", 5),
    "before predictions are noted": Place("anydet.continual.stages:write_file", 2),
    "before numbers are kept": Place("anydet.continual.scores:write_file", 1),
}


INTERRUPTED = ("first step", "Fisher information", "before a stage is done", "image that is predicted")
"""Where Ctrl-C arrives, too."""


def stop_at(place: Place, number: int) -> None:
    """Let a signal arrive at the place."""
    module, _, path = place.function.partition(":")
    *owners, name = path.split(".")
    owner: Any = importlib.import_module(module)
    for part in owners:
        owner = getattr(owner, part)
    real: Callable[..., Any] = getattr(owner, name)
    calls = 0

    def counted(*args: Any, **keys: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == place.call and not place.after:
            os.kill(os.getpid(), number)
        found = real(*args, **keys)
        if calls == place.call and place.after:
            os.kill(os.getpid(), number)
        return found

    setattr(owner, name, counted)


def in_a_fork(work: Callable[[], None]) -> int:
    """How a fork ended that does the work: its exit code, or the signal as a negative number."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    try:
        work()
    except AnydetError:
        os._exit(1)
    except KeyboardInterrupt:
        os._exit(130)
    except BaseException as exc:
        sys.stderr.write(f"{type(exc).__name__}: {exc}\n")
        os._exit(99)
    os._exit(0)


def main(setting: Path, folder: Path) -> None:
    """Stop and go on everywhere."""
    plugins = growing_plugins()
    assert train  # imported before there are forks, each of which would do so

    def run(out: Path) -> None:
        found = Runs(Setting.read(setting, plugins), out, plugins, PycocotoolsEngine()).run().as_dict()
        (out / "found.json").write_text(json.dumps(found))

    ended = {"whole": [in_a_fork(lambda: run(folder / "whole")), 0]}
    for name, place in PLACES.items():
        for number in (signal.SIGKILL, *([signal.SIGINT] if name in INTERRUPTED else [])):
            out = folder / f"{name} {number.name}"

            def stopped(place: Place = place, number: signal.Signals = number, out: Path = out) -> None:
                signal.signal(signal.SIGINT, signal.default_int_handler)
                stop_at(place, number)
                run(out)

            first = in_a_fork(stopped)
            ended[out.name] = [first, in_a_fork(lambda out=out: run(out))]
    (folder / "ended.json").write_text(json.dumps(ended))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
