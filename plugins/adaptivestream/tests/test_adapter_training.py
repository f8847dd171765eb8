"""Training through the engine: it learns, and bad numbers are named and skipped."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from anydet.data.scenes.mask_scenes import SyntheticMasks
from anydet.errors import TrainingError
from anydet_adaptivestream.task import AdaptiveStreamTraining

pytestmark = pytest.mark.slow


@pytest.fixture
def train(plugins, small_run):
    """A run that has ended: its adapter and what it gave."""

    def train(folder, **keys):
        run = small_run(folder, **keys)
        with plugins.adapter("adaptivestream", plugins.settings("adaptivestream")) as adapter:
            result = adapter.train(run)
            return adapter, result

    return train


def lines(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.mark.parametrize("decoder", [pytest.param("plain", marks=pytest.mark.soak), "skip"])
def test_four_images_are_overfitted(decoder, tmp_path, train):
    """Loss far under chance, masks and classes right: gradients reach everything they must."""
    _, result = train(tmp_path, decoder=decoder, epochs=80, batch_size=4, val_every=0, lr=3e-3, seed=1)
    last = lines(tmp_path / "train_metrics.jsonl")[-1]
    assert last["train_loss"] < 0.05 * 1.5 * np.log(5)
    assert result.metrics["accuracy"] == 1.0
    assert result.metrics["mIoU"] >= 0.9
    assert result.metrics["AP50"] >= 0.9


def test_resuming_gives_the_bits_of_a_run_that_was_never_interrupted(tmp_path, train):
    whole, _ = train(tmp_path / "whole", epochs=2)
    train(tmp_path / "parts", max_steps=3, epochs=2)
    parts, _ = train(tmp_path / "parts", epochs=2, resume=True)
    for ours, theirs in zip(
        whole.get_model().state_dict().values(), parts.get_model().state_dict().values(), strict=True
    ):
        assert torch.equal(ours, theirs)


def test_half_precision_an_average_of_weights_and_accumulation_go_together(tmp_path, plugins, train):
    """What is loaded is the average that was validated."""
    adapter, result = train(
        tmp_path, amp="bf16", use_ema=True, ema_eval=True, ema_decay=0.5, gradient_accumulation_steps=2
    )
    settings = plugins.settings("adaptivestream", checkpoint=result.checkpoint)
    with plugins.adapter("adaptivestream", settings) as loaded:
        state = loaded.get_model().state_dict()
    for name, value in adapter.get_model().state_dict().items():
        assert torch.equal(value, state[name]), name
    assert np.isfinite(lines(tmp_path / "train_metrics.jsonl")[-1]["train_loss"])


def spoil(monkeypatch, keys):
    """Images of these keys reach the model as NaN."""
    item = AdaptiveStreamTraining.item

    def spoilt(self, sample):
        made = item(self, sample)
        return made if sample.key not in keys else made | {"images": made["images"] * float("nan")}

    monkeypatch.setattr(AdaptiveStreamTraining, "item", spoilt)


def test_a_batch_with_nan_is_named_and_skipped_and_the_rest_trains_on(
    tmp_path, monkeypatch, capsys, plugins, small_run
):
    spoil(monkeypatch, {"000002.png"})
    validation = SyntheticMasks(2, 1, (64, 64))
    run = small_run(tmp_path, batch_size=1, max_skip_share=0.5)
    with plugins.adapter("adaptivestream", plugins.settings("adaptivestream")) as adapter:
        adapter.train(replace(run, validation=validation))
        state = adapter.get_model().state_dict()
    assert all(torch.isfinite(value).all() for value in state.values())
    reported = capsys.readouterr().err
    assert "000002.png" in reported
    assert "input is not finite" in reported


def test_a_run_that_skips_more_steps_than_allowed_fails_with_the_reason(tmp_path, monkeypatch, train):
    spoil(monkeypatch, {"000002.png"})
    with pytest.raises(TrainingError, match=r"0\.05|5 ?%"):
        train(tmp_path, batch_size=1)


def test_a_poisoned_weight_ends_the_run_and_is_named(tmp_path, monkeypatch, train):
    from anydet_adaptivestream.adapter import AdaptiveStreamAdapter

    build = AdaptiveStreamAdapter.training_task

    def poisoned(self, run):
        task = build(self, run)
        with torch.no_grad():
            task.model.decoder[6].weight[0, 0, 0, 0] = float("nan")
        return task

    monkeypatch.setattr(AdaptiveStreamAdapter, "training_task", poisoned)
    with pytest.raises(TrainingError, match=r"decoder\.6\.weight are not finite"):
        train(tmp_path)
