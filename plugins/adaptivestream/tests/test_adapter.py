"""The adapter: predictions are the model's outputs; checkpoints, options, logits and export."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.first_weights import ORDERS, assert_classes_follow_their_names

from anydet.data.scenes.mask_scenes import CLASSES, SyntheticMasks
from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.errors import DatasetError, OptionError, TrainingError
from anydet.geometry import masks
from anydet.plugins.options import load_schema
from anydet.training.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from anydet.training.config.resolve import resolve
from anydet_adaptivestream.adapter import AdaptiveStreamAdapter
from anydet_adaptivestream.model import AdaptiveStream, Architecture, fit

pytestmark = pytest.mark.slow

WIDE = SyntheticMasks(3, 7, (80, 48))
"""Scenes that are stretched to be seen."""


@pytest.fixture(scope="module")
def adapter_of(plugins):
    def make(*, checkpoint=None, seed=0, **options):
        settings = plugins.settings(
            "adaptivestream",
            options={"image_size": 64, **options},
            checkpoint=checkpoint,
            max_detections=10_000,
            seed=seed,
        )
        return plugins.adapter("adaptivestream", settings)

    return make


@pytest.fixture(scope="module")
def trained(tmp_path_factory, train_small, adapter_of):
    """A run that has ended, and its adapter."""
    adapter = adapter_of()
    folder = tmp_path_factory.mktemp("run")
    return folder, adapter, train_small(adapter, folder)


def test_the_semantic_mask_is_the_likeliest_class_of_every_pixel_of_the_original_image(adapter_of):
    adapter = adapter_of(min_area_px=1)
    batch = torch.cat(list(adapter.build_loader(list(WIDE), batch_size=2)))
    with torch.no_grad():
        pixels, image = adapter.get_model()(batch)
    expected = fit(pixels, (48, 80)).argmax(dim=1)
    for result, classes, logits in zip(adapter.predict(list(WIDE)), expected, image, strict=True):
        size_hw = next(iter(result.semantic_mask.values())).size_hw
        assert result.size_wh == (80, 48) == size_hw[::-1]
        ours = masks.class_map(result.semantic_mask, size_hw)
        assert (ours != classes.numpy()).mean() < 1e-3  # ties may fall either way in a batch
        np.testing.assert_allclose(result.classification.scores, logits.softmax(0), atol=1e-5)
        assert result.classification.class_id == logits.argmax()
        covered = sum(masks.decode(rle).astype(int) for rle in result.masks)
        assert np.array_equal(covered, ours != 0)  # class 0 is the background
        for rle, class_id in zip(result.masks, result.class_ids, strict=True):
            assert (ours[masks.decode(rle)] == class_id).all()


def test_random_weights_are_announced_and_trained_ones_are_not(trained, adapter_of):
    assert "RANDOM WEIGHTS" in adapter_of().notes.warnings[0]
    folder, adapter, _ = trained
    assert adapter.notes.warnings == ()
    assert adapter_of(checkpoint=str(folder)).notes.warnings == ()


def test_what_was_trained_predicts_the_same_when_it_is_loaded(trained, adapter_of):
    folder, adapter, _ = trained
    loaded = adapter_of(checkpoint=str(folder), seed=9)
    assert loaded.classes == CLASSES
    for name, tensor in adapter.get_model().state_dict().items():
        assert torch.equal(tensor, loaded.get_model().state_dict()[name]), name
    for ours, theirs in zip(adapter.predict(list(WIDE)), loaded.predict(list(WIDE)), strict=True):
        assert ours.classification == theirs.classification
        assert ours.semantic_mask == theirs.semantic_mask


def test_training_logs_losses_counts_and_the_real_evaluation(trained):
    folder, _, result = trained
    train = json.loads((folder / "train_metrics.jsonl").read_text().splitlines()[-1])
    val = json.loads((folder / "val_metrics.jsonl").read_text().splitlines()[-1])
    assert train["train_loss"] == pytest.approx(
        train["train_loss_segmentation"] + 0.5 * train["train_loss_classification"], rel=1e-5
    )
    assert train["train_sanitized_nonfinite_logits"] == 0
    assert {"mIoU", "Dice", "pixel_accuracy", "accuracy", "macro_f1", "AP"} <= set(val)
    assert result.metrics["mIoU"] == pytest.approx(val["mIoU"])


def test_a_run_may_begin_with_the_weights_of_another(trained, tmp_path, small_run, adapter_of):
    folder, adapter, _ = trained
    second = adapter_of(checkpoint=str(folder))
    task = second.training_task(small_run(tmp_path))
    state = adapter.get_model().state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in task.model.state_dict().items())
    with pytest.raises(OptionError, match=r"decoder 'skip' conflicts with the checkpoint .* has 'plain'"):
        second.training_task(small_run(tmp_path, decoder="skip"))


@pytest.mark.parametrize("order", ORDERS)
def test_classes_of_a_checkpoint_follow_their_names(trained, tmp_path, small_run, adapter_of, order):
    folder, adapter, _ = trained
    batch = torch.rand(1, 3, 64, 64)
    second = adapter_of(checkpoint=str(folder))
    assert_classes_follow_their_names(adapter, second, small_run(tmp_path), order, batch)


def test_both_decoders_say_where_the_rows_of_classes_are():
    for decoder in ("plain", "skip"):
        small, large = (AdaptiveStream(Architecture(n, decoder=decoder)) for n in (3, 4))
        differs = {k for k, v in small.state_dict().items() if v.shape != large.state_dict()[k].shape}
        assert differs == small.named_rows().keys()


def test_a_checkpoint_of_another_adapter_is_refused(trained, tmp_path, adapter_of):
    folder, _, result = trained
    saved = load_checkpoint(result.checkpoint)
    save_checkpoint(tmp_path / "foreign.pt", replace(saved, adapter="somebody"))
    with pytest.raises(TrainingError, match="was trained by 'somebody', not 'adaptivestream'"):
        adapter_of(checkpoint=str(tmp_path / "foreign.pt"))
    with pytest.raises(OptionError, match="option names: 2 names for 5 classes"):
        adapter_of(checkpoint=str(folder), names=["sky", "road"])


def test_data_without_class_masks_or_classes_cannot_be_trained_on(tmp_path, small_run, adapter_of):
    boxes = SyntheticDataset(2, 0, (64, 64), "train")
    with pytest.raises(DatasetError, match="none of the first 2 images has a class mask or a class"):
        adapter_of().training_task(small_run(tmp_path, boxes))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda sample: replace(sample, label=9), r"image 000001\.png: its class is 9, the 5 classes are"),
        (
            lambda sample: replace(sample, semantic=sample.semantic + 38),
            r"image 000001\.png: its class mask has \d+, the 5 classes are 0 to 4 \(background, circle",
        ),
    ],
)
def test_labels_that_are_no_class_are_named_with_their_image(
    tmp_path, change, problem, scenes, small_run, adapter_of
):
    from anydet.training.batches.samples import sample_of

    task = adapter_of().training_task(small_run(tmp_path))
    with pytest.raises(DatasetError, match=problem):
        task.item(change(sample_of(scenes[1], {"semantic"})))


def test_images_without_a_mask_or_a_class_cost_nothing(tmp_path, scenes, small_run, adapter_of):
    from anydet.training.batches.samples import sample_of

    task = adapter_of().training_task(small_run(tmp_path))
    bare = replace(sample_of(scenes[0], ()), label=-1)
    losses = task.step(task.collate([task.item(bare), task.item(bare)]))
    assert losses.loss == 0
    assert losses.sanitized["nonfinite_logits"] == 0


def test_class_logits_are_those_of_the_image_and_then_of_its_pixels(adapter_of):
    adapter = adapter_of()
    batch = next(iter(adapter.build_loader(list(WIDE), batch_size=2)))
    found = adapter.class_logits(batch)
    pixels, image = adapter.get_model()(batch)
    assert found.logits.shape == (2, 1 + 64 * 64, 5)
    assert torch.equal(found.logits[:, 0], image)
    assert torch.equal(found.logits[:, 1 + 64 * 3 + 7], pixels[:, :, 3, 7])
    assert found.valid.all()
    assert (found.background, found.boxes, found.activation) == (None, None, "softmax")


def test_defaults_of_training_are_the_seeds_config():
    """BASE_LR, MIN_LR, WARMUP_EPOCHS, BATCH_SIZE, MAX_GRAD_NORM; a norm above 100 is skipped."""
    schema = load_schema("anydet_adaptivestream:training.schema.json")
    settings = resolve({}, None, schema, adapter_name="adaptivestream").settings
    assert (settings.lr, settings.min_lr, settings.lr_warmup_epochs) == (
        1e-3,
        1e-6,
        5,
    )  # BASE_, MIN_LR, WARMUP_
    assert (settings.batch_size, settings.clip_grad_norm, settings.max_grad_norm) == (8, 1.0, 100.0)
    assert (settings.scheduler, settings.on_nonfinite, settings.check_inputs) == ("cosine", "skip", True)
    assert settings.max_skip_share == 0.05


def test_options_that_make_no_sense_are_refused(plugins, adapter_of):
    with pytest.raises(OptionError, match="image_size"):
        adapter_of(image_size=100)
    with pytest.raises(OptionError, match="no encoder 'vgg'"):
        adapter_of(encoder="vgg").get_model()
    with pytest.raises(OptionError, match="has no configurations"):
        AdaptiveStreamAdapter(replace(plugins.settings("adaptivestream"), config="base"))
    assert adapter_of(names=["sky", "road"]).classes.names == ("sky", "road")
