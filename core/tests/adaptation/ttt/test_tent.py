from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")


def test_entropy_falls_while_only_norms_of_the_backbone_change(build, grid, records):
    running = build(
        "tent",
        reset="stream",
        steps=20,
        lr=0.01,
        momentum=0.0,
        confidence=0.1,
        check_every=0,
        max_step_norm=9.0,
    )
    running.prepare(grid)
    before = {name: value.clone() for name, value in grid.get_model().named_parameters()}
    running.adapt(records)
    changed = {n for n, v in grid.get_model().named_parameters() if not torch.equal(v, before[n])}
    (step,) = running.report()["log"]
    running.restore()
    assert changed == {"backbone.1.weight", "backbone.1.bias"}
    assert step["last_loss"] < 0.9 * step["loss"]


def test_images_without_a_confident_row_change_nothing(build, grid, records):
    running = build("tent", reset="stream", momentum=0.0, confidence=1.0)
    running.prepare(grid)
    before = {name: value.clone() for name, value in grid.get_model().named_parameters()}
    running.adapt(records)
    assert all(torch.equal(v, before[n]) for n, v in grid.get_model().named_parameters())
    running.restore()
