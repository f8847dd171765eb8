from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.first_weights import ORDERS, assert_classes_follow_their_names

from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.errors import DatasetError, OptionError, TrainingError
from anydet.plugins.manager import Plugins
from anydet.plugins.options import load_schema
from anydet.training.batches.sample import Sample
from anydet.training.batches.samples import sample_of
from anydet.training.checkpoints.checkpoint import load_checkpoint
from anydet.training.config.resolve import resolve
from anydet.types import AdapterSettings
from anydet_delftbikes.parts import PARTS, STATES
from anydet_delftbikes.scenes.dataset import SyntheticBikes
from anydet_fasterrcnn_multitask.adapter import BEST, FasterRCNNMultiTask
from anydet_fasterrcnn_multitask.build import build_task
from anydet_fasterrcnn_multitask.saved import NAME, save_state
from anydet_fasterrcnn_multitask.task import MultiTaskTraining

pytestmark = pytest.mark.slow


def sample(**changes):
    known = {
        "key": "a.png",
        "image": torch.zeros(3, 8, 8, dtype=torch.uint8),
        "boxes": torch.tensor([[0.0, 0, 4, 4], [1, 1, 8, 8], [2, 2, 5, 5]]),
        "class_ids": torch.tensor([0, 5, 21]),
        "iscrowd": torch.tensor([False, True, False]),
        "states": torch.tensor([2, 0, -1]),
    }
    return Sample(**(known | changes))


def test_labels_count_from_one_absent_parts_are_positives_and_crowds_are_left_out():
    image, target = MultiTaskTraining.item(sample())
    assert image.dtype == torch.uint8
    assert target["labels"].tolist() == [1, 22]
    assert target["states"].tolist() == [2, -1]
    assert target["boxes"].tolist() == [[0, 0, 4, 4], [2, 2, 5, 5]]


def test_states_that_a_data_set_does_not_have_are_unknown():
    assert MultiTaskTraining.item(sample(states=None))[1]["states"].tolist() == [-1, -1]


def test_batches_are_tuples():
    images, targets = MultiTaskTraining.collate([MultiTaskTraining.item(sample()) for _ in range(2)])
    assert isinstance(images, tuple)
    assert isinstance(targets, tuple)
    assert len(images) == len(targets) == 2


@pytest.fixture(scope="module")
def task(tmp_path_factory, tiny_run):
    torch.manual_seed(0)
    run = tiny_run(tmp_path_factory.mktemp("task"), options={"state_loss": "balanced"})
    return FasterRCNNMultiTask(AdapterSettings(score_floor=0.001)).training_task(run)


def batch_of(task, count=2):
    return task.collate([task.item(sample_of(record)) for record in SyntheticBikes(count, 0, (96, 72))])


def test_the_total_is_detection_and_half_of_states(task):
    output = task.step(batch_of(task))
    names = ["classifier", "box_reg", "objectness", "rpn_box_reg", "state"]
    assert sorted(output.losses) == sorted(names)
    expected = sum(output.losses[name] for name in names[:4]) + 0.5 * output.losses["state"]
    torch.testing.assert_close(output.loss, expected)


def test_a_task_knows_how_often_each_state_is(task):
    states = SyntheticBikes(4, 0, (96, 72)).ground_truth().labels.states
    weights = task.model.roi_heads.state_loss.weights
    counts = torch.tensor(np.bincount(states[states >= 0], minlength=4))
    totals = (weights * counts)[counts > 0]
    torch.testing.assert_close(totals, totals[:1].expand_as(totals))
    assert task.classes.names == PARTS


def test_a_validation_step_gives_the_same_value_twice(task):
    batch = batch_of(task)
    task.model.eval()
    first, second = (task.validation_step(batch) for _ in range(2))
    assert torch.equal(first.loss, second.loss)
    assert not task.model.training


def test_a_data_set_without_states_trains_detection_and_predictions_have_none(tmp_path, tiny_run):
    run = replace(tiny_run(tmp_path), dataset=SyntheticDataset(2, 0, (96, 72), "train"))
    adapter = FasterRCNNMultiTask(AdapterSettings(score_floor=0.001))
    task = adapter.training_task(run)
    assert task.about.state_names == ()
    output = task.step(task.collate([task.item(sample(states=None, class_ids=torch.tensor([0, 1, 2])))]))
    assert output.losses["state"] == 0
    task.model.eval()
    (found,) = adapter.predict([run.dataset[0]])
    assert adapter.classes.names == run.dataset.classes.names
    assert found.states is None
    assert found.state_scores is None


def test_a_data_set_that_names_no_classes_is_an_error(tmp_path, tiny_run):
    class Nameless(SyntheticDataset):
        @property
        def classes(self):
            return None

    run = replace(tiny_run(tmp_path), dataset=Nameless(2))
    with pytest.raises(DatasetError, match="has no class names"):
        build_task(run, None, lambda model, about: None)


def test_a_state_without_a_name_is_an_error(tmp_path, tiny_run):
    class Seven(SyntheticBikes):
        def ground_truth(self, max_images=None):
            truth = super().ground_truth(max_images)
            labels = replace(truth.labels, states=np.full(len(truth), 7))
            return replace(truth, labels=labels)

    run = replace(tiny_run(tmp_path), dataset=Seven(1, 0, (96, 72)))
    with pytest.raises(DatasetError, match="state 7, but there are 4: intact"):
        build_task(run, None, lambda model, about: None)


def test_without_a_checkpoint_a_warning_states_that_weights_are_random(tmp_path, tiny_run):
    adapter = FasterRCNNMultiTask(AdapterSettings())
    assert "RANDOM WEIGHTS" in adapter.notes.warnings[0]
    assert adapter.classes.names == PARTS
    adapter.training_task(tiny_run(tmp_path))
    assert adapter.notes.warnings == ()


def test_names_must_be_as_many_as_classes(task, tmp_path):
    save_state(tmp_path / "x.pth", task.model.state_dict(), task.about)
    with pytest.raises(OptionError, match="1 names for 22 classes"):
        FasterRCNNMultiTask(AdapterSettings(checkpoint=str(tmp_path / "x.pth"), options={"names": ["a"]}))


def test_options_go_before_a_checkpoint(task, tmp_path):
    save_state(tmp_path / "x.pth", task.model.state_dict(), task.about)
    options = {"min_size": 96, "nms_iou": 0.3}
    adapter = FasterRCNNMultiTask(AdapterSettings(checkpoint=str(tmp_path / "x.pth"), options=options))
    assert adapter.notes.preprocess.size_wh[1] == 96
    assert adapter.notes.nms_iou == 0.3
    assert adapter.get_model().architecture.pyramid_channels == 16


def test_images_form_a_batch_only_where_their_inputs_have_one_size(tmp_path, tiny_run):
    adapter = FasterRCNNMultiTask(AdapterSettings())
    adapter.training_task(tiny_run(tmp_path, images=1))
    sizes = [(96, 72), (96, 72), (72, 96), (96, 72)]
    records = [SyntheticBikes(1, i, size)[0] for i, size in enumerate(sizes)]
    batches = list(adapter.build_loader(records, batch_size=3))
    assert [tuple(batch.shape) for batch in batches] == [(2, 3, 64, 96), (1, 3, 96, 64), (1, 3, 64, 96)]


def test_a_run_logs_the_names_of_the_recipe(trained):
    train = json.loads(trained.run.paths.train_metrics.read_text().splitlines()[0])
    names = {"classifier", "box_reg", "objectness", "rpn_box_reg", "state"}
    assert {"train_loss", "learning_rate", *(f"train_loss_{name}" for name in names)} <= set(train)
    validation = json.loads(trained.run.paths.val_metrics.read_text().splitlines()[-1])
    assert {"avg_train_loss", "avg_val_loss", "AP", "AP50", "presence_AP", "learning_rate"} <= set(validation)


def test_a_run_leaves_a_plain_state_dictionary_of_the_best_weights(trained):
    plain = torch.load(trained.run.paths.root / BEST, weights_only=True)
    best = load_checkpoint(trained.run.paths.root).model
    live = trained.adapter.get_model().state_dict()
    assert plain.keys() == best.keys() == live.keys()
    assert all(torch.equal(plain[key], best[key]) for key in best)
    assert all(torch.equal(live[key], best[key]) for key in best)


@pytest.mark.parametrize("name", ["", "best.pt", "checkpoint.pt", BEST])
def test_what_a_run_leaves_predicts_as_the_live_model_does(trained, name):
    records = list(SyntheticBikes(3, 5, (96, 72)))
    settings = replace(trained.adapter.settings, checkpoint=str(trained.run.paths.root / name))
    loaded = FasterRCNNMultiTask(settings)
    assert loaded.classes.names == PARTS
    assert loaded.notes.states == STATES
    for a, b in zip(loaded.predict(records), trained.adapter.predict(records), strict=True):
        for column in ("boxes_xyxy_px", "scores", "class_ids", "states", "state_scores"):
            np.testing.assert_array_equal(getattr(a, column), getattr(b, column))


def test_the_folder_of_the_state_dictionary_may_be_chosen(tmp_path, monkeypatch, tiny_run):
    monkeypatch.setenv("OUTPUT_DIR", str(tmp_path / "environment"))
    for options, folder in (({}, "environment"), ({"output_dir": str(tmp_path / "key")}, "key")):
        run = tiny_run(tmp_path / f"run-{folder}", images=1, options=options)
        FasterRCNNMultiTask(AdapterSettings()).train(run)
        assert (tmp_path / folder / BEST).is_file()


def test_a_run_goes_on_without_its_first_weights(tmp_path, tiny_run):
    first = tiny_run(tmp_path, images=2, epochs=1)
    FasterRCNNMultiTask(AdapterSettings()).train(first)
    again = tiny_run(tmp_path, images=2, epochs=2, resume=True, options={"weights": "gone.pth"})
    result = FasterRCNNMultiTask(AdapterSettings()).train(again)
    assert load_checkpoint(tmp_path / "checkpoint.pt").step == 2
    assert result.metrics["avg_val_loss"] > 0


def test_a_run_may_start_from_a_checkpoint_of_other_classes(trained, tmp_path, tiny_run):
    run = replace(
        tiny_run(tmp_path, images=1, options={"min_size": None, "max_size": None}),
        dataset=SyntheticDataset(1, 0, (96, 72), "train"),
        validation=SyntheticDataset(1, 1, (96, 72), "val"),
    )
    adapter = FasterRCNNMultiTask(AdapterSettings(checkpoint=trained.result.checkpoint))
    task = adapter.training_task(run)
    first = load_checkpoint(trained.result.checkpoint).model
    assert torch.equal(task.model.backbone.body.conv1.weight, first["backbone.body.conv1.weight"])
    assert len(task.model.roi_heads.box_predictor.cls_score.bias) == len(run.dataset.classes) + 1


@pytest.mark.parametrize("order", ORDERS)
def test_classes_of_a_checkpoint_follow_their_names(trained, tmp_path, tiny_run, order):
    second = FasterRCNNMultiTask(AdapterSettings(checkpoint=trained.result.checkpoint))
    # The architecture of the checkpoint, as the keys say it anyway.
    run = tiny_run(tmp_path, images=1)
    assert_classes_follow_their_names(trained.adapter, second, run, order, torch.rand(1, 3, 64, 96))


def test_default_weights_that_are_not_there_end_the_run_before_it_begins(tmp_path, monkeypatch, tiny_run):
    from torchvision.models import WeightsEnum

    def offline(self, **_):
        raise OSError("offline")

    monkeypatch.setattr(WeightsEnum, "get_state_dict", offline)
    run = tiny_run(tmp_path, options={"weights": "default"})
    with pytest.raises(TrainingError, match="cannot be downloaded: offline"):
        FasterRCNNMultiTask(AdapterSettings()).train(run)


def test_the_training_schema_takes_the_recipe_and_its_defaults_are_the_seeds():
    schema = load_schema(Plugins(only=[NAME]).spec("adapters", NAME).training_schema)
    found = resolve({"dataset": "x"}, None, schema, adapter_name=NAME)
    settings = found.settings
    assert (settings.optimizer, settings.lr, settings.weight_decay) == ("adamw", 1e-4, 1e-4)
    assert (settings.scheduler, settings.plateau_factor, settings.plateau_patience) == ("plateau", 0.5, 3)
    assert (settings.epochs, settings.batch_size, settings.seed) == (20, 2, 42)
    assert (settings.num_workers, settings.prefetch_factor, settings.best_metric) == (2, 2, "val_loss")
    assert found.options["weights"] == "default"
    assert found.options["state_loss_weight"] == 0.5
