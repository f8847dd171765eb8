"""``Run``: one training run, and ``RunPaths``: where its files are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anydet.data.dataset.protocols import Dataset
from anydet.errors import DatasetError
from anydet.training.config.settings import TrainSettings
from anydet.types import ClassTable

if TYPE_CHECKING:
    from anydet.plugins.manager import Plugins


@dataclass(frozen=True, slots=True)
class RunPaths:
    """The run contract: fixed names under one folder.

    Attributes:
        root: ``runs/<run_id>``, or the folder of ``--run-dir``.
        last: checkpoint with everything a run needs to go on.
        best: checkpoint that ``predict`` loads.
        reports: folder of metrics and descriptions.
        train_metrics: one JSON object a line, one line a logged step; its CSV is beside it.
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
    def adapter_only(self) -> Path:
        """LoRA layers of the best checkpoint, without the base."""
        return self.best.with_name("adapter.pt")

    @property
    def base(self) -> Path:
        """The base of LoRA layers, where it came from no checkpoint."""
        return self.best.with_name("base.pt")

    @property
    def lora_report(self) -> Path:
        """Which layers a run with LoRA trains, and which weights of its base are quantized."""
        return self.reports / "lora.json"

    @property
    def merged(self) -> Path:
        """The best checkpoint as plain weights, its LoRA layers merged into them."""
        return self.best.with_name("merged.pt")

    @property
    def continual(self) -> Path:
        """What methods of continual learning hand to a run that begins with the best checkpoint."""
        return self.best.with_name("continual.pt")

    @property
    def config_resolved(self) -> Path:
        """Every key with its value and where it comes from."""
        return self.reports / "config_resolved.yaml"

    @property
    def run_meta(self) -> Path:
        """Git, packages, hardware, command, data."""
        return self.reports / "run_meta.json"

    @property
    def onnx_parity(self) -> Path:
        """Whether the exported model gives the tensors of the trained one."""
        return self.reports / "onnx_parity.json"

    @property
    def exported(self) -> Path:
        """The best model as an ONNX file."""
        return self.root / "exports" / "model.onnx"

    @property
    def exported_meta(self) -> Path:
        """What that file holds, without opening it."""
        return self.root / "exports" / "model.onnx.meta.json"


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """Data, settings and paths of a run.

    Attributes:
        adapter: registered name of the adapter.
        dataset: training images.
        validation: validation images, or ``None``.
        settings: the engine's keys.
        options: the adapter's own training keys, checked against its training schema, defaults filled in.
        paths: files of the run.
        origins: key -> where its value comes from (flag, config file, adapter default, engine default).
        plugins: observe ``on_train_start``, ``on_train_step``, ``on_train_epoch``, ``on_train_end``.
    """

    adapter: str
    dataset: Dataset
    validation: Dataset | None
    settings: TrainSettings
    paths: RunPaths
    options: Mapping[str, Any] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)
    plugins: Plugins | None = None

    @property
    def classes(self) -> ClassTable:
        """Classes to learn; raises ``DatasetError`` where the data set names none."""
        if self.dataset.classes is None:
            raise DatasetError(
                f"{self.dataset.root}: has no class names",
                fix="give a data.yaml with names, COCO JSON with categories, or classes.txt beside masks/",
            )
        return self.dataset.classes
