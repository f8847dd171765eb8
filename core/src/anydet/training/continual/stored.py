"""``Stored``: an image with its labels and with what a model once answered, as plain data."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from anydet.data.record.class_mask import UNLABELED
from anydet.data.record.image_formats import open_png
from anydet.errors import DatasetError
from anydet.inputs import keep
from anydet.outputs import new_file
from anydet.plugins.adapter import ClassLogits
from anydet.training.batches.sample import Sample
from anydet.training.continual.correspondence import Rows, kind_of_rows
from anydet.training.first_weights import Names

_ROW_FIELDS = (
    "boxes",
    "class_ids",
    "iscrowd",
    "masks",
    "keypoints",
    "states",
    "rotations",
    "translations_m",
)
"""Tensors of a ``Sample`` with one row an object."""


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What a model answered about one image, on the CPU.

    Attributes:
        logits: (N, C) float16.
        rows: what the rows are.
        activation: how logits become probabilities.
        classes: names of the columns, without the background.
        background: column of the background, or ``None``.
        boxes: (N, 4) float32 ``xyxy`` as fractions of the model's input, padding left out; ``None`` without.
    """

    logits: Tensor
    rows: Rows
    activation: str
    classes: tuple[str, ...]
    background: int | None = None
    boxes: Tensor | None = None

    @classmethod
    def of(cls, found: ClassLogits, names: Names) -> Answer:
        """The answer about the one image of a batch; rows that are padding are left out."""
        valid = found.valid[0]
        boxes = None
        if found.boxes is not None:
            boxes = (found.boxes[0] / found.sizes_wh[0].repeat(2))[valid].detach().float().cpu()
        # Half of the memory; the rounding is 1/1000 of a logit.
        logits = found.logits[0][valid].detach().to(torch.float16).cpu()
        return cls(
            logits, kind_of_rows(found), found.activation, tuple(names.classes), found.background, boxes
        )

    def plain(self) -> dict[str, Any]:
        """Plain data for checkpoints."""
        return {one.name: _plain(getattr(self, one.name)) for one in fields(self)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Answer:
        """What ``plain`` gave."""
        return cls(**{**plain, "classes": tuple(plain["classes"])})


def batch_of(answers: Sequence[Answer], device: torch.device) -> ClassLogits:
    """Answers about the images of a batch as a model gives them, padded to the one with most rows."""
    first = answers[0]
    counts = torch.tensor([len(one.logits) for one in answers], device=device)
    width = int(counts.max())
    # Columns differ where the models knew other classes; rows are compared image by image then.
    columns = max(one.logits.shape[1] for one in answers)
    logits = pad_sequence(
        [torch.nn.functional.pad(one.logits.float(), (0, columns - one.logits.shape[1])) for one in answers],
        batch_first=True,
    ).to(device)
    boxes, sizes = None, None
    if first.boxes is not None:
        boxes = pad_sequence([one.boxes for one in answers if one.boxes is not None], batch_first=True)
        boxes, sizes = boxes.to(device), torch.ones(len(answers), 2, device=device)
    return ClassLogits(
        logits,
        torch.arange(width, device=device) < counts[:, None],
        first.activation,  # type: ignore[arg-type]  # as it was
        background=first.background,
        boxes=boxes,
        sizes_wh=sizes,
        queries=torch.zeros(logits.shape[:2], dtype=torch.int64, device=device)
        if first.rows == "queries"
        else None,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """An image, its labels and an answer.

    Attributes:
        sample: not augmented.
        names: of its classes and states.
        answer: what a model said of this very image.
    """

    sample: Sample
    names: Names
    answer: Answer

    def plain(self) -> dict[str, Any]:
        """Plain data for checkpoints; the image as the bytes of a PNG, which keeps every bit of it."""
        sample = {one.name: getattr(self.sample, one.name) for one in fields(Sample)}
        del sample["extra"]
        with io.BytesIO() as file:
            Image.fromarray(self.sample.image.permute(1, 2, 0).numpy()).save(file, "PNG", compress_level=1)
            sample["image"] = torch.frombuffer(bytearray(file.getvalue()), dtype=torch.uint8)
        if self.sample.semantic is not None:
            sample["semantic"] = self.sample.semantic.to(torch.int32)
        names = {"classes": list(self.names.classes), "states": list(self.names.states)}
        return {"sample": sample, "names": names, "answer": self.answer.plain()}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Stored:
        """What ``plain`` gave."""
        values = dict(plain["sample"])
        with open_png(values["image"].numpy().tobytes()) as image:
            values["image"] = torch.from_numpy(np.array(image)).permute(2, 0, 1)
        if values["semantic"] is not None:
            values["semantic"] = values["semantic"].long()
        names = Names(tuple(plain["names"]["classes"]), tuple(plain["names"]["states"]))
        return cls(Sample(**values), names, Answer.from_plain(plain["answer"]))

    def labeled_as(self, names: Names) -> Sample:
        """The sample with class ids and states of other names; objects of unknown classes are left out."""
        sample = self.sample
        if tuple(names.classes) == tuple(self.names.classes) and tuple(names.states) == tuple(
            self.names.states
        ):
            return sample
        class_ids = _renamed(sample.class_ids, self.names.classes, names.classes)
        known = class_ids >= 0
        changed: dict[str, Any] = {
            name: None if getattr(sample, name) is None else getattr(sample, name)[known]
            for name in _ROW_FIELDS
        }
        changed["class_ids"] = class_ids[known]
        if sample.states is not None:
            changed["states"] = _renamed(sample.states, self.names.states, names.states)[known]
        if sample.semantic is not None:
            semantic = _renamed(sample.semantic, self.names.classes, names.classes)
            changed["semantic"] = torch.where(semantic < 0, UNLABELED, semantic)
        label = _renamed(torch.tensor([sample.label]), self.names.classes, names.classes)
        return replace(sample, **changed, label=int(label))


def _renamed(ids: Tensor, before: Sequence[str], now: Sequence[str]) -> Tensor:
    """Positions in ``before`` as those in ``now``; -1 for what is in neither."""
    places = {name: place for place, name in reversed(list(enumerate(now)))}
    table = torch.tensor([*(places.get(name, -1) for name in before), -1])
    inside = (ids >= 0) & (ids < len(before))
    return table[torch.where(inside, ids, len(before))]


def write_answer(path: Path, answer: Answer) -> None:
    """Write an answer as the npz file that ``derpp_teacher_key`` names; see ``read_answer``."""
    arrays: dict[str, Any] = {
        "logits": answer.logits.float().numpy(),
        "classes": np.array(answer.classes, np.str_),
        "rows": np.array(answer.rows),
        "activation": np.array(answer.activation),
    }
    if answer.background is not None:
        arrays["background"] = np.array(answer.background)
    if answer.boxes is not None:
        arrays["boxes"] = answer.boxes.numpy()
    with new_file(path) as file:
        np.savez(file, **arrays)


def read_answer(path: Path, image: str) -> Answer:
    """An answer from an npz file: no code of it is run.

    ``logits`` (N, C), ``classes`` names of the columns without the background, ``activation`` sigmoid or
    softmax, ``rows`` queries, regions or places; ``boxes`` (N, 4) ``xyxy`` in 0..1 for the first two, and
    ``background``, its column, where there is one.

    Args:
        path: the file.
        image: key of the record that names it, for messages.

    Raises:
        DatasetError: it is not there, or is something else.
    """
    keep(path)
    try:
        # Opened here, as np.load leaves a file open that it then refuses.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
        logits, classes = found["logits"].astype(np.float32), [str(name) for name in found["classes"]]
        background = int(found["background"]) if "background" in found else None
        boxes = found["boxes"].astype(np.float32) if "boxes" in found else None
        rows, activation = str(found["rows"]), str(found["activation"])
    except (OSError, ValueError, KeyError, TypeError, EOFError) as exc:
        raise _broken(path, image, f"{type(exc).__name__}: {exc}") from exc
    except Exception as exc:  # zipfile's, of a damaged archive
        raise _broken(path, image, type(exc).__name__) from exc
    columns = len(classes) + (background is not None)
    fits = {
        f"logits of {columns} columns": logits.ndim == 2 and logits.shape[1] == columns and len(logits) > 0,
        "finite logits": bool(np.isfinite(logits).all()),
        "rows queries, regions or places": rows in {"queries", "regions", "places"},
        "activation sigmoid or softmax": activation in {"sigmoid", "softmax"},
        "a background among the columns": background is None or 0 <= background < columns,
        "(N, 4) boxes": (boxes is None and rows == "places")
        or (boxes is not None and boxes.shape == (len(logits), 4) and bool(np.isfinite(boxes).all())),
    }
    if missing := [what for what, there in fits.items() if not there]:
        raise _broken(path, image, f"expected {missing[0]}")
    return Answer(
        torch.from_numpy(logits).to(torch.float16),
        rows,  # type: ignore[arg-type]  # one of them
        activation,
        tuple(classes),
        background,
        None if boxes is None else torch.from_numpy(boxes),
    )


def _broken(path: Path, image: str, problem: str) -> DatasetError:
    return DatasetError(
        f"image {image}: {path}: no stored outputs of DER++: {problem:.200}",
        fix="write it with anydet.training.continual.stored.write_answer, or leave the sidecar's key out",
    )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
