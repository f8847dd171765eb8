#!/usr/bin/env python3
"""Do exported models of the torch adapters predict on every runtime what they predict in torch?

    python benchmarks/runtime_parity.py --out build/runtime_parity

Trains small models on drawn scenes (``fasterrcnn_multitask`` with states, ``adaptivestream`` with both
decoders, ``rtdetr_pose`` with poses, camera and uncertainties, and with keypoints), exports each by
``anydet export-onnx``, and runs ``anydet parity`` of the adapter against its file on each runtime: every
detection, state, keypoint, pose, mask and image class, and the difference of AP with its interval. What has
been trained is kept in ``--out`` and not done again. TensorRT-RTX builds an engine of each file; it predicts
only where there is a GPU.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

import anydet
from anydet.crosscheck.parity import Parity
from anydet.errors import AnydetError
from anydet.evaluation.evaluator import IouType
from anydet.plugins.adapter import Adapter
from anydet.prediction.pipeline import Limits

SIDE = 96
MODEL = {
    "backbone": {"name": "cspdarknet_s", "norm": "bn", "args": {"width_mult": 0.5, "depth_mult": 0.34}},
    "projector": {"d_model": 96},
    "transformer": {
        "encoder_layers": 1,
        "decoder_layers": 2,
        "ffn_dim": 192,
        "attention_heads": 4,
        "expansion": 0.5,
    },
}
"""The key ``model`` of rtdetr_pose."""
QUERIES = {
    "model": MODEL,
    "image_size": SIDE,
    "num_queries": 40,
    "num_denoising": 60,
    "batch_size": 16,
    "lr": 1e-3,
    "hflip_prob": 0.0,
}
STREAM = {"image_size": 64, "lr": 2e-3, "lr_warmup_epochs": 1, "epochs": 10}


@dataclass(frozen=True)
class Subject:
    """One model.

    Attributes:
        name: of its row.
        adapter: that trains and predicts it.
        scene: of ``anydet synth``, and the format that keeps its labels.
        images: of the training.
        keys: of the training.
        iou_type: geometry of the difference of AP.
        exported: options of the adapter whose model is exported.
        trained_as: name of the model whose training it has; its own by default.
    """

    name: str
    adapter: str
    scene: tuple[str, ...]
    images: int
    keys: dict[str, Any] = field(default_factory=dict)
    iou_type: IouType = "bbox"
    exported: dict[str, Any] = field(default_factory=dict)

    trained_as: str = ""

    @property
    def run_id(self) -> str:
        """Of its training."""
        return _slug(self.trained_as or self.name)

    @property
    def folder(self) -> str:
        """Of its file."""
        return _slug(self.name)


def _slug(name: str) -> str:
    return name.replace(", ", "-").replace(" ", "-")


_TWO_STAGES = Subject(
    "fasterrcnn_multitask, states",
    "fasterrcnn_multitask",
    ("bikes", "delftbikes"),
    160,
    {
        "weights": "none",
        "backbone": "resnet18_fpn",
        "norm": "batch",
        "min_size": SIDE,
        "max_size": 128,
        "anchor_sizes": [8, 16, 32, 64, 128],
        "pyramid_channels": 48,
        "representation_size": 128,
        "rois_per_image": 32,
        "proposals": 60,
        "batch_size": 8,
        "lr": 6e-4,
        "epochs": 3,
        "best_metric": "val_loss",
    },
)

SUBJECTS = (
    _TWO_STAGES,
    replace(
        _TWO_STAGES,
        name=f"{_TWO_STAGES.name}, all rows",
        exported={"export_rows": "all"},
        trained_as=_TWO_STAGES.name,
    ),
    Subject(
        "adaptivestream, plain decoder",
        "adaptivestream",
        ("segmentation", "class-masks"),
        160,
        # Without what skips its bottleneck, it learns more slowly.
        {**STREAM, "decoder": "plain", "epochs": 40},
        "segm",
    ),
    Subject(
        "adaptivestream, skip decoder",
        "adaptivestream",
        ("segmentation", "class-masks"),
        160,
        {**STREAM, "decoder": "skip"},
        "segm",
    ),
    Subject(
        "rtdetr_pose, poses",
        "rtdetr_pose",
        ("pose", "bop"),
        320,
        {**QUERIES, "task_aligner": "uncertainty", "epochs": 10},
    ),
    Subject(
        "rtdetr_pose, keypoints",
        "rtdetr_pose",
        ("shapes", "coco"),
        240,
        {**QUERIES, "pose": False, "keypoints": True, "epochs": 6},
    ),
)


def command(*words: object) -> None:
    """Run a command of the installed package."""
    print("$ anydet", *map(str, words), file=sys.stderr, flush=True)
    line = [sys.executable, "-m", "anydet.cli", *map(str, words)]
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL)


def data_of(subject: Subject, out: Path, images: int) -> Path:
    """Scenes of a model: ``train`` for it, ``val`` for the comparison, of other sizes than its input."""
    scene, kind = subject.scene
    folder = out / "data" / scene
    for split, count, seed, size in (
        ("train", subject.images, 1, f"{SIDE}x{SIDE}"),
        ("val", images, 2, "150x120"),
    ):
        if not (folder / split).exists():
            words = ("--images", count, "--size", size, "--seed", seed, "--format", kind, "--split", split)
            command("synth", "--scene", scene, "--out", folder / split, *words)
    return folder


def trained(subject: Subject, out: Path, data: Path) -> Path:
    """The folder of a run that has ended well."""
    run = out / "runs" / subject.run_id
    done = out / f"{run.name}.done"
    file = out / f"{run.name}.yaml"
    usual = {"scheduler": "cosine", "num_workers": 0, "val_every": 0, "parity_policy": "off"}
    datasets = {"dataset": str(data / "train"), "split": "train"}
    file.write_text(yaml.safe_dump({"adapter": subject.adapter, **usual, **subject.keys, **datasets}))
    if not done.exists():
        again = ["--resume"] if run.exists() else []
        command("train", file, "--runs-dir", run.parent, "--run-id", run.name, *again)
        done.touch()
    return run


RUNTIMES = ("onnxruntime", "openvino", "opencv_dnn")
SCORES = Limits(score_threshold=0.05)
"""Detections that are compared."""
COLUMNS = (
    "model",
    "runtime",
    "version",
    "batch",
    "pairs",
    "missing",
    "extra",
    "box, px",
    "score",
    "state scores",
    "keypoint, px",
    "rotation, degrees",
    "translation, mm",
    "mask, 1 - IoU",
    "image class",
    "AP",
    "difference of AP",
    "verdict",
)
MASKS = {"mask", "semantic mask"}


def largest(parity: Parity, *names: str) -> float | None:
    """The largest difference of things that are compared; ``None`` where nothing is."""
    known = [
        float(one.known.max(initial=0))
        for one in (*parity.quantities, *parity.image_quantities)
        if one.name in names and len(one.known)
    ]
    return max(known, default=None)


def shown(value: float | None, digits: str = ".2g") -> str:
    """A number, or nothing."""
    return "" if value is None else f"{value:{digits}}"


def row(subject: Subject, adapter: Adapter, parity: Parity) -> tuple[str, ...]:
    """A row of the table."""
    stated = adapter.notes.runtime
    ap, apart = "", ""
    if parity.comparison is not None:
        first = next(iter(parity.comparison.overall.values()))
        if first.difference is not None and first.low is not None and first.high is not None:
            ap = f"{first.a:.4f}"
            apart = f"{first.difference:+.5f} [{first.low:+.5f}, {first.high:+.5f}]"
    meters = largest(parity, "translation")
    return (
        subject.name,
        f"`{adapter.name}`",
        str(stated["version"]),
        str(adapter.settings.batch_size),
        str(len(parity.pairs)),
        str(len(parity.only_a)),
        str(len(parity.only_b)),
        shown(largest(parity, "box")),
        shown(largest(parity, "score")),
        shown(largest(parity, "state", "state scores")),
        shown(largest(parity, "keypoint")),
        shown(largest(parity, "rotation")),
        shown(None if meters is None else 1000 * meters),
        shown(largest(parity, *MASKS)),
        shown(largest(parity, "image class", "image class score", "image class scores")),
        ap,
        apart,
        "same" if parity.ok else parity.reason,
    )


@dataclass(frozen=True)
class Exported:
    """A model's file, and what torch predicts with the model.

    Attributes:
        subject: the model.
        model: the file.
        torch: predictions.
        dataset: of the predictions.
    """

    subject: Subject
    model: Path
    torch: Path
    dataset: Any


def compared(exported: Exported, name: str, batch: int) -> tuple[str, ...]:
    """A runtime's predictions against those of torch."""
    subject = exported.subject
    try:
        adapter = anydet.load_adapter(
            name, checkpoint=exported.model, batch_size=batch, score_floor=SCORES.score_threshold
        )
    except AnydetError as exc:
        return (
            subject.name,
            f"`{name}`",
            *[""] * (len(COLUMNS) - 3),
            f"refused: {brief(exc, exported.model)}",
        )
    path = exported.torch.with_name(f"{name}_{batch}.json")
    with adapter:
        anydet.export_predictions(adapter, exported.dataset, path, limits=SCORES, wrap=True)
        parity = anydet.parity(exported.torch, path, dataset=exported.dataset, iou_type=subject.iou_type)
        return row(subject, adapter, parity)


def brief(exc: AnydetError, model: Path) -> str:
    """An error without the path of the file that it is about."""
    return exc.problem.replace(str(model), "").strip(": ")


def shapes(model: Path) -> dict[str, dict[str, tuple[int, ...]]]:
    """Least, usual and largest shapes of a file's input: one to four images, sides of 64 to 192 pixels."""
    import onnx

    (declared,) = onnx.load(str(model), load_external_data=False).graph.input
    sides = [d.dim_value for d in declared.type.tensor_type.shape.dim]
    ranges = {"smallest": (1, 64), "usual": (1, SIDE), "largest": (4, 192)}
    return {
        name: {declared.name: (sides[0] or count, 3, sides[2] or side, sides[3] or side)}
        for name, (count, side) in ranges.items()
    }


def engine_of(subject: Subject, model: Path) -> tuple[str, ...]:
    """An engine of TensorRT-RTX, which is built without a GPU; nothing runs it here."""
    from anydet_tensorrt.building import BuildSettings, build_engine

    try:
        how = BuildSettings(library="tensorrt-rtx", **shapes(model))
        built = build_engine(model, model.with_suffix(".engine"), how)
        stated = built.metadata
        size = built.engine.stat().st_size / 1e6
        verdict = f"engine of {size:.1f} MB built in {stated.build_seconds:.0f} s; not run, no GPU"
        version = f"RTX {stated.library_version}"
    except AnydetError as exc:
        version, verdict = "", f"no engine: {brief(exc, model)}"
    blank = [""] * (len(COLUMNS) - 4)
    return (subject.name, "`tensorrt`", version, *blank, verdict)


def measure(subject: Subject, out: Path, images: int) -> list[tuple[str, ...]]:
    """Rows of one model."""
    data = data_of(subject, out, images)
    run = trained(subject, out, data)
    folder = out / "exports" / subject.folder
    folder.mkdir(parents=True, exist_ok=True)
    dataset = anydet.open_dataset(data / "val", "val")
    model, torch = folder / "model.onnx", folder / "torch.json"
    with anydet.load_adapter(
        subject.adapter,
        checkpoint=run,
        batch_size=1,
        score_floor=SCORES.score_threshold,
        options=subject.exported,
    ) as adapter:
        if not torch.exists():
            anydet.export_onnx(adapter, model, dynamic_batch=True)
            anydet.export_predictions(adapter, dataset, torch, limits=SCORES, wrap=True)
    exported = Exported(subject, model, torch, dataset)
    found = [compared(exported, name, 1) for name in RUNTIMES]
    found += [compared(exported, name, 4) for name in RUNTIMES[:2]]
    return [*found, engine_of(subject, model)]


def main() -> None:
    """Train what is missing, compare, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("build/runtime_parity"))
    parser.add_argument("--images", type=int, default=60, help="images that are compared")
    parser.add_argument("--only", default="", help="models with this in their name")
    parser.add_argument("--train", action="store_true", help="train, and compare nothing")
    arguments = parser.parse_args()
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    chosen = [subject for subject in SUBJECTS if arguments.only in subject.name]
    rows: list[tuple[str, ...]] = []
    for subject in chosen:
        if arguments.train:
            print(trained(subject, out, data_of(subject, out, arguments.images)))
        else:
            rows += measure(subject, out, arguments.images)
    if arguments.train:
        return
    # Columns that no model has a number in are left out.
    used = [k for k in range(len(COLUMNS)) if any(one[k] for one in rows)]
    for line in (COLUMNS, ["---"] * len(COLUMNS), *rows):
        print("| " + " | ".join(line[k] for k in used) + " |")


if __name__ == "__main__":
    main()
