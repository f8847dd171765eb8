"""Which rows and which columns of two models' answers are of the same thing; never by their index.

Classes and states are joined by name. Rows are of one of three kinds:

* queries of a set prediction: two sets are matched at the least cost (``match_queries``);
* regions, and whatever else has boxes: the other model gets the boxes and says what it finds there;
* places of a grid, such as pixels: the same in all models of a family.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from anydet.plugins.adapter import ClassLogits, RowValues

Rows: TypeAlias = Literal["queries", "regions", "places"]

CLASS_COST, BOX_COST, GIOU_COST = 2.0, 5.0, 2.0
"""Of Carion et al. 2020, "End-to-End Object Detection with Transformers", appendix A.4."""


def kind_of_rows(found: ClassLogits) -> Rows:
    """What the rows of a model's answer are."""
    if found.queries is not None:
        return "queries"
    return "regions" if found.boxes is not None else "places"


def joined_columns(
    ours: Sequence[str], theirs: Sequence[str], own_background: int | None, their_background: int | None
) -> tuple[list[int], list[int]]:
    """Columns of logits that are of the same class by name, in both models; the background's first.

    Args:
        ours: names of the classes of one model.
        theirs: names of those of the other one.
        own_background: column of the background in the logits of the first, or ``None``.
        their_background: the same of the second.
    """
    own, other = _columns(ours, own_background), _columns(theirs, their_background)
    common = [name for name in own if name in other]
    pairs = [(own[name], other[name]) for name in common]
    if own_background is not None and their_background is not None:
        pairs = [(own_background, their_background), *pairs]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def _columns(names: Sequence[str], background: int | None) -> dict[str, int]:
    """Name of a class -> its column; of a name that stands twice the first."""
    found: dict[str, int] = {}
    for place, name in enumerate(names):
        found.setdefault(name, place + (background is not None and place >= background))
    return found


def common_columns(found: ClassLogits, columns: Sequence[int]) -> ClassLogits:
    """An answer with these columns alone; the background, where it is one of them, is the first."""
    index = torch.tensor(columns, device=found.logits.device)
    background = 0 if found.background is not None and found.background == columns[0] else None
    beside = {
        name: replace(one, values=one.values[:, :, index]) if one.values.ndim == 4 else one
        for name, one in found.beside.items()
    }
    return replace(found, logits=found.logits[..., index], background=background, beside=beside)


def match_queries(student: ClassLogits, teacher: ClassLogits) -> tuple[ClassLogits, ClassLogits]:
    """The rows of two sets of queries in pairs of the least total cost in each image.

    A pair costs the difference of class probabilities, the L1 distance of normalized boxes, and 1 - GIoU,
    weighted as in DETR. Of sets of two sizes the larger one's rows that remain are left out.

    Args:
        student: (B, N, C) logits with boxes; columns as the teacher's.
        teacher: (B, M, C) logits with boxes.
    """
    from scipy.optimize import linear_sum_assignment

    with torch.no_grad():
        costs = [_pair_cost(student, teacher, image) for image in range(len(student.logits))]
        table = torch.stack(costs).nan_to_num(nan=1e6, posinf=1e6, neginf=-1e6).cpu().numpy()
    pairs = [linear_sum_assignment(one) for one in table]
    rows = torch.from_numpy(np.array(pairs, np.int64))  # (B, 2, M)
    return _take(student, rows[:, 0]), _take(teacher, rows[:, 1])


def _pair_cost(student: ClassLogits, teacher: ClassLogits, image: int) -> Tensor:
    """(N, M) of each pair of queries of one image."""
    from torchvision.ops import box_convert, generalized_box_iou

    classes = torch.cdist(
        student.logits[image].float().sigmoid(), teacher.logits[image].float().sigmoid(), p=1
    )
    boxes = [_normalized(found, image) for found in (student, teacher)]
    own, other = (box_convert(one, "xyxy", "cxcywh") for one in boxes)
    giou = generalized_box_iou(*boxes)
    cost: Tensor = CLASS_COST * classes + BOX_COST * torch.cdist(own, other, p=1) + GIOU_COST * (1 - giou)
    return cost


def _normalized(found: ClassLogits, image: int) -> Tensor:
    """(N, 4) boxes of an image as fractions of its input."""
    boxes: Tensor = found.boxes[image].float() / found.sizes_wh[image].float().repeat(2)
    return boxes


def _take(found: ClassLogits, rows: Tensor) -> ClassLogits:
    """An answer with (B, M) of its rows, in this order."""
    rows = rows.to(found.logits.device)
    images = torch.arange(len(rows), device=rows.device)[:, None]
    beside = {name: RowValues(one.values[images, rows], one.kind) for name, one in found.beside.items()}
    return replace(
        found,
        logits=found.logits[images, rows],
        valid=found.valid[images, rows],
        boxes=found.boxes[images, rows],
        queries=None if found.queries is None else found.queries[images, rows],
        beside=beside,
    )
