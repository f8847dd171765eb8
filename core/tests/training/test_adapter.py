"""The life of a torch adapter: its weights, its live model, its batches, and what it says of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from core.tests.training.grid import GridAdapter

from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.errors import OptionError, TrainingError
from anydet.training.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from anydet.types import AdapterSettings

SCENES = list(SyntheticDataset(5, 3, (64, 64), "val"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory, train_tiny):
    """A folder of a run that has ended, and its adapter."""
    folder = tmp_path_factory.mktemp("run")
    return folder, train_tiny(folder, epochs=1, images=4)


def weights(adapter):
    return adapter.get_model().state_dict()


def test_random_weights_go_by_the_seed_and_leave_other_random_numbers_alone(same_weights):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, second, third = (weights(GridAdapter(AdapterSettings(seed=seed))) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    assert same_weights(first, second)
    assert not same_weights(first, third)


@pytest.mark.slow
def test_random_weights_are_announced_and_trained_ones_are_not(trained):
    folder, adapter = trained
    (warning,) = GridAdapter(AdapterSettings()).notes.warnings
    assert warning.startswith("grid has RANDOM WEIGHTS: no checkpoint was given")
    assert warning.endswith("add --checkpoint RUN (a run's folder or best.pt)")
    assert adapter.notes.warnings == ()
    assert GridAdapter(AdapterSettings(checkpoint=str(folder))).notes.warnings == ()


@pytest.mark.slow
def test_the_trained_model_is_live_and_is_what_a_new_adapter_loads(trained, same_weights):
    folder, adapter = trained
    loaded = GridAdapter(AdapterSettings(checkpoint=str(folder), seed=9))
    assert adapter.get_model() is adapter.task.model
    assert not any(module.training for module in adapter.get_model().modules())
    assert not any(module.training for module in loaded.get_model().modules())
    assert same_weights(weights(adapter), weights(loaded))


def test_what_is_no_checkpoint_of_this_adapter_is_refused_before_anything_is_predicted(trained, tmp_path):
    folder, _ = trained
    other = replace(load_checkpoint(folder), adapter="somebody")
    save_checkpoint(tmp_path / "other.pt", other)
    with pytest.raises(TrainingError, match=r"other\.pt: was trained by 'somebody', not 'grid'") as caught:
        GridAdapter(AdapterSettings(checkpoint=str(tmp_path / "other.pt")))
    assert caught.value.fix == "use --adapter somebody"
    with pytest.raises(OptionError, match="the grid adapter has no configurations"):
        GridAdapter(AdapterSettings(config="base"))


def test_names_of_classes_are_as_many_as_the_model_has(trained):
    folder, _ = trained
    names = GridAdapter(AdapterSettings(checkpoint=str(folder))).classes.names
    settings = AdapterSettings(checkpoint=str(folder), options={"names": ["x"] * len(names)})
    assert GridAdapter(settings).classes.names == ("x",) * len(names)
    settings = replace(settings, options={"names": ["x"]})
    with pytest.raises(OptionError, match=f"option names: 1 names for {len(names)} classes"):
        _ = GridAdapter(settings).classes


def test_a_loader_gives_what_predict_shows_the_model():
    adapter = GridAdapter(AdapterSettings(batch_size=3))
    shown = []
    adapter.get_model().register_forward_hook(lambda _module, inputs, _outputs: shown.append(inputs[0]))
    assert [found.image for found in adapter.predict(SCENES)] == [record.key for record in SCENES]
    assert [len(batch) for batch in shown] == [3, 2]
    batches = list(adapter.build_loader(SCENES, batch_size=4))
    assert [len(batch) for batch in batches] == [4, 1]
    assert torch.equal(torch.cat(batches), torch.cat(shown))


def test_inputs_are_prepared_once_while_they_are_kept():
    adapter = GridAdapter(AdapterSettings(batch_size=2))
    expected = list(adapter.predict(SCENES))
    adapter.stage_seconds.clear()
    with adapter.keeping_inputs():
        batches = list(adapter.build_loader(SCENES[:3], batch_size=3))
        found = list(adapter.predict(SCENES))
    assert len(batches) == 1
    # Of three images by the loader, then of the two that are left, in batches of 2, 2 and 1.
    assert len(adapter.stage_seconds["preprocess"]) == 4
    for one, other in zip(expected, found, strict=True):
        assert (one.boxes_xyxy_px == other.boxes_xyxy_px).all()
        assert (one.scores == other.scores).all()
    adapter.stage_seconds.clear()
    list(adapter.predict(SCENES[:1]))
    assert len(adapter.stage_seconds["preprocess"]) == 1


def test_the_stages_of_predictions_are_marked():
    adapter = GridAdapter(AdapterSettings(batch_size=2))
    list(adapter.predict(SCENES))
    runs = {name: len(seconds) for name, seconds in adapter.stage_seconds.items()}
    assert runs == dict.fromkeys(("decode", "preprocess", "model", "postprocess"), 3)  # of 2, 2 and 1 images


def test_only_a_device_beside_the_cpu_is_waited_for(monkeypatch):
    waited = []
    monkeypatch.setattr(torch.accelerator, "synchronize", waited.append)
    adapter = GridAdapter(AdapterSettings())
    with adapter.stage("decode"):
        assert "model" not in vars(adapter)  # it is not built for the sake of waiting
    list(adapter.predict(SCENES[:1]))
    assert waited == []
    adapter.model = adapter.model.to("meta")
    with adapter.stage("model"):
        assert waited == [torch.device("meta")]
    assert waited == [torch.device("meta")] * 2
