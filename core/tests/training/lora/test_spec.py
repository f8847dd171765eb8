"""Names of tensors with LoRA, and plain weights made of them; without peft."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from anydet.errors import TrainingError
from anydet.training.lora.spec import Base, LoraSpec, merged, plain_name

SPEC = LoraSpec(r=2, alpha=3.0, weights={"a.weight": ("b.weight",), "c.weight": ()}, whole=("c.bias",))


def state():
    rng = torch.Generator().manual_seed(0)
    weight, conv = torch.randn(4, 3, generator=rng), torch.randn(5, 3, 1, 1, generator=rng)
    return {
        "a.weight": weight,
        "b.weight": weight,
        "c.weight": conv,
        "c.bias": torch.zeros(5),
        "a.weight.lora_A": torch.randn(2, 3, generator=rng),
        "a.weight.lora_B": torch.randn(4, 2, generator=rng),
        "c.weight.lora_A": torch.randn(2, 3, 1, 1, generator=rng),
        "c.weight.lora_B": torch.randn(5, 2, 1, 1, generator=rng),
    }


def test_merged_weights_are_the_sum_in_each_tensor_that_is_the_same_weight():
    saved = state()
    plain, lora = merged(saved, SPEC, source="x")
    wanted = saved["a.weight"] + 1.5 * saved["a.weight.lora_B"] @ saved["a.weight.lora_A"]
    torch.testing.assert_close(plain["a.weight"], wanted)
    assert torch.equal(plain["b.weight"], plain["a.weight"])
    images = torch.rand(1, 3, 2, 2)
    conv = torch.nn.functional.conv2d
    small = conv(images, saved["c.weight.lora_A"])
    sum_of_both = conv(images, saved["c.weight"]) + 1.5 * conv(small, saved["c.weight.lora_B"])
    torch.testing.assert_close(conv(images, plain["c.weight"]), sum_of_both)
    assert plain.keys() == {"a.weight", "b.weight", "c.weight", "c.bias"}
    assert all(torch.equal(tensor, saved[name]) for name, tensor in {**plain, **lora.tensors}.items())


@pytest.mark.parametrize("broken", ["missing", "another shape"])
def test_layers_that_do_not_fit_their_weight_are_refused(broken):
    saved = state()
    if broken == "missing":
        del saved["a.weight.lora_B"]
    else:
        saved["a.weight.lora_B"] = torch.zeros(7, 2)
    with pytest.raises(TrainingError, match=r"x: a broken checkpoint: the LoRA layers of 'a\.weight'"):
        merged(saved, SPEC, source="x")


def test_a_spec_comes_back_from_plain_data():
    spec = LoraSpec(4, 8.0, 0.1, {"a": ("b",)}, None, "int8wo", ("a",), Base("base.pt", "abc"), ("c",))
    assert LoraSpec.from_plain(spec.as_dict(), source="x") == spec


@pytest.mark.parametrize(
    "change", [{"r": 0}, {"alpha": -1.0}, {"weights": {"a": 1}}, {"base": {"path": 1}}, {"whole": "all"}]
)
def test_a_spec_with_other_values_is_a_broken_checkpoint(change):
    with pytest.raises(TrainingError, match="x: a broken checkpoint: its LoRA layers"):
        LoraSpec.from_plain({**SPEC.as_dict(), **change}, source="x")


@pytest.mark.parametrize(
    ("live", "plain"),
    [
        ("head.base_layer.weight", "head.weight"),
        ("a.base_layer.bias", "a.bias"),
        ("a.b.lora_A.adapter.weight", "a.b.weight.lora_A"),
        ("at.parametrizations.in_proj_weight.original", "at.in_proj_weight"),
        ("at.parametrizations.in_proj_weight.0.lora_B.adapter", "at.in_proj_weight.lora_B"),
        ("norm.running_mean", "norm.running_mean"),
    ],
)
def test_names_in_files_are_those_without_lora(live, plain):
    assert plain_name(live) == plain
