"""The loss: finite for anything, with a true gradient, and nothing hidden."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from torch import nn

from anydet_adaptivestream.loss import StableLoss, dice_loss
from anydet_adaptivestream.model import AdaptiveStream, Architecture

CLASSES = 4
BAD = (float("nan"), float("inf"), float("-inf"), 1e30)


def batch(seed=0, *, dtype=torch.float64, size=(5, 6)):
    """Logits that need a gradient, and labels with some that are not known."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randn(2, CLASSES, *size, generator=generator, dtype=dtype, requires_grad=True)
    image = torch.randn(2, CLASSES, generator=generator, dtype=dtype, requires_grad=True)
    mask = torch.randint(CLASSES, (2, *size), generator=generator)
    mask[0, 0] = 255
    return pixels, image, mask, torch.tensor([2, -1])


def test_it_is_the_weighted_cross_entropy_of_torch():
    pixels, image, mask, label = batch()
    losses = StableLoss(1.0, 0.5)(pixels, image, mask, label)
    segmentation = nn.functional.cross_entropy(pixels, mask, ignore_index=255)
    classification = nn.functional.cross_entropy(image, label, ignore_index=-1)
    torch.testing.assert_close(losses.segmentation, segmentation)
    torch.testing.assert_close(losses.classification, classification)
    torch.testing.assert_close(losses.total, segmentation + 0.5 * classification)
    assert (losses.nonfinite, losses.clamped, losses.unknown) == (0, 0, 0)


def test_chance_is_what_the_seed_called_healthy():
    """Equal logits of five classes cost ln 5 + 0.5 ln 5 = 2.414, in the middle of the seed's 2.3-2.5."""
    losses = StableLoss()(
        torch.zeros(1, 5, 4, 4), torch.zeros(1, 5), torch.zeros(1, 4, 4).long(), torch.tensor([1])
    )
    assert losses.total.item() == pytest.approx(1.5 * math.log(5))


@pytest.mark.parametrize("dice", [0.0, 1.0])
@pytest.mark.parametrize("scale", [1.0, 12.0])
def test_gradients_are_those_of_finite_differences(dice, scale):
    """With logits beyond the limit too: there the gradient is that of a constant."""
    pixels, image, mask, label = batch(size=(3, 3))
    with torch.no_grad():
        pixels.mul_(scale)
    loss = StableLoss(dice_weight=dice)
    assert torch.autograd.gradcheck(lambda p, i: loss(p, i, mask, label).total, (pixels, image))


def test_gradients_through_stretched_logits_are_those_of_finite_differences():
    pixels, image, _, label = batch(size=(3, 3))
    mask = torch.randint(CLASSES, (2, 7, 5), generator=torch.Generator().manual_seed(1))
    loss = StableLoss(dice_weight=1.0)
    assert torch.autograd.gradcheck(lambda p, i: loss(p, i, mask, label).total, (pixels, image))


def masks():
    blank = torch.full((2, 5, 6), 255)
    one = torch.full((2, 5, 6), 3)
    return {
        "nothing labeled": (blank, torch.tensor([-1, -1])),
        "one class": (one, torch.tensor([3, 3])),
        "only images": (blank, torch.tensor([0, 1])),
        "only pixels": (one, torch.tensor([-1, -1])),
        "no pixels": (torch.zeros(2, 0, 6).long(), torch.tensor([0, 1])),
    }


@pytest.mark.parametrize("kind", masks())
@pytest.mark.parametrize("dice", [0.0, 1.0])
def test_nearly_unlabeled_masks_give_finite_losses_and_gradients(kind, dice):
    pixels, image, *_ = batch()
    losses = StableLoss(dice_weight=dice)(pixels, image, *masks()[kind])
    losses.total.backward()
    assert torch.isfinite(losses.total)
    assert torch.isfinite(pixels.grad).all()
    assert torch.isfinite(image.grad).all()
    if kind == "nothing labeled":
        assert losses.total == 0
        assert not pixels.grad.any()
        assert not image.grad.any()


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_logits_that_are_no_numbers_are_counted_and_the_rest_still_learns(value, dtype):
    pixels, image, mask, label = batch(dtype=torch.float32)
    pixels, image = (t.detach().to(dtype).requires_grad_() for t in (pixels, image))
    with torch.no_grad():
        pixels[1, 0, 2, 3] = value
        image[0, 1] = value
    losses = StableLoss(dice_weight=1.0)(pixels, image, mask, label)
    losses.total.backward()
    assert torch.isfinite(losses.total)
    assert torch.isfinite(pixels.grad).all()
    assert pixels.grad[1, 0, 2, 3] == 0
    assert (pixels.grad != 0).sum() > pixels.numel() / 2
    whole = math.isfinite(value) and dtype != torch.float16  # half precision turns 1e30 into infinity
    assert (losses.nonfinite, losses.clamped) == ((0, 2) if whole else (2, 0))


@pytest.mark.parametrize("where", ["encoder.stem.0", "encoder.blocks.1.body.4", "decoder.12", "classifier"])
def test_a_poisoned_weight_is_not_made_to_look_healthy(where):
    """The loss is finite, but the count gives the reason, and gradients of other weights are not finite."""
    torch.manual_seed(0)
    model = AdaptiveStream(Architecture(CLASSES))
    with torch.no_grad():
        model.get_submodule(where).weight.view(-1)[0] = float("nan")
    losses = StableLoss()(
        *model(torch.rand(2, 3, 32, 32)), torch.zeros(2, 32, 32).long(), torch.tensor([1, 2])
    )
    losses.total.backward()
    assert torch.isfinite(losses.total)
    assert losses.nonfinite > 0
    assert any(not torch.isfinite(p.grad).all() for p in model.parameters())


def test_labels_that_are_no_class_are_left_out_and_counted():
    pixels, image, mask, label = batch()
    expected = StableLoss()(pixels, image, mask, label).total
    wrong = torch.where(mask == 255, torch.tensor(77), mask)
    losses = StableLoss()(pixels, image, wrong, torch.tensor([2, 9]))
    assert losses.unknown == 6 + 1
    torch.testing.assert_close(losses.total, expected)


def test_logits_of_32x32_meet_a_target_of_224x224():
    """The size mismatch that broke the seed's first script."""
    pixels = torch.randn(1, CLASSES, 32, 32, requires_grad=True)
    mask = torch.zeros(1, 224, 224).long()
    losses = StableLoss()(pixels, torch.zeros(1, CLASSES), mask, torch.tensor([0]))
    expected = nn.functional.interpolate(pixels, (224, 224), mode="bilinear", align_corners=False)
    torch.testing.assert_close(losses.segmentation, nn.functional.cross_entropy(expected, mask))


def test_dice_is_one_minus_twice_the_overlap_by_the_sizes():
    logits = torch.full((1, 2, 2, 2), -10.0)
    mask = torch.tensor([[[0, 0], [1, 255]]])
    logits[0, 0, 0, :] = 10.0  # class 0 found right; the pixel of class 1 is given to class 0 as well
    logits[0, 0, 1, :] = 10.0
    expected = 1 - ((2 * 2 + 1) / (3 + 2 + 1) + (0 + 1) / (0 + 1 + 1)) / 2
    assert dice_loss(logits, mask, 255).item() == pytest.approx(expected, abs=1e-6)


def test_dice_of_a_perfect_mask_is_zero_and_classes_that_are_absent_do_not_count():
    mask = torch.tensor([[[0, 0], [2, 2]]])
    logits = 40.0 * nn.functional.one_hot(mask, CLASSES).movedim(-1, 1)
    assert dice_loss(logits, mask, 255).item() == pytest.approx(0.0, abs=1e-6)
