from __future__ import annotations

import urllib.error
from collections import OrderedDict

import pytest

torch = pytest.importorskip("torch")

from hypothesis import given
from hypothesis import strategies as st
from torchvision.models import WeightsEnum

from anydet.errors import TrainingError
from anydet.training.checkpoints.checkpoint import Checkpoint, save_checkpoint
from anydet.training.first_weights import Names
from anydet_delftbikes.parts import PARTS
from anydet_fasterrcnn_multitask.architecture import Architecture
from anydet_fasterrcnn_multitask.build import chosen_architecture
from anydet_fasterrcnn_multitask.model import MultiTaskFasterRCNN
from anydet_fasterrcnn_multitask.norms import group_norm
from anydet_fasterrcnn_multitask.pretrained import read_pretrained, take_weights
from anydet_fasterrcnn_multitask.saved import About, Saved, inferred_architecture, read_saved, save_state

pytestmark = pytest.mark.slow

TINY = {"min_size": 64, "max_size": 96, "pyramid_channels": 16, "representation_size": 8}
ABOUT = About(
    Architecture.of(2, "resnet18_fpn", norm="group", anchor_sizes=(4, 8, 16, 32, 64), **TINY),
    ("wheel", "bell"),
    ("whole", "broken"),
)


@pytest.fixture(scope="module")
def state():
    torch.manual_seed(0)
    return MultiTaskFasterRCNN(ABOUT.architecture).state_dict()


def test_a_plain_state_dictionary_is_tensors_alone_and_still_describes_itself(state, tmp_path):
    save_state(tmp_path / "best.pth", state, ABOUT)
    plain = torch.load(tmp_path / "best.pth", weights_only=True)
    assert plain.keys() == state.keys()
    assert all(torch.equal(plain[key], state[key]) for key in state)
    MultiTaskFasterRCNN(ABOUT.architecture).load_state_dict(plain)
    assert read_saved(tmp_path / "best.pth").about == ABOUT


def test_a_checkpoint_of_a_run_is_found_in_its_folder(state, tmp_path):
    checkpoint = Checkpoint("fasterrcnn_multitask", state, ABOUT.description(), ABOUT.classes)
    save_checkpoint(tmp_path / "checkpoints" / "best.pt", checkpoint)
    saved = read_saved(tmp_path)
    assert saved.about == ABOUT
    assert saved.source.endswith("best.pt")


def test_the_architecture_of_a_foreign_dictionary_follows_from_shapes(state):
    wrapped = OrderedDict((f"module.{key}", tensor) for key, tensor in state.items())
    plain = {key.removeprefix("module."): tensor for key, tensor in wrapped.items()}
    found = inferred_architecture(plain, source="x.pth")
    assert found == Architecture.of(
        2, "resnet18_fpn", norm="group", pyramid_channels=16, representation_size=8
    )


def test_names_that_parallel_training_prefixed_are_understood(state, tmp_path):
    torch.save({f"module.{key}": tensor for key, tensor in state.items()}, tmp_path / "p.pth")
    saved = read_saved(tmp_path / "p.pth")
    assert saved.model.keys() == state.keys()
    assert saved.about is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"epoch": 3, "weights": torch.zeros(1)}, "neither a checkpoint of anydet nor a state dictionary"),
        ({}, "neither a checkpoint"),
        ([torch.zeros(1)], "neither a checkpoint"),
    ],
)
def test_other_files_are_errors(content, message, tmp_path):
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(TrainingError, match=message):
        read_saved(tmp_path / "x.pth")


def test_weights_of_another_kind_of_model_are_an_error(tmp_path):
    with pytest.raises(TrainingError, match=r"x: not a Faster R-CNN.*cls_score"):
        inferred_architecture({"conv.weight": torch.zeros(1)}, source="x")


def test_a_checkpoint_of_another_adapter_is_an_error_that_names_it(tmp_path):
    save_checkpoint(tmp_path / "x.pt", Checkpoint("rtdetr", {"a": torch.zeros(1)}, {}, ("a",)))
    with pytest.raises(TrainingError, match="was trained by 'rtdetr'") as caught:
        read_saved(tmp_path / "x.pt")
    assert "--adapter rtdetr" in caught.value.fix


def test_first_weights_are_those_of_classes_and_states_of_the_same_name(state):
    architecture = Architecture.of(3, "resnet18_fpn", norm="group", **TINY)
    model = MultiTaskFasterRCNN(architecture)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    ours = Names(("bell", "lamp", "wheel"), ("broken", "whole"))
    first = take_weights(model, Saved(state, "x.pth", ABOUT), Names(ABOUT.classes, ABOUT.state_names), ours)
    taken = model.state_dict()
    for part in ("weight", "bias"):
        for name, each in (("cls_score", 1), ("bbox_pred", 4)):
            key = f"roi_heads.box_predictor.{name}.{part}"
            blocks = state[key].split(each)
            rows = [blocks[0], blocks[2], before[key].split(each)[2], blocks[1]]
            assert torch.equal(taken[key], torch.cat(rows)), key
        key = f"roi_heads.state_head.3.{part}"
        assert torch.equal(taken[key], torch.cat([state[key][:2].flip(0), before[key][2:]]))
    assert first.line == "2 of 3 classes from x.pth; new: lamp; 2 of 2 states"
    others = [name for name in taken if name not in model.named_rows()]
    assert all(torch.equal(taken[name], state[name]) for name in others)


def test_classes_that_nobody_names_stay_random(state):
    model = MultiTaskFasterRCNN(ABOUT.architecture)
    before = model.state_dict()["roi_heads.box_predictor.cls_score.weight"].clone()
    foreign = Saved(state, "x.pth")
    first = take_weights(model, foreign, foreign.names, Names(ABOUT.classes))
    assert torch.equal(model.state_dict()["roi_heads.box_predictor.cls_score.weight"][1:], before[1:])
    assert first.line == "0 of 2 classes from x.pth, which names none"
    parts = {"roi_heads.box_predictor.cls_score.weight": torch.zeros(23, 8)}
    assert Saved(parts, "x.pth").names.classes == PARTS


def test_first_weights_that_do_not_fit_are_an_error_with_a_list(state):
    model = MultiTaskFasterRCNN(Architecture.of(2, "resnet18_fpn", norm="frozen", **TINY))
    with pytest.raises(TrainingError, match=r"missing \(\d+\): backbone.body.bn1.running_mean"):
        take_weights(model, Saved(state, "x.pth"), Names(), Names(ABOUT.classes))


def test_a_classifiers_weights_go_into_the_backbone(tmp_path):
    from torchvision.models import resnet18

    torch.manual_seed(1)
    classifier = resnet18(weights=None).state_dict()
    torch.save(classifier, tmp_path / "r18.pth")
    first = read_pretrained(str(tmp_path / "r18.pth"), "resnet18_fpn")
    architecture = chosen_architecture({"class_count": 2, "backbone": "resnet18_fpn", **TINY}, first)
    assert architecture.norm == "frozen"
    model = MultiTaskFasterRCNN(architecture)
    fresh = take_weights(model, first, first.names, Names(("a", "b"))).fresh
    assert fresh == {name for name in model.state_dict() if not name.startswith("backbone.body.")}
    assert torch.equal(model.state_dict()["backbone.body.layer4.1.bn2.running_var"], torch.ones(512))
    assert torch.equal(model.state_dict()["backbone.body.conv1.weight"], classifier["conv1.weight"])


def test_torchvisions_detectors_bring_the_names_of_coco(monkeypatch):
    state = {"roi_heads.box_predictor.cls_score.weight": torch.zeros(91, 8)}
    monkeypatch.setattr(WeightsEnum, "get_state_dict", lambda self, **_: state)
    names = read_pretrained("default", "resnet50_fpn").names.classes
    assert len(names) == 90
    assert names[:2] == ("person", "bicycle")
    assert read_pretrained("none", "resnet50_fpn") is None


def test_weights_that_cannot_be_downloaded_are_an_error_with_the_place_to_put_them(monkeypatch):
    def offline(self, *args, **kwargs):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(WeightsEnum, "get_state_dict", offline)
    with pytest.raises(TrainingError, match="no route to host") as caught:
        read_pretrained("default", "resnet50_fpn")
    assert "fasterrcnn_resnet50_fpn_coco" in caught.value.fix
    assert "--weights none" in caught.value.fix


def test_from_scratch_norms_are_of_groups_and_anchors_shrink_with_the_images():
    options = {
        "class_count": 2,
        "state_count": 4,
        "backbone": "resnet18_fpn",
        "norm": "auto",
        "min_size": 200,
    }
    found = chosen_architecture(options, None)
    assert found.norm == "group"
    assert found.anchor_sizes == (8, 16, 32, 64, 128)
    assert chosen_architecture(options | {"anchor_sizes": [9, 9, 9, 9, 9]}, None).anchor_sizes == (9,) * 5


def test_first_weights_bring_their_architecture_and_options_go_before_it(state):
    first = Saved(state, "x", ABOUT)
    options = {"class_count": 7, "state_count": 4, "norm": "auto", "min_size": None, "max_size": 128}
    found = chosen_architecture(options, first)
    assert (found.class_count, found.norm, found.min_size, found.max_size) == (7, "group", 64, 128)
    assert found.anchor_sizes == ABOUT.architecture.anchor_sizes


def test_batch_norms_of_a_plain_file_are_frozen():
    norms = {"backbone.body.bn1.running_mean": torch.zeros(1), "backbone.body.bn1.num_batches_tracked": 0}
    found = chosen_architecture({"class_count": 2, "backbone": "resnet18_fpn"}, Saved(norms, "x"))
    assert found.norm == "frozen"


@given(st.integers(1, 2048))
def test_group_norms_divide_every_number_of_channels(channels):
    norm = group_norm(channels)
    assert channels % norm.num_groups == 0
    assert norm.num_groups == max(g for g in (1, 2, 4, 8, 16, 32) if channels % g == 0)
