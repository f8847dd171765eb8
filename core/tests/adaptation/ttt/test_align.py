from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from anydet.adaptation.ttt.snapshot import named_tensors
from anydet.adaptation.ttt.source_statistics import collect_statistics
from anydet.data.dataset.in_memory import InMemory
from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.errors import OptionError
from anydet.testing.images import in_memory

SCENES = SyntheticDataset(16, 0, (96, 64))


def darker(images):
    return in_memory([(image // 2).astype(image.dtype) for image in images])


@pytest.fixture
def dark(records):
    return darker([record.image() for record in records])


def prepared(build, grid, source=SCENES, **options):
    options = {"momentum": 0.0, "check_every": 0, "confidence": 0.1, **options}
    running = build("align", reset="stream", **options)
    running.prepare(grid, source)
    return running


@pytest.mark.slow
@pytest.mark.parametrize("adaptors", [False, True])
def test_features_come_nearer_to_the_source(adaptors, build, grid, dark):
    options = {"lr": 0.02, "max_step_norm": 9.0, "max_total_norm": 99.0, "average": 0.5}
    running = prepared(build, grid, adaptors=adaptors, adaptor_ratio=1, **options)
    for _ in range(60):
        running.adapt(dark)
    losses = [step["loss"] for step in running.report()["log"] if "loss" in step]
    changed = list(running.parameters)
    running.restore()
    assert losses[-1] < 0.5 * max(losses)
    assert all("adaptor" in name for name in changed) == adaptors


def test_source_images_are_left_alone(build, grid):
    source = InMemory.read(SCENES)
    running = prepared(build, grid, source, object_weight=0.0, batch_size=8, gap_ratio=1e3, rise_ratio=1e3)
    before = {name: value.clone() for name, value in named_tensors(grid.get_model())}
    running.adapt(list(source)[:8])
    report = running.report()
    same = all(torch.equal(v, before[n]) for n, v in named_tensors(grid.get_model()))
    running.restore()
    assert report["skipped"] == {"no_gap": 1}
    assert same


def test_the_model_has_no_adaptors_afterwards(build, grid, records):
    before = {name: value.clone() for name, value in named_tensors(grid.get_model())}
    running = prepared(build, grid, adaptors=True, gap_ratio=0.0)
    running.adapt(records)
    running.restore()
    after = dict(named_tensors(grid.get_model()))
    assert set(after) == set(before)
    assert all(torch.equal(value, before[name]) for name, value in after.items())


def test_statistics_of_another_model_are_refused(build, grid, records, tmp_path):
    statistics = collect_statistics(grid, SCENES, images=8)
    moved = type(statistics)(
        {"backbone.stride4": next(iter(statistics.images.values()))}, None, statistics.counts, 0.1, {}
    )
    moved.write(tmp_path / "other.npz")
    running = prepared(build, grid, None, statistics=str(tmp_path / "other.npz"))
    with pytest.raises(
        OptionError.__base__, match=r"other.npz: statistics of another model.*stride4.*stride8"
    ):
        running.adapt(records)
    running.restore()


def test_without_anything_of_the_source_it_says_what_to_add(build, grid):
    with pytest.raises(OptionError, match="needs statistics of the source") as error:
        build("align").prepare(grid)
    assert "--ttt-statistics" in error.value.fix
