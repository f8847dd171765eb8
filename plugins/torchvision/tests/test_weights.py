"""Weights by name, of files, and none; and which classes go with them."""

from __future__ import annotations

from urllib.error import URLError

import pytest

torch = pytest.importorskip("torch")

from torchvision.models import WeightsEnum, get_model
from torchvision.models.detection import (
    FCOS_ResNet50_FPN_Weights,
    RetinaNet_ResNet50_FPN_Weights,
    SSDLite320_MobileNet_V3_Large_Weights,
)

from anydet.data.scenes.shapes import CLASSES
from anydet.errors import OptionError, TrainingError
from anydet.types import AdapterSettings
from anydet_torchvision.adapter import Torchvision
from anydet_torchvision.net import frozen_eps
from anydet_torchvision.weights import read_option, read_saved
from anydet_torchvision.zoo import model_names, published, weights_of

LITE = "ssdlite320_mobilenet_v3_large"


def opened(**options):
    return Torchvision(AdapterSettings(options=options))


@pytest.fixture
def offline(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise URLError("Name or service not known")

    monkeypatch.setattr(WeightsEnum, "get_state_dict", refuse)


@pytest.fixture
def served(monkeypatch):
    """Random weights in place of those that torchvision downloads."""
    states = {}

    def state(weights, *_args, **_kwargs):
        return states[type(weights)]

    monkeypatch.setattr(WeightsEnum, "get_state_dict", state)
    return states


def test_weights_that_cannot_be_downloaded_are_one_error_with_the_place_for_the_file(offline):
    with pytest.raises(TrainingError) as refused:
        opened(model=LITE, weights="COCO_V1")
    assert refused.value.problem == (
        "torchvision's SSDLite320_MobileNet_V3_Large_Weights.COCO_V1 cannot be downloaded: "
        "<urlopen error Name or service not known>"
    )
    url = SSDLite320_MobileNet_V3_Large_Weights.COCO_V1.url
    assert url in refused.value.fix
    assert f"checkpoints/{url.rpartition('/')[2]}; or use weights none" in refused.value.fix


def test_every_name_of_weights_is_found_with_its_model():
    for model in model_names():
        kind = weights_of(model)
        for name, entry in kind.__members__.items():
            assert published(name, model) == (model, entry)
            assert published(f"{kind.__name__}.{name}", None) == (model, entry)
    assert published("none", None) is None
    assert published("Elsewhere.COCO_V1", None) is None


def test_names_that_are_none_say_what_there_is():
    with pytest.raises(OptionError, match="no detection model 'yolo'") as refused:
        opened(model="yolo")
    assert all(name in refused.value.fix for name in model_names())
    with pytest.raises(
        OptionError, match=r"'COCO_V9': no such file, and no name of weights of fcos"
    ) as refused:
        opened(model="fcos_resnet50_fpn", weights="COCO_V9")
    assert refused.value.fix == "choose one of COCO_V1, DEFAULT, none, or a file of a state dictionary"
    with pytest.raises(OptionError, match=r"weights FCOS_.*COCO_V1 are of fcos_resnet50_fpn, not of ssd"):
        opened(model=LITE, weights=str(FCOS_ResNet50_FPN_Weights.COCO_V1))


@pytest.mark.parametrize(
    ("weights", "meant"),
    [
        ("SSD300_VGG16_Weights.COCO_V2", "'COCO_V1'"),
        ("SSD300_VGG16_Weight.COCO_V1", "'SSD300_VGG16_Weights.COCO_V1'"),
        ("None", "'none'"),
        ("coco_v1", "'COCO_V1'"),
    ],
)
def test_a_slip_in_the_name_of_weights_leads_to_what_was_meant(weights, meant):
    with pytest.raises(OptionError, match=f"did you mean {meant}"):
        read_option(weights, None)


def test_numbers_that_the_architecture_lacks_are_refused():
    for options, problem in (
        ({"model": LITE, "min_size": 64}, "min_size: ssdlite320_mobilenet_v3_large has inputs of one size"),
        ({"model": "fcos_resnet50_fpn", "proposals": 9}, "proposals: fcos_resnet50_fpn has no second stage"),
        ({"min_size": 128, "max_size": 64}, "max_size 64 is smaller than min_size 128"),
    ):
        with pytest.raises(OptionError, match=problem):
            opened(**options).get_model()


def test_cocos_ids_become_contiguous_classes_without_its_gaps():
    classes = opened(model=LITE).classes
    assert len(classes) == 80
    assert "N/A" not in classes.names
    assert classes.names[:2] == ("person", "bicycle")
    assert (classes.names[11], classes.own_ids[11]) == ("stop sign", 13)
    assert (classes.names[-1], classes.own_ids[-1]) == ("toothbrush", 90)
    assert opened(model="keypointrcnn_resnet50_fpn").classes.names == ("person",)


@pytest.mark.slow
def test_published_weights_give_the_model_that_torchvision_builds_of_them(served):
    # RetinaNet's has frozen norms without an epsilon, which its state dictionary does not say.
    name, kind = "retinanet_resnet50_fpn", RetinaNet_ResNet50_FPN_Weights
    served[kind] = get_model(name, weights=None, weights_backbone=None).state_dict()
    bare = get_model(name, weights=kind.COCO_V1)
    saved = read_option("DEFAULT", name)
    assert saved.about.norm_eps == frozen_eps(bare) == 0
    fixed = {f"net.{name}" for name, parameter in bare.named_parameters() if not parameter.requires_grad}
    assert saved.fixed == fixed != set()
    assert not read_option("DEFAULT", name, trainable_layers=5).fixed
    adapter = opened(model=name, weights="DEFAULT", min_size=64, max_size=64)
    assert adapter.trained
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours, theirs = adapter.model.net.backbone(image), bare.eval().backbone(image)
    for level, expected in theirs.items():
        assert torch.equal(ours[level], expected)


@pytest.mark.slow
def test_a_plain_file_says_how_many_classes_and_whether_norms_are_frozen(saved_state, served, tmp_path):
    file = saved_state(LITE)
    saved = read_saved(str(file), LITE)
    assert saved.about.rows == tuple(f"class {number}" for number in range(len(CLASSES)))
    assert saved.about.norm_eps is None
    wrapped = {f"module.{name}": tensor for name, tensor in torch.load(file).items()}
    torch.save(wrapped, tmp_path / "wrapped.pth")
    again = read_saved(str(tmp_path / "wrapped.pth"), LITE)
    assert all(torch.equal(tensor, again.model[name]) for name, tensor in saved.model.items())
    with pytest.raises(
        TrainingError, match=r"no weights of fcos_resnet50_fpn: .*cls_logits.weight is missing"
    ):
        read_saved(str(file), "fcos_resnet50_fpn")
    with pytest.raises(OptionError, match="both a checkpoint and weights DEFAULT"):
        Torchvision(AdapterSettings(checkpoint=str(file), options={"model": LITE, "weights": "DEFAULT"}))


@pytest.mark.slow
def test_frozen_norms_of_plain_files_have_the_epsilon_of_the_published_ones(served, tmp_path):
    for name in ("fcos_resnet50_fpn", "fasterrcnn_resnet50_fpn"):
        kind = weights_of(name)
        served[kind] = get_model(name, weights=None, weights_backbone=None).state_dict()
        bare = get_model(name, weights=kind.COCO_V1)
        torch.save(bare.state_dict(), tmp_path / "bare.pth")
        about = read_saved(str(tmp_path / "bare.pth"), name).about
        assert about.norm_eps == frozen_eps(bare)
        assert about.classes.names[-1] == "toothbrush"
