"""Checkpoints: one file of our own, read without running any code that it may hold."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from anydet.errors import TrainingError
from anydet.outputs import new_file
from anydet.plugins.checkpoints import IN_A_RUN, find_weights
from anydet.plugins.weights_file import WeightsFile, identify
from anydet.training.checkpoints.plain_data import digest, require_plain
from anydet.training.lora.quantized import dequantized, rounded
from anydet.training.lora.spec import LoraSpec, LoraState, is_lora, merged

FORMAT = 1
"""Version of the file's layout, under the key ``anydet_checkpoint``."""
_GIVE = "give a file that 'anydet train' wrote, such as runs/ID/checkpoints/best.pt"
_DAMAGED = "copy the file again, or use another checkpoint of the run"


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """Weights and what they need around them.

    Attributes:
        adapter: registered name of the adapter that trained it.
        model: state dictionary to predict with; the average's with ``ema_eval``. LoRA is merged into it.
        description: what rebuilds the model (``TrainingTask.description``).
        classes: names of the class ids.
        step: optimizer steps taken.
        metrics: numbers of the last validation before it was written.
        training: what a run needs to go on, or ``None`` in a checkpoint that only predicts.
        source: file that it was read from.
        lora: LoRA layers of the model, apart from the weights that they change; ``None`` without.
    """

    adapter: str
    model: Mapping[str, Tensor]
    description: Mapping[str, Any]
    classes: tuple[str, ...]
    step: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    training: Mapping[str, Any] | None = None
    source: str = ""
    lora: LoraState | None = field(default=None, kw_only=True)

    @property
    def state(self) -> dict[str, Tensor]:
        """What is saved: the weights without LoRA, and the LoRA layers."""
        return {**self.model, **(self.lora.tensors if self.lora is not None else {})}

    def check_adapter(self, adapter: str) -> None:
        """Raise ``TrainingError`` where another adapter trained it."""
        if self.adapter != adapter:
            raise TrainingError(
                f"{self.source}: was trained by {self.adapter!r}, not {adapter!r}",
                fix=f"use --adapter {self.adapter}",
            )


def find_checkpoint(path: Path | str) -> Path:
    """The checkpoint of a run folder (the best one, else the last), or ``path`` itself.

    Raises ``TrainingError`` where there is none.
    """
    found = find_weights(path)
    if found is not None:
        return found
    if Path(path).is_dir():
        raise TrainingError(
            f"{path}: a folder without {' or '.join(IN_A_RUN)}",
            fix="name a checkpoint file, or the folder of a run that has saved one",
        )
    what = "no regular file" if Path(path).exists() else "no such checkpoint"
    raise TrainingError(f"{path}: {what}", fix="name a checkpoint file or a run's folder")


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint; the file is there whole or as it was.

    Raises:
        OutputError: as ``new_file``.
        TrainingError: something in it is no plain data, and could not be read back.
    """
    _save(path, _content(checkpoint, checkpoint.state))


def save_adapter_only(path: Path, checkpoint: Checkpoint) -> None:
    """Write what its base lacks of a checkpoint with LoRA; ``load_checkpoint`` joins them again.

    Raises as ``save_checkpoint``.
    """
    assert checkpoint.lora is not None
    spec, state = checkpoint.lora.spec, checkpoint.state
    own = {name: tensor for name, tensor in state.items() if is_lora(name) or name in spec.changed}
    content = _content(checkpoint, own)
    _save(path, {**content, "rest": [name for name in state if name not in own]})


def _content(checkpoint: Checkpoint, state: Mapping[str, Tensor]) -> dict[str, Any]:
    content = {
        "anydet_checkpoint": FORMAT,
        "adapter": checkpoint.adapter,
        "model": dict(state),
        "description": dict(checkpoint.description),
        "classes": list(checkpoint.classes),
        "step": checkpoint.step,
        "metrics": dict(checkpoint.metrics),
        "training": None if checkpoint.training is None else dict(checkpoint.training),
    }
    return content if checkpoint.lora is None else {**content, "lora": checkpoint.lora.spec.as_dict()}


def _save(path: Path, content: dict[str, Any]) -> None:
    require_plain(content, source=f"{path}: cannot be saved")
    save_tensors(path, {**content, "digest": digest(content)})


def save_tensors(path: Path, content: Any) -> None:
    """``torch.save`` as ``outputs.new_file`` writes."""
    with new_file(path) as file:
        try:
            torch.save(content, file)
        except RuntimeError as exc:
            # Torch's writer of archives ends with an error of its own where the file refuses its bytes.
            refusal = exc.__cause__ or exc.__context__
            if isinstance(refusal, OSError):
                raise refusal from exc
            raise


def load_checkpoint(
    path: Path | str, *, adapter: str | None = None, device: str | torch.device = "cpu"
) -> Checkpoint:
    """Read a checkpoint, tensors on ``device``.

    Args:
        path: a file that ``save_checkpoint`` wrote, or the folder of a run.
        adapter: registered name of the adapter that must have trained it; ``None`` for any.
        device: where tensors go.

    Raises:
        TrainingError: it is not there, no checkpoint of anydet, damaged, of a newer version, or another
            adapter's.
    """
    path = find_checkpoint(path)
    with naming_a_whole_one(path):
        checkpoint = as_checkpoint(load_tensors(path, device=device), path)
    if adapter is not None:
        checkpoint.check_adapter(adapter)
    return checkpoint


def as_checkpoint(content: Any, path: Path) -> Checkpoint:
    """What ``load_tensors`` read from ``path``; raises ``TrainingError`` where it is no whole checkpoint."""
    if not is_checkpoint(content):
        raise TrainingError(f"{path}: not a checkpoint of anydet", fix=_GIVE)
    _check(path, content)
    model, lora = content["model"], None
    if content.get("lora") is not None:
        spec = LoraSpec.from_plain(content["lora"], source=str(path))
        state = model if content.get("rest") is None else _with_base(path, content, spec)
        model, lora = merged(state, spec, source=str(path))
    return Checkpoint(
        content["adapter"],
        model,
        content["description"],
        tuple(content["classes"]),
        content["step"],
        content["metrics"],
        content["training"],
        str(path),
        lora=lora,
    )


def _with_base(path: Path, content: Mapping[str, Any], spec: LoraSpec) -> dict[str, Tensor]:
    """The state of a file that holds LoRA layers alone, with the rest from its base."""
    if spec.base is None:
        raise TrainingError(f"{path}: a broken checkpoint: it names no base", fix=_GIVE)
    file = path.parent / spec.base.path
    if not file.is_file():
        file = path.parent / Path(spec.base.path).name
    whole = "or give best.pt of the run that wrote it, which needs no base"
    if not file.is_file():
        raise TrainingError(
            f"{path}: holds LoRA layers alone, and their base {spec.base.path} is not there",
            fix=f"put the base beside it, {whole}",
        )
    base = load_checkpoint(file)
    base.check_adapter(content["adapter"])
    if digest(dict(base.model)) != spec.base.digest:
        raise TrainingError(
            f"{path}: its LoRA layers were trained on other weights than {file} holds now",
            fix=f"put back the checkpoint that the run began with, {whole}",
        )
    missing = [name for name in content["rest"] if name not in base.model]
    if missing:
        raise TrainingError(f"{path}: a broken checkpoint: its base has no {missing[0]!r:.80}", fix=_GIVE)
    device = next((t.device for t in content["model"].values()), torch.device("cpu"))
    rest = {name: base.model[name].to(device) for name in content["rest"]}
    if spec.quantized != "none":
        # The layers were trained on rounded weights; those of the base are as they were before.
        for name in (name for name in spec.rounded if name in rest):
            rest[name] = dequantized(rounded(rest[name], spec.quantized))
    return {**rest, **content["model"]}


def is_checkpoint(content: Any) -> bool:
    """Whether ``load_tensors`` gave a checkpoint of anydet, of whatever version."""
    return isinstance(content, dict) and "anydet_checkpoint" in content


@contextmanager
def naming_a_whole_one(path: Path) -> Iterator[None]:
    """Around reading ``path``: a ``TrainingError`` names the run's other checkpoint where that is whole."""
    try:
        yield
    except TrainingError as exc:
        other = _whole_one_beside(path)
        if other is None:
            raise
        on = ", and to train on, begin a new run with it" if path.name in _LAST else ""
        raise TrainingError(exc.problem, fix=f"use --checkpoint {other}, which is whole{on}") from exc


_LAST = ("last.pt", "checkpoint.pt")


def _whole_one_beside(path: Path) -> Path | None:
    """Another checkpoint of the same run that can be read."""
    names = list(dict.fromkeys(Path(name).name for name in IN_A_RUN))
    for name in names if path.name in names else ():
        other = path.with_name(name)
        if name != path.name and other.is_file():
            with suppress(TrainingError):
                as_checkpoint(load_tensors(other), other)
                return other
    return None


_PARTS: Mapping[str, tuple[type, ...]] = {
    "adapter": (str,),
    "model": (dict,),
    "description": (dict,),
    "classes": (list, tuple),
    "step": (int,),
    "metrics": (dict,),
    "training": (dict, type(None)),
}
_OPTIONAL: Mapping[str, tuple[type, ...]] = {"lora": (dict, type(None)), "rest": (list, type(None))}


def _check(path: Path, content: Mapping[str, Any]) -> None:
    """Raise ``TrainingError`` where a checkpoint is of another version, damaged, or lacks a part."""
    version = content["anydet_checkpoint"]
    if version != FORMAT:
        newer = isinstance(version, int) and version > FORMAT
        raise TrainingError(
            f"{path}: checkpoint format {version!r:.40}, this version reads {FORMAT}",
            fix="update anydet: pip install --upgrade anydet" if newer else _GIVE,
        )
    # Files of before there was a digest have none.
    stated = content.get("digest")
    if stated is not None and stated != digest({k: v for k, v in content.items() if k != "digest"}):
        raise TrainingError(f"{path}: damaged: its content is not what was written", fix=_DAMAGED)
    there = {name: kinds for name, kinds in _OPTIONAL.items() if name in content}
    for name, kinds in {**_PARTS, **there}.items():
        if not isinstance(content.get(name, ...), kinds):
            what = f"is of type {type(content[name]).__name__}" if name in content else "is missing"
            raise TrainingError(f"{path}: a broken checkpoint: {name!r} {what}", fix=_GIVE)
    wrong = {
        "model has no tensor": [k for k, v in content["model"].items() if not isinstance(v, Tensor)],
        "classes has no name": [name for name in content["classes"] if not isinstance(name, str)],
        "rest has no name": [name for name in content.get("rest") or () if not isinstance(name, str)],
        "metrics has no number": [k for k, v in content["metrics"].items() if not isinstance(v, int | float)],
    }
    for what, keys in wrong.items():
        if keys:
            raise TrainingError(f"{path}: a broken checkpoint: {what} {keys[0]!r:.80}", fix=_GIVE)


def load_tensors(path: Path, *, device: str | torch.device = "cpu", handover: bool = False) -> Any:
    """What ``torch.save`` wrote, if it is data and nothing else.

    Args:
        path: a file.
        device: where tensors go.
        handover: whether what a run leaves to its next task is read, which else is no weights.

    Raises ``TrainingError`` for a file that cannot be read, is damaged, of another kind, or holds more than
    data; nothing of it is run.
    """
    try:
        found = identify(path)
    except OSError as exc:
        raise TrainingError(
            f"{path}: cannot be read: {exc.strerror or exc}",
            fix="change its permissions, or copy the file again",
        ) from exc
    _require_archive(path, found)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles that torch did not write
            # weights_only: unpickling anything else can run code of whoever wrote the file.
            content = torch.load(path, map_location=device, weights_only=True)
    except Exception as exc:  # torch raises whatever bytes lead to
        raise _unreadable(path, found, exc) from exc
    require_plain(content, source=str(path), fix=_GIVE)
    if not handover and isinstance(content, dict) and "anydet_continual" in content:
        raise TrainingError(
            f"{path}: is what the methods of a run leave to its next task, and has no model in it",
            fix=f"give {path.with_name('best.pt')}, beside which it is found by itself",
        )
    return content


def _require_archive(path: Path, found: WeightsFile) -> None:
    """Raise ``TrainingError`` for a file that ``torch.save`` did not write whole."""
    if found.damaged:
        raise TrainingError(f"{path}: {found.what}", fix=found.fix or _DAMAGED)
    if found.archive is None:
        to_predict = f"--adapter {found.adapter} predicts with it; to train, {_GIVE}"
        raise TrainingError(
            f"{path}: {found.what}, no weights that torch.save wrote",
            fix=found.fix or (to_predict if found.adapter else _GIVE),
        )
    for kind, count, size in found.archive.storages.values():
        # Former versions of torch read beyond the end of a record that is too short.
        if count * _BYTES.get(kind.removeprefix("torch."), 1) > size:
            raise TrainingError(f"{path}: damaged: a tensor has fewer bytes than it states", fix=_DAMAGED)


def _unreadable(path: Path, found: WeightsFile, exc: Exception) -> TrainingError:
    """The error for an archive that torch refuses."""
    objects = found.archive.objects if found.archive else ()
    foreign = [name for name in objects if not name.startswith(_OF_TENSORS) and not name.endswith("Storage")]
    if isinstance(exc, UnpicklingError) and foreign:
        return TrainingError(
            f"{path}: holds more than data ({foreign[0]!r:.80}), which could run code; nothing of it was run",
            fix="save model.state_dict() with torch.save, and give that file",
        )
    if found.what == "a pickle":
        return TrainingError(f"{path}: a pickle, no weights that torch.save wrote", fix=_GIVE)
    return TrainingError(f"{path}: damaged: its tensors cannot be read", fix=_DAMAGED)


_BYTES = {
    **dict.fromkeys(("HalfStorage", "BFloat16Storage", "ShortStorage"), 2),
    **dict.fromkeys(("FloatStorage", "IntStorage"), 4),
    **dict.fromkeys(("DoubleStorage", "LongStorage", "ComplexFloatStorage"), 8),
    "ComplexDoubleStorage": 16,
}
"""Bytes of an element; 1 for others."""
_OF_TENSORS = ("torch._utils._rebuild_", "torch.storage.", "collections.OrderedDict")
"""What tensors are pickled by, beside classes of storages."""
