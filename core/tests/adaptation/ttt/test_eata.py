from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from anydet.adaptation.ttt.source_statistics import collect_statistics
from anydet.data.scenes.shape_scenes import SyntheticDataset

SOURCE = SyntheticDataset(4, 0, (96, 64))


def prepared(build, grid, source=None, **options):
    running = build("eata", reset="stream", momentum=0.0, confidence=0.1, check_every=0, **options)
    running.prepare(grid, source)
    return running


def test_images_above_the_margin_are_unreliable(build, grid, records):
    running = prepared(build, grid, entropy_margin=0.0)
    running.adapt(records)
    report = running.report()
    running.restore()
    assert report["unreliable"] == len(records)
    assert "loss" not in report["log"][0]


def test_the_same_images_again_are_redundant(build, grid, records):
    running = prepared(build, grid, entropy_margin=1.0, redundancy=0.2, lr=1e-6)
    for _ in range(3):
        running.adapt(records[:1])
    report = running.report()
    running.restore()
    assert report["redundant"] == 2


def test_a_streak_of_batches_without_an_image_that_counts_ends_adaptation(build, grid, records):
    running = prepared(build, grid, entropy_margin=0.0, max_skips=2, batch_size=1)
    running.adapt(records)
    report = running.report()
    running.restore()
    assert report["stop_reason"] == "skip_streak"
    assert report["batches"] == 2


@pytest.mark.parametrize("by", ["statistics", "source"])
def test_fisher_information_holds_parameters_to_the_source(by, build, grid, records, tmp_path):
    moved = {}
    for weight in (0.0, 1e9):
        options = {
            "entropy_margin": 1.0,
            "fisher_weight": weight,
            "lr": 1e-3,
            "steps": 8,
            "redundancy": 0.0,
            "max_loss_increase": 1e9,
        }
        if by == "statistics":
            path = tmp_path / "source.npz"
            norms = {n: p for n, p in grid.get_model().named_parameters() if n.startswith("backbone.1")}
            collect_statistics(grid, SOURCE, images=4, confidence=0.1, fisher_of=norms).write(path)
            running = prepared(build, grid, statistics=str(path), **options)
        else:
            running = prepared(build, grid, SOURCE, **options)
        running.adapt(records)
        report = running.report()
        moved[weight] = report["log"][0]["total_norm"]
        running.restore()
        assert report["fisher_parameters"] == 2
    assert 0 < moved[1e9] < moved[0.0]
