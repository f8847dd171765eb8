"""What is installed here and whether it works: the findings of ``anydet doctor``."""

from __future__ import annotations

import importlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any, Literal

from anydet.errors import AnydetError
from anydet.evaluation.engines import choose_engine
from anydet.plugins.manager import Plugins

State = Literal["ok", "missing", "skipped", "unavailable", "broken"]
IMPORT_NAMES = {"pillow": "PIL", "pyyaml": "yaml"}
"""Distribution, lower case, -> what is imported, where the two differ by more than a dash."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        group: python, package, device, provider, engine, plugin, adapter or folder.
        name: of the thing.
        state: "missing" is an optional package that is not installed; "skipped" a plugin that
            ``ANYDET_PLUGINS`` leaves out; "unavailable" a device or folder that cannot be used;
            "broken" something installed that does not work.
        detail: version, range, or the reason.
    """

    group: str
    name: str
    state: State
    detail: str = ""


def diagnose(plugins: Plugins) -> list[Finding]:
    """Look at everything; nothing that is found wrong raises."""
    return [
        Finding("python", platform.python_implementation(), "ok", platform.python_version()),
        Finding("python", "platform", "ok", platform.platform()),
        *package_findings(requires("anydet") or ()),
        *device_findings(),
        *provider_findings(),
        *engine_findings(plugins),
        *plugin_findings(plugins),
        *map(folder_finding, ("current", "temporary"), (Path.cwd(), Path(tempfile.gettempdir()))),
    ]


@dataclass(frozen=True, slots=True)
class Requirement:
    """One line of a package's metadata, as far as this project writes them.

    Attributes:
        name: of the distribution.
        ranges: (operator, version), all of which hold.
        extra: the extra that asks for it, "" for a dependency proper.
    """

    name: str
    ranges: tuple[tuple[str, str], ...]
    extra: str

    @classmethod
    def parse(cls, text: str) -> Requirement:
        """``pyarrow>=16; extra == 'parquet'``."""
        wanted, _, marker = text.partition(";")
        name = re.match(r"[\w.-]+", wanted.strip())
        extra = re.search(r"extra\s*==\s*['\"]([\w-]+)['\"]", marker)
        ranges = re.findall(r"(>=|<=|==|!=|<|>)\s*([\w.+]+)", wanted)
        return cls(name.group() if name else wanted, tuple(ranges), extra.group(1) if extra else "")

    def allows(self, found: str) -> bool:
        """Whether a version lies in all ranges, compared by its release numbers."""
        return all(_holds(_release(found), operator, _release(bound)) for operator, bound in self.ranges)


def package_findings(lines: Iterable[str]) -> Iterator[Finding]:
    """A finding for anydet itself and for each package that ``lines`` of requirements name."""
    yield package_finding(Requirement("anydet", (), ""))
    seen = {"anydet"}  # extras that are made of other extras name it, or repeat theirs
    for requirement in map(Requirement.parse, lines):
        if requirement.name not in seen:
            seen.add(requirement.name)
            yield package_finding(requirement)


def package_finding(wanted: Requirement) -> Finding:
    """Whether a package is there, in its range, and can be imported."""
    purpose = f"extra {wanted.extra}" if wanted.extra else "required"
    try:
        found = version(wanted.name)
    except PackageNotFoundError:
        return Finding(
            "package", wanted.name, "missing" if wanted.extra else "broken", f"{purpose}, not found"
        )
    if not wanted.allows(found):
        bounds = ",".join(f"{operator}{bound}" for operator, bound in wanted.ranges)
        return Finding("package", wanted.name, "broken", f"{found} is not {bounds} ({purpose})")
    name = IMPORT_NAMES.get(wanted.name.lower(), wanted.name.replace("-", "_"))
    failure = _failure(lambda: importlib.import_module(name))
    return Finding("package", wanted.name, "broken" if failure else "ok", failure or found)


def device_findings() -> Iterator[Finding]:
    """The processor, what torch can use where it is installed, and what the NVIDIA driver says."""
    yield Finding("device", "cpu", "ok", f"{os.cpu_count()} cores, {platform.machine()}")
    torch: Any = _imported("torch")
    if torch is not None:
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        names = [torch.cuda.get_device_name(i) for i in range(count)]
        yield from (Finding("device", f"cuda:{i}", "ok", name) for i, name in enumerate(names))
        if not names:
            yield Finding("device", "cuda", "unavailable", f"torch {torch.__version__} sees none")
        mps = torch.backends.mps.is_available()
        yield Finding("device", "mps", "ok" if mps else "unavailable")
    yield _driver()


def provider_findings() -> Iterator[Finding]:
    """The execution providers of ONNX Runtime, where it is installed."""
    runtime: Any = _imported("onnxruntime")
    if runtime is not None:
        yield from (Finding("provider", name, "ok") for name in runtime.get_available_providers())


def engine_findings(plugins: Plugins) -> Iterator[Finding]:
    """The COCO engines, and which of them evaluates when none is named."""
    engines = plugins.specs("engines")
    best = max(engines.values(), key=lambda spec: spec.priority).name
    for name in engines:
        failure = _failure(lambda name=name: choose_engine(plugins, name))  # type: ignore[misc]
        yield Finding("engine", name, "broken" if failure else "ok", failure or "default" * (name == best))


def plugin_findings(plugins: Plugins) -> Iterator[Finding]:
    """How each plugin loaded, and whether the adapters they registered can be imported."""
    states: dict[str, State] = {"ok": "ok", "failed": "broken", "skipped": "skipped"}
    for row in plugins.status:
        detail = row.reason or f"{row.distribution} {row.version}: {', '.join(row.provides) or 'events'}"
        yield Finding("plugin", row.name, states[row.state], detail)
    for name, spec in plugins.specs("adapters").items():
        failure = _failure(lambda name=name: plugins.load("adapters", name))  # type: ignore[misc]
        yield Finding("adapter", name, "broken" if failure else "ok", failure or spec.summary)


def folder_finding(name: str, folder: Path) -> Finding:
    """Whether files can be written into a folder."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"anydet")
    except OSError as exc:
        return Finding("folder", name, "unavailable", f"{folder}: cannot be written to: {exc.strerror}")
    return Finding("folder", name, "ok", str(folder))


def _driver() -> Finding:
    program = shutil.which("nvidia-smi")
    if program is None:
        return Finding("device", "nvidia-smi", "missing", "no NVIDIA driver tools")
    question = [program, "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(question, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError) as exc:
        return Finding("device", "nvidia-smi", "unavailable", " ".join(str(exc).split()))
    return Finding("device", "nvidia-smi", "ok", "; ".join(answer.stdout.split("\n")).strip("; "))


def _imported(name: str) -> Any:
    """A module, or ``None`` where it is absent or raises; packages report the latter themselves."""
    found: list[Any] = []
    return found[0] if not _failure(lambda: found.append(importlib.import_module(name))) else None


def _failure(act: Callable[[], Any]) -> str:
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


def _release(text: str) -> tuple[int, ...]:
    """(2, 4) of ``2.4.0+cpu``: trailing zeros mean nothing."""
    numbers = re.match(r"\d+(\.\d+)*", text)
    parts = [int(part) for part in numbers.group().split(".")] if numbers else []
    while parts and parts[-1] == 0:
        parts.pop()
    return tuple(parts)


def _holds(found: tuple[int, ...], operator: str, bound: tuple[int, ...]) -> bool:
    return {
        ">=": found >= bound,
        "<=": found <= bound,
        "==": found == bound,
        "!=": found != bound,
        ">": found > bound,
        "<": found < bound,
    }[operator]
