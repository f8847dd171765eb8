"""``RunPaths``: where the files of a run lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RunPaths:
    """The run contract: fixed names under one folder.

    Attributes:
        root: ``runs/<run_id>``, or the folder of ``--run-dir``.
        last: checkpoint with everything a run needs to go on.
        best: checkpoint that ``predict`` loads.
        reports: folder of metrics and descriptions.
        train_metrics: one JSON object a line, one line a logged step; its CSV lies beside it.
        val_metrics: one line a validation.
        train_csv: ``train_metrics`` as CSV.
    """

    root: Path
    last: Path
    best: Path
    reports: Path
    train_metrics: Path
    val_metrics: Path
    train_csv: Path

    @classmethod
    def of_run(cls, runs: Path, run_id: str) -> RunPaths:
        """``runs/<run_id>/{checkpoints,reports,exports}``."""
        root = runs / run_id
        return cls._in(
            root, root / "checkpoints" / "last.pt", root / "checkpoints" / "best.pt", root / "reports"
        )

    @classmethod
    def of_folder(cls, folder: Path) -> RunPaths:
        """``checkpoint.pt``, ``best.pt`` and the reports directly in ``folder``."""
        return cls._in(folder, folder / "checkpoint.pt", folder / "best.pt", folder)

    @classmethod
    def _in(cls, root: Path, last: Path, best: Path, reports: Path) -> RunPaths:
        train = reports / "train_metrics.jsonl"
        return cls(root, last, best, reports, train, reports / "val_metrics.jsonl", train.with_suffix(".csv"))

    @property
    def config_resolved(self) -> Path:
        """Every key with its value and where it comes from."""
        return self.reports / "config_resolved.yaml"

    @property
    def run_meta(self) -> Path:
        """Git, packages, hardware, command, data."""
        return self.reports / "run_meta.json"

    @property
    def exports(self) -> Path:
        """Folder of exported models."""
        return self.root / "exports"
