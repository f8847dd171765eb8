"""What ``anydet doctor`` looks at."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution, metadata, requires
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from anydet.doctor.dependency import Dependency, dependencies
from anydet.doctor.finding import Finding, State
from anydet.doctor.trial import Trial, Verdict, failure_of, run_trials
from anydet.plugins.manager import Plugins
from anydet.plugins.specs import Spec

SLOW_FIRST = ("torchvision", "torch")
"""What takes longest to import, as far as anydet knows it."""
TORCH = Trial("torch", probe="devices")
ONNXRUNTIME = Trial("onnxruntime", probe="providers")
_UNTRIED = Verdict()


def diagnose(
    plugins: Plugins, *, quick: bool = False, waiting: Callable[[str], None] = lambda _names: None
) -> list[Finding]:
    """Look at everything; nothing that is found wrong raises.

    Args:
        plugins: those to look at.
        quick: import nothing: versions, ranges and whether files are missing, from what the installer wrote
            down. What only breaks when it is imported stays unnoticed, and no library lists its devices.
        waiting: called with what is being imported.
    """
    wanted = _wanted(requires("anydet") or ())
    verdicts = {} if quick else run_trials(_trials(wanted, plugins), waiting)
    return [
        Finding("python", platform.python_implementation(), "ok", platform.python_version()),
        Finding("python", "platform", "ok", platform.platform()),
        *(package_finding(dependency, verdicts) for dependency in wanted),
        *device_findings(verdicts),
        *provider_findings(verdicts),
        *engine_findings(plugins, verdicts),
        *plugin_findings(plugins, verdicts),
        *map(folder_finding, ("current", "temporary"), (Path.cwd(), Path(tempfile.gettempdir()))),
    ]


def package_finding(wanted: Dependency, verdicts: Mapping[Trial, Verdict]) -> Finding:
    """Whether a package is there, in its range, and works; without its trial, whether its files are there."""
    found = _installed(wanted.name)
    if found is None:
        state: State = "missing" if wanted.extra else "broken"
        return Finding("package", wanted.name, state, f"{wanted.purpose}, not found")
    if not wanted.allows(found.version):
        detail = f"{found.version} is not {wanted.versions} ({wanted.purpose})"
        return Finding("package", wanted.name, "broken", detail)
    verdict = verdicts.get(_trial(wanted))
    failure = _gaps(found) if verdict is None else verdict.failure
    return Finding("package", wanted.name, "broken" if failure else "ok", failure or found.version)


def device_findings(verdicts: Mapping[Trial, Verdict]) -> Iterator[Finding]:
    """The processor, what torch can use where it was imported, and what the NVIDIA driver reports."""
    yield Finding("device", "cpu", "ok", f"{os.cpu_count()} cores, {platform.machine()}")
    known: dict[str, Any] | None = verdicts.get(TORCH, _UNTRIED).result
    if known:
        names = known["cuda"]
        yield from (Finding("device", f"cuda:{i}", "ok", name) for i, name in enumerate(names))
        if not names:
            yield Finding("device", "cuda", "unavailable", f"torch {known['version']} sees none")
        yield Finding("device", "mps", "ok" if known["mps"] else "unavailable")
    yield _driver()


def provider_findings(verdicts: Mapping[Trial, Verdict]) -> Iterator[Finding]:
    """The execution providers of ONNX Runtime, or why there are none."""
    verdict = verdicts.get(ONNXRUNTIME, _UNTRIED)
    if verdict.failure:
        yield Finding("provider", "onnxruntime", "broken", verdict.failure)
    yield from (Finding("provider", name, "ok") for name in verdict.result or ())


def engine_findings(plugins: Plugins, verdicts: Mapping[Trial, Verdict]) -> Iterator[Finding]:
    """The COCO engines, and which of them evaluates when none is named."""
    engines = plugins.specs("engines")
    best = max(engines.values(), key=lambda spec: spec.priority).name
    for name, spec in engines.items():
        failure = _spec_failure(_engine_trial(spec), verdicts)
        detail = failure or ", ".join(filter(None, ("default" * (name == best), spec.summary)))
        yield Finding("engine", name, "broken" if failure else "ok", detail)


def plugin_findings(plugins: Plugins, verdicts: Mapping[Trial, Verdict]) -> Iterator[Finding]:
    """How each plugin loaded, and whether the adapters they registered can be imported."""
    states: dict[str, State] = {"ok": "ok", "failed": "broken", "skipped": "skipped"}
    for row in plugins.status:
        detail = row.reason or f"{row.distribution} {row.version}: {', '.join(row.provides) or 'events'}"
        yield Finding("plugin", row.name, states[row.state], detail)
    for name, spec in plugins.specs("adapters").items():
        failure = _spec_failure(_adapter_trial(spec), verdicts)
        yield Finding("adapter", name, "broken" if failure else "ok", failure or spec.summary)


def folder_finding(name: str, folder: Path) -> Finding:
    """Whether files can be written into a folder."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"anydet")
    except OSError as exc:
        return Finding("folder", name, "unavailable", f"{folder}: cannot be written to: {exc.strerror}")
    return Finding("folder", name, "ok", str(folder))


def _wanted(lines: Iterable[str]) -> list[Dependency]:
    """Anydet itself and its dependencies, each once: extras made of other extras repeat theirs."""
    wanted = {"anydet": Dependency("anydet")}
    for dependency in dependencies(lines, metadata("anydet").get_all("Provides-Extra") or ()):
        wanted.setdefault(dependency.name, dependency)
    return list(wanted.values())


def _trials(wanted: Iterable[Dependency], plugins: Plugins) -> list[Trial]:
    """What to import, slow things first."""
    trials = [_trial(dependency) for dependency in wanted if _installed(dependency.name)]
    trials += [ONNXRUNTIME] * (find_spec("onnxruntime") is not None)
    trials += map(_engine_trial, plugins.specs("engines").values())
    trials += map(_adapter_trial, plugins.specs("adapters").values())
    return sorted(trials, key=lambda trial: trial.module not in SLOW_FIRST)


def _trial(dependency: Dependency) -> Trial:
    return TORCH if dependency.module == "torch" else Trial(dependency.module)


def _engine_trial(spec: Spec) -> Trial:
    module, _, factory = spec.factory.partition(":")
    return Trial(module, factory, "build")


def _adapter_trial(spec: Spec) -> Trial:
    module, _, factory = spec.factory.partition(":")
    return Trial(module, factory)


def _spec_failure(trial: Trial, verdicts: Mapping[Trial, Verdict]) -> str:
    """Why what a plugin registered does not work; without its trial, whether its module is there."""
    if trial in verdicts:
        return verdicts[trial].failure
    return failure_of(lambda: _find(trial.module))


def _find(module: str) -> None:
    if find_spec(module) is None:
        raise ModuleNotFoundError(f"No module named {module!r}")


def _installed(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


def _gaps(found: Distribution) -> str:
    """Which files of a package the installer wrote and that are gone."""
    gaps = [
        file for file in found.files or () if file.suffix != ".pyc" and not Path(str(file.locate())).exists()
    ]
    return f"{len(gaps)} of its files are missing, such as {gaps[0]}" if gaps else ""


def _driver() -> Finding:
    program = shutil.which("nvidia-smi")
    if program is None:
        return Finding("device", "nvidia-smi", "missing", "no NVIDIA driver tools")
    query = [program, "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError) as exc:
        return Finding("device", "nvidia-smi", "unavailable", " ".join(str(exc).split()))
    return Finding("device", "nvidia-smi", "ok", "; ".join(done.stdout.split("\n")).strip("; "))
