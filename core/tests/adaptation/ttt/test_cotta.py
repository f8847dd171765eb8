from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")


def prepared(build, grid, **options):
    options = {"confidence": 0.1, "check_every": 0, "augment_below": 1.0, "momentum": 0.0, **options}
    running = build("cotta", reset="stream", lr=1e-3, update_filter="norm_only", **options)
    running.prepare(grid)
    return running


def test_the_teacher_is_the_moving_average_of_the_student(build, grid, records):
    running = prepared(build, grid, decay=0.75, restore_prob=0.0)
    weight = grid.get_model().backbone[1].weight
    first = weight.detach().clone()
    running.adapt(records)
    student = weight.detach().clone()
    with running.predicting():
        teacher = weight.detach().clone()
    assert torch.equal(weight, student)
    running.restore()
    torch.testing.assert_close(teacher, 0.75 * first + 0.25 * student)
    assert not torch.equal(student, first)


def test_weights_go_back_at_random(build, grid, records):
    running = prepared(build, grid, restore_prob=1.0)
    before = {name: value.clone() for name, value in grid.get_model().named_parameters()}
    running.adapt(records)
    assert all(torch.equal(v, before[n]) for n, v in grid.get_model().named_parameters())
    running.restore()


def test_a_sure_teacher_needs_no_augmentation(build, grid, records, monkeypatch):
    calls = []
    own = type(grid).class_logits
    monkeypatch.setattr(
        type(grid), "class_logits", lambda self, *a, **k: calls.append(1) or own(self, *a, **k)
    )
    for below, expected in ((0.0, 2), (1.0, 2 + 3)):
        running = prepared(build, grid, augment_below=below, augmentations=3)
        calls.clear()
        running.adapt(records)
        running.restore()
        assert len(calls) == expected


def test_the_teacher_comes_back_with_a_rollback(build, grid, records):
    running = prepared(build, grid, decay=0.5, max_step_norm=0.0)
    weight = grid.get_model().backbone[1].weight
    first = weight.detach().clone()
    running.adapt(records)
    with running.predicting():
        assert torch.equal(weight, first)
    assert running.report()["rollbacks"] == {"step_norm": 1}
    running.restore()
