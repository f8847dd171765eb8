"""Foreign code tried in a process of its own: where it crashes, that is a finding and not the end.

Trials run side by side, so that all of them take little longer than the slowest.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

from anydet.errors import AnydetError

TIMEOUT_S = 120.0
_CHILD = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from anydet.doctor.trial import try_it; try_it(*sys.argv[2:])"
)


@dataclass(frozen=True, slots=True)
class Trial:
    """Something to import.

    Attributes:
        module: to import.
        attribute: to take from it, or an empty string for the module itself.
        probe: name of one of ``PROBES`` to call on it, or an empty string.
    """

    module: str
    attribute: str = ""
    probe: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a trial went.

    Attributes:
        failure: what was raised, in one line; an empty string where nothing was.
        result: of the probe.
    """

    failure: str = ""
    result: Any = None


def run_trials(
    trials: Iterable[Trial], waiting: Callable[[str], None] = lambda _names: None
) -> Mapping[Trial, Verdict]:
    """The verdict of each trial.

    Args:
        trials: what to try; the slowest first is fastest.
        waiting: called with the modules that are still tried, whenever one is done.
    """
    verdicts = {}
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        running = {pool.submit(run_trial, trial): trial for trial in dict.fromkeys(trials)}
        waiting(_names(running.values()))
        for done in as_completed(running):
            verdicts[running[done]] = done.result()
            waiting(_names(trial for future, trial in running.items() if not future.done()))
    return verdicts


def run_trial(trial: Trial) -> Verdict:
    """Import and probe in a new process that finds what this one finds."""
    # Isolated, so that neither the current folder nor PYTHON* variables decide what is imported; what this
    # process imports from is handed over instead.
    path = json.dumps([entry for entry in sys.path if entry])
    command = [sys.executable, "-I", "-c", _CHILD, path, trial.module, trial.attribute, trial.probe]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return Verdict(f"no answer in {TIMEOUT_S:g} s")
    lines = done.stdout.splitlines()
    if done.returncode == 0 and lines:
        return Verdict(*json.loads(lines[-1]))
    died = signal.strsignal(-done.returncode) if done.returncode < 0 else f"exit code {done.returncode}"
    last_line = done.stderr.strip().splitlines()[-1:]
    return Verdict(": ".join([f"its process died ({died})", *last_line]))


def try_it(module: str, attribute: str, probe: str) -> None:
    """Run in the child process: import and probe, then print failure and result as JSON on the last line."""
    results: list[Any] = []

    def act() -> None:
        found = importlib.import_module(module)
        found = getattr(found, attribute) if attribute else found
        results.append(PROBES[probe](found) if probe else None)

    failure = failure_of(act)
    # On a line of its own, whatever the import has printed before.
    print("\n" + json.dumps([failure, results[0] if results else None]), flush=True)  # noqa: T201
    os._exit(0)  # libraries that crash at exit are no finding


def failure_of(act: Callable[[], Any]) -> str:
    """What foreign code raised, in one line; an empty string where it did not."""
    try:
        with redirect_stdout(sys.stderr):
            act()
    except KeyboardInterrupt:
        raise
    except BaseException as exc:  # foreign code: SystemExit and the like too
        text = exc.problem if isinstance(exc, AnydetError) else f"{type(exc).__name__}: {exc}"
        return " ".join(text.split())
    return ""


def _devices(torch: Any) -> dict[str, Any]:
    """What torch can use: names of CUDA devices, whether there is Metal, and its own version."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return {
        "cuda": [torch.cuda.get_device_name(i) for i in range(count)],
        "mps": torch.backends.mps.is_available(),
        "version": torch.__version__,
    }


def _providers(onnxruntime: Any) -> list[str]:
    providers: list[str] = onnxruntime.get_available_providers()
    return providers


def _build(factory: Any) -> None:
    """Whether it can be built with nothing given, as an engine is."""
    factory()


PROBES: dict[str, Callable[[Any], Any]] = {"devices": _devices, "providers": _providers, "build": _build}


def _names(trials: Iterable[Trial]) -> str:
    return ", ".join(dict.fromkeys(trial.module for trial in trials))
