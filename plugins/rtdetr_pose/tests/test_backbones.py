from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import nn

from anydet.errors import OptionError
from anydet_rtdetr_pose.architecture import Backbone
from anydet_rtdetr_pose.backbones import (
    STRIDES,
    backbone_names,
    build_backbone,
    check_pyramid,
    register_backbone,
)

pytestmark = pytest.mark.slow

SMALL = {"width_mult": 0.125, "depth_mult": 0.3}


def parameters(name: str, **args: float) -> int:
    return sum(p.numel() for p in build_backbone(Backbone(name=name, args=args)).parameters())


class Strided(nn.Module):
    """Feature maps at strides of one's choice."""

    def __init__(self, strides=STRIDES, channels=(4, 4, 4), stated=(4, 4, 4)):
        super().__init__()
        self.channels = stated
        self.levels = nn.ModuleList(
            nn.Conv2d(3, count, stride, stride) for count, stride in zip(channels, strides, strict=True)
        )

    def forward(self, images):
        return [level(images) for level in self.levels]


def _normalizes(module: nn.Module) -> bool:
    name = type(module).__name__
    return "Norm" in name and name != "ConvNormAct"


@pytest.mark.parametrize("name", ["cspdarknet_s", "cspresnet", "resnet50", "convnext_tiny", "tiny_cnn"])
def test_named_backbones_keep_the_contract_and_honor_their_multipliers(name):
    assert name in backbone_names()
    backbone = build_backbone(Backbone(name=name, args=SMALL))
    maps = backbone(torch.zeros(1, 3, 64, 96))
    sizes = [(64 // stride, 96 // stride) for stride in STRIDES]
    assert [tuple(each.shape[2:]) for each in maps] == sizes
    assert tuple(each.shape[1] for each in maps) == tuple(backbone.channels)
    assert parameters(name, **SMALL | {"width_mult": 0.25}) > parameters(name, **SMALL)
    if name != "tiny_cnn":
        assert parameters(name, **SMALL | {"depth_mult": 1.0}) > parameters(name, **SMALL)


@pytest.mark.parametrize("name", ["timm:resnet10t", "mobilenetv3_small_050"])
def test_models_of_timm_are_backbones_with_and_without_their_prefix(name):
    backbone = build_backbone(Backbone(name=name))
    assert len(backbone(torch.zeros(1, 3, 64, 64))) == 3


@pytest.mark.parametrize("name", ["tiny_cnn", "convnext_tiny", "timm:mobilenetv3_small_050"])
@pytest.mark.parametrize(("norm", "kind"), [("gn", "GroupNorm"), ("frozenbn", "Frozen"), ("bn", "BatchNorm")])
def test_the_norm_of_a_backbone_can_be_chosen(name, norm, kind):
    args = SMALL if name == "convnext_tiny" else {}
    backbone = build_backbone(Backbone(name=name, norm=norm, args=args))
    norms = [type(module).__name__ for module in backbone.modules() if _normalizes(module)]
    assert norms
    assert all(kind in each for each in norms)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in backbone.modules()) or norm == "bn"


def test_a_frozen_norm_keeps_its_outputs_and_learns_nothing():
    torch.manual_seed(0)
    live = build_backbone(Backbone(name="tiny_cnn"))
    torch.manual_seed(0)
    frozen = build_backbone(Backbone(name="tiny_cnn", norm="frozenbn"))
    image = torch.rand(1, 3, 64, 64)
    assert torch.allclose(live.eval()(image)[2], frozen.train()(image)[2], atol=1e-6)
    learned = {name for name, _ in frozen.named_parameters()}
    assert learned == {name for name, p in live.named_parameters() if p.dim() > 1}


def test_syncbn_is_bn_where_there_is_one_process():
    backbone = build_backbone(Backbone(name="tiny_cnn", norm="syncbn"))
    assert any(isinstance(module, nn.BatchNorm2d) for module in backbone.modules())


@pytest.mark.parametrize(
    ("backbone", "problem"),
    [
        (Strided(strides=(8, 16, 16)), "P5 has stride 16, not 32"),
        (Strided(strides=(4, 16, 32)), "P3 has stride 4, not 8"),
        (Strided(stated=(4, 8, 4)), "P4 has 4 channels, channels states 8"),
        (Strided(strides=(8, 16), channels=(4, 4)), "gives 2 feature maps"),
    ],
)
def test_a_broken_contract_is_named(backbone, problem):
    with pytest.raises(OptionError, match=problem):
        check_pyramid(backbone, "mine")


def test_a_model_of_timm_without_a_pyramid_is_refused():
    with pytest.raises(OptionError, match="P3 has stride 16, not 8"):
        build_backbone(Backbone(name="timm:vit_tiny_patch16_224", args={"img_size": 64}))


def test_third_parties_register_a_backbone_or_name_its_import_path():
    register_backbone("strided", Strided)
    assert isinstance(build_backbone(Backbone(name="strided")), Strided)
    path = "anydet_rtdetr_pose.backbones:tiny_cnn"
    assert build_backbone(Backbone(name=path)).channels == (64, 96, 128)
    with pytest.raises(OptionError, match="already"):
        register_backbone("strided", nn.Identity)


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        (Backbone(name="resnet_50"), "did you mean"),
        (Backbone(name="no.such:thing"), "cannot be imported"),
        (Backbone(name="tiny_cnn", args={"widht_mult": 2}), "widht_mult"),
        (Backbone(name="timm:vit_tiny_patch16_224", norm="gn"), "no batch norms|stride"),
    ],
)
def test_mistakes_are_explained(spec, problem):
    with pytest.raises(OptionError, match=problem):
        build_backbone(spec)
