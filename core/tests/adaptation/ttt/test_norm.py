from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from anydet.adaptation.ttt.snapshot import named_tensors
from anydet.errors import OptionError


def test_only_statistics_change(build, grid, records):
    running = build("norm", reset="stream")
    running.prepare(grid)
    before = {name: value.clone() for name, value in named_tensors(grid.get_model())}
    running.adapt(records)
    changed = {n for n, v in named_tensors(grid.get_model()) if not torch.equal(v, before[n])}
    described = running.describe()
    running.restore()
    assert changed == {"backbone.1.running_mean", "backbone.1.running_var"}
    assert (described.steps, described.lr, described.update_filter) == (0, 0.0, "none")


def test_a_stream_comes_nearer_to_its_own_statistics(build, grid, records):
    running = build("norm", reset="stream", check_every=0)
    running.prepare(grid)
    shifts = []
    for _ in range(12):
        with running.statistics.measuring() as found, torch.no_grad():
            grid.features(next(iter(grid.build_loader(records, batch_size=len(records)))))
        shifts.append(found["backbone.1"])
        running.adapt(records)
    running.restore()
    assert shifts == sorted(shifts, reverse=True)
    assert shifts[-1] < 0.05 * shifts[0]


def test_a_model_without_statistics_says_what_works(build, grid):
    grid.get_model().backbone[1] = torch.nn.GroupNorm(2, 4)
    with pytest.raises(
        OptionError, match=r"no norm with running statistics in backbone \(GroupNorm have none\)"
    ) as e:
        build("norm").prepare(grid)
    assert "--ttt-preset align_safe" in e.value.fix


def test_a_momentum_of_0_is_refused(build, grid):
    with pytest.raises(OptionError, match="momentum 0 does nothing"):
        build("norm", momentum=0.0).prepare(grid)
