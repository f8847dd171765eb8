from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from anydet.adaptation.ttt.selection import (
    Scope,
    check_patterns,
    require_parameters,
    select_parameters,
    select_statistics,
)
from anydet.errors import OptionError

PARTS = {"backbone": ("body",), "neck": (), "head": ("head",)}


class LayerNorm2d(nn.Module):
    """A norm of a model family, which no class of torch is the base of."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))


@pytest.fixture
def model():
    module = nn.Module()
    module.body = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.GroupNorm(2, 4), LayerNorm2d())
    module.head = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), FrozenBatchNorm2d(4))
    module.head.lora_A = nn.Parameter(torch.zeros(1))
    module.head.adapter_up = nn.Parameter(torch.zeros(1))
    return module


@pytest.mark.parametrize(
    ("update_filter", "expected"),
    [
        (
            "norm_only",
            "body.1.weight body.1.bias body.2.weight body.2.bias body.3.weight head.1.weight head.1.bias",
        ),
        ("adapter_only", "head.adapter_up"),
        ("lora_only", "head.lora_A"),
    ],
)
def test_a_filter_selects_by_kind(model, update_filter, expected):
    assert set(select_parameters(model, update_filter, Scope(PARTS))) == set(expected.split())


def test_filters_of_two_kinds_and_of_all(model):
    norms, lora = (set(select_parameters(model, name, Scope(PARTS))) for name in ("norm_only", "lora_only"))
    assert set(select_parameters(model, "lora_norm_only", Scope(PARTS))) == norms | lora
    assert set(select_parameters(model, "all", Scope(PARTS))) == {
        name for name, _ in model.named_parameters()
    }


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        (("backbone",), None, {"body.0.weight", "body.0.bias"}),
        (("body.0",), None, {"body.0.weight", "body.0.bias"}),
        (("*.bias",), ("head",), {"body.0.bias", "body.1.bias"}),
        (None, ("body", "head.?.*"), {"head.lora_A", "head.adapter_up"}),
    ],
)
def test_patterns_are_parts_modules_and_wildcards(model, include, exclude, expected):
    if include in {("backbone",), ("body.0",)}:
        model.body = model.body[:1]
    model.body = model.body[:2]
    assert set(select_parameters(model, "all", Scope(PARTS, include, exclude))) == expected


def test_a_name_is_no_prefix_of_another_one(model):
    assert not Scope({}, ("bod",)).has("body.0.weight")


def test_norms_with_statistics_are_found_frozen_or_not(model):
    assert set(select_statistics(model, Scope(PARTS))) == {"body.1", "head.2"}
    assert set(select_statistics(model, Scope(PARTS, ("head",)))) == {"head.2"}


def test_nothing_selected_says_what_the_model_has(model):
    model.head.lora_A = None
    with pytest.raises(OptionError, match=r"lora_only selects none .*norm_only 7, adapter_only 1") as error:
        require_parameters(model, "lora_only", Scope(PARTS), method="tent")
    assert "--ttt-update-filter norm_only or adapter_only" in error.value.fix


def test_nothing_selected_in_a_scope_says_that_there_is_more_elsewhere(model):
    with pytest.raises(OptionError, match="adapter_only in backbone selects none") as error:
        require_parameters(model, "adapter_only", Scope(PARTS, ("backbone",)), method="tent")
    assert "adapter_only has 1 elsewhere" in error.value.fix


def test_a_pattern_without_a_match_is_an_error(model):
    with pytest.raises(OptionError, match=r"--ttt-exclude 'hed' matches no .*'head'\?"):
        check_patterns(model, Scope(PARTS, ("backbone",), ("hed",)))
