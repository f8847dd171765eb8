"""Rows and columns that are of the same thing."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("scipy.optimize")

from anydet.plugins.adapter import ClassLogits, RowValues
from anydet.training.continual.correspondence import (
    common_columns,
    joined_columns,
    kind_of_rows,
    match_queries,
)


def answer(count=6, classes=3, seed=0, **keys):
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(1, count, 2, generator=generator) * 50
    boxes = torch.cat([corners, corners + 1 + torch.rand(1, count, 2, generator=generator) * 40], -1)
    values = {
        "logits": torch.randn(1, count, classes, generator=generator),
        "valid": torch.ones(1, count, dtype=torch.bool),
        "activation": "sigmoid",
        "boxes": boxes,
        "sizes_wh": torch.tensor([[100, 100]]),
        "queries": torch.arange(count)[None],
        "beside": {"bbox": RowValues(boxes / 100)},
    }
    return ClassLogits(**{**values, **keys})


def test_columns_go_by_name_whatever_their_order():
    assert joined_columns(["a", "b", "c"], ["c", "x", "a"], None, None) == ([0, 2], [2, 0])
    assert joined_columns(["a", "b"], ["b"], 0, 0) == ([0, 2], [0, 1])
    assert joined_columns(["a", "b"], ["b"], 2, 0) == ([2, 1], [0, 1])
    assert joined_columns(["a"], ["b"], 0, None) == ([], [])


def test_values_of_classes_follow_their_columns():
    deltas = torch.arange(2 * 3 * 4.0).view(1, 2, 3, 4)
    found = answer(2, beside={"bbox": RowValues(deltas)}, background=0)
    taken = common_columns(found, [0, 2])
    assert taken.background == 0
    assert torch.equal(taken.logits, found.logits[..., [0, 2]])
    assert torch.equal(taken.beside["bbox"].values, deltas[:, :, [0, 2]])
    assert common_columns(found, [2, 1]).background is None


@pytest.mark.parametrize("seed", range(5))
def test_queries_in_another_order_find_each_other(seed):
    student = answer(seed=seed)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(seed))
    teacher = ClassLogits(
        student.logits[:, order],
        student.valid,
        "sigmoid",
        boxes=2 * student.boxes[:, order],  # an input of twice the size
        sizes_wh=2 * student.sizes_wh,
        queries=student.queries[:, order],
        beside={"bbox": RowValues(student.beside["bbox"].values[:, order])},
    )
    ours, theirs = match_queries(student, teacher)
    assert torch.equal(ours.logits, theirs.logits)
    assert torch.equal(ours.beside["bbox"].values, theirs.beside["bbox"].values)
    assert torch.equal(ours.queries, theirs.queries)


def test_of_sets_of_two_sizes_the_best_pairs_are_taken():
    student, few = answer(), answer(2)
    few = ClassLogits(
        student.logits[:, [4, 1]],
        few.valid,
        "sigmoid",
        boxes=student.boxes[:, [4, 1]],
        sizes_wh=student.sizes_wh,
        queries=student.queries[:, [4, 1]],
    )
    ours, theirs = match_queries(student, few)
    assert sorted(ours.queries[0].tolist()) == [1, 4]
    assert torch.equal(ours.queries, theirs.queries)


def test_numbers_that_are_not_finite_end_no_training():
    student = answer()
    student.logits[0, 0, 0] = float("nan")
    ours, _ = match_queries(student, answer(seed=1))
    assert sorted(ours.queries[0].tolist()) == list(range(6))


def test_what_rows_are_is_seen_by_what_they_have():
    assert kind_of_rows(answer()) == "queries"
    assert kind_of_rows(answer(queries=None)) == "regions"
    assert kind_of_rows(answer(queries=None, boxes=None)) == "places"
