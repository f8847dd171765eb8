"""The gate at the end of a training: the best model as an ONNX file, held against the model."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeAlias

from anydet.errors import AnydetError, OptionError, TrainingError, UnsupportedError
from anydet.export.onnx_export import ExportedFile, OnnxSettings, export_onnx
from anydet.export.parity import NotRun, missing_runtime
from anydet.outputs import write_file
from anydet.plugins.adapter import TrainResult
from anydet.plugins.manager import Plugins
from anydet.prediction.meta import checkpoint_sha256
from anydet.text import first_of
from anydet.training.config.resolve import Resolved
from anydet.training.devices.torchrun import is_main_process
from anydet.training.launch.preparation import PreparedRun
from anydet.training.launch.start import launch
from anydet.training.run import Run

Policy: TypeAlias = Literal["fail", "warn", "off"]
Say: TypeAlias = Callable[[str], None]

CAPABILITY = "export-onnx"
_IMAGES = 2
"""Images of the run's data that the file is run on, beside noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateReport:
    """What ``reports/onnx_parity.json`` says.

    Attributes:
        status: whether the tensors are the same; ``skipped`` where nothing could be compared.
        policy: what was to happen where they are not.
        reason: why it did not pass; empty where it did.
        checkpoint: of the model that was exported.
        checkpoint_sha256: of that file.
        images: keys of the images that it was run on, beside noise.
        file: what was written, with all numbers.
    """

    status: Literal["passed", "failed", "skipped"]
    policy: Policy
    reason: str = ""
    checkpoint: str = ""
    checkpoint_sha256: str | None = None
    images: Sequence[str] = field(default_factory=tuple)
    file: ExportedFile | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        written = {} if self.file is None else self.file.as_dict()
        return {
            **{name: getattr(self, name) for name in self.__slots__ if name not in {"file", "images"}},
            "images": list(self.images),
            "model": written.get("path"),
            "sha256": written.get("sha256"),
            "runtime": written.get("runtime"),
            "parity": written.get("parity"),
        }


def train_and_export(ready: PreparedRun, *, say: Say = lambda _text: None) -> TrainResult:
    """Train a prepared run, then export its best model and compare the file with it.

    Args:
        ready: what ``prepare`` gave.
        say: called with a line on the outcome, and on what is not done.

    Raises:
        OptionError: the run contract wants a file, and packages for it are missing; raised before training.
        TrainingError: the file differs from the model, or cannot be written, and the policy is ``fail``.
        AnydetError: whatever training meets.
    """
    run, policy = ready.run, parity_policy(ready.resolved)
    can = _can_export(run) and policy != "off"
    missing = _missing(run.plugins or Plugins.from_env()) if can else None
    if missing is not None and is_main_process():
        if policy == "fail" and _insists(ready.resolved):
            raise OptionError(
                f"the run contract ends with exports/model.onnx, and {missing.reason}",
                fix=f"{missing.fix}; or add --parity-policy off",
            )
        say(f"no ONNX file will be written: {missing.reason}; to have one: {missing.fix}")
    result = launch(ready)
    if is_main_process() and can:
        _pass_gate(ready, result, policy, missing, say)
    return result


def parity_policy(resolved: Resolved) -> Policy:
    """As it is set, else ``fail`` under the strict run contract and ``warn`` without."""
    return resolved.settings.parity_policy or ("fail" if resolved.strict else "warn")


def _can_export(run: Run) -> bool:
    return run.plugins is not None and CAPABILITY in run.plugins.spec("adapters", run.adapter).capabilities


def _insists(resolved: Resolved) -> bool:
    """Whether the contract or the policy was asked for, rather than a name for the run alone."""
    settings = resolved.settings
    return bool(settings.run_contract or settings.config_version is not None or settings.parity_policy)


def _missing(plugins: Plugins) -> NotRun | None:
    try:
        import onnx  # noqa: F401
    except ImportError:
        return NotRun("the package onnx is not installed", "pip install 'anydet[onnx]'")
    return missing_runtime(plugins)


def _pass_gate(
    ready: PreparedRun, result: TrainResult, policy: Policy, missing: NotRun | None, say: Say
) -> None:
    """Export, compare, write the report; raise ``TrainingError`` or say what is wrong, by the policy."""
    run = ready.run
    report = (
        GateReport(status="skipped", policy=policy, reason=missing.reason)
        if missing is not None
        else _compared(ready, result, policy)
    )
    if report.file is not None:
        _write_json(run.paths.exported_meta, report.file.as_dict())
    _write_json(run.paths.onnx_parity, report.as_dict())
    if report.status == "passed" and report.file is not None and report.file.parity is not None:
        parity = report.file.parity
        say(f"{report.file.path}: the same tensors as the model's, to {parity.max_abs:.2g}")
    elif report.status == "skipped" and missing is None:
        say(f"no ONNX file was written: {report.reason}")
    elif report.status == "failed":
        if policy == "fail":
            raise TrainingError(
                f"{report.reason}; the run is complete, and {run.paths.onnx_parity} has all numbers",
                fix=f"anydet export-onnx --adapter {run.adapter} --checkpoint {result.checkpoint} "
                "--output model.onnx shows it again; --parity-policy warn lets runs pass",
            )
        say(f"warning: {report.reason}; see {run.paths.onnx_parity}")


def _compared(ready: PreparedRun, result: TrainResult, policy: Policy) -> GateReport:
    run = ready.run
    about: dict[str, Any] = {
        "policy": policy,
        "checkpoint": result.checkpoint,
        "checkpoint_sha256": checkpoint_sha256(result.checkpoint),
    }
    records = list(islice(run.validation or run.dataset, _IMAGES))
    try:
        written = _exported(ready, result, [record.image() for record in records])
    except UnsupportedError as exc:
        # Of some models of an adapter there is no file; a run of one is as complete as it can be.
        return GateReport(status="skipped", reason=exc.problem, **about)
    except AnydetError as exc:
        return GateReport(status="failed", reason=f"the model cannot be exported: {exc.problem}", **about)
    assert written.parity is not None
    about |= {"file": written, "images": [record.key for record in records]}
    if written.parity.passed:
        return GateReport(status="passed", **about)
    findings = "; ".join(first_of(written.parity.findings(), 3))
    return GateReport(status="failed", reason=f"{written.path} differs from the model: {findings}", **about)


def _exported(ready: PreparedRun, result: TrainResult, images: Sequence[Any]) -> ExportedFile:
    """The model as ``predict`` loads it, on the CPU, where the file is run, too."""
    run = ready.run
    plugins = run.plugins
    assert plugins is not None
    settings = plugins.settings(
        run.adapter,
        options=run.settings.adapter_options,
        checkpoint=result.checkpoint,
        score_floor=ready.adapter.score_floor,
        seed=run.settings.seed,
    )
    with plugins.adapter(run.adapter, settings) as adapter:
        return export_onnx(
            adapter, run.paths.exported, OnnxSettings(dynamic_batch=None), plugins=plugins, images=images
        )


def _write_json(path: Path, content: dict[str, Any]) -> None:
    write_file(path, json.dumps(_finite(content), indent=2) + "\n")


def _finite(value: Any) -> Any:
    """The same for JSON, which has no NaN and no infinity."""
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
