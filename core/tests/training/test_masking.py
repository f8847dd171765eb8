from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from anydet.training.masking import (
    draw_patches,
    hidden_cells,
    hidden_loss,
    hide,
    kept_statistics,
    masked_feature_loss,
    normalized,
)
from anydet.training.model import TorchModel

IMAGES = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))


class Pyramid(TorchModel):
    """A backbone of stride 8 and a neck of strides 8 and 64, the last as a pooled level has it."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.backbone = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 8, stride=8), torch.nn.BatchNorm2d(8))
        self.neck = torch.nn.Conv2d(8, 8, 3, padding=1)

    def features(self, images):
        found = self.backbone(images)
        fine = self.neck(found)
        coarse = torch.nn.functional.max_pool2d(fine, 8, stride=8, ceil_mode=True)
        return {"backbone.0": found, "neck.0": fine, "neck.pool": coarse}

    def module_names(self):
        return {"backbone": ["backbone"], "neck": ["neck"], "head": []}


class Flat(Pyramid):
    def features(self, images):
        return {"backbone.0": self.backbone(images)}


def seeded(seed=1):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("patch_px", [8, 24, 32, 64])
@pytest.mark.parametrize("stride", [1, 8, 16])
def test_a_cell_is_hidden_where_its_center_is(patch_px, stride):
    patches = draw_patches(IMAGES, patch_px, 0.5, seeded())
    color = torch.full((3, 1, 1), -1.0)
    hidden = (hide(IMAGES, patches, patch_px, color) == color).all(dim=1)
    assert torch.equal(hidden, hidden_cells(patches, patch_px, (64, 96), (64, 96)))
    cells = hidden_cells(patches, patch_px, (64, 96), (64 // stride, 96 // stride))
    assert torch.equal(cells, hidden[:, stride // 2 :: stride, stride // 2 :: stride])
    if patch_px % stride == 0:  # patches end where cells do
        assert torch.equal(cells.repeat_interleave(stride, 1).repeat_interleave(stride, 2), hidden)


def test_every_cell_of_a_level_that_is_padded_has_a_patch():
    patches = torch.tensor([[[False, True]]])
    assert hidden_cells(patches, 32, (20, 45), (3, 6)).tolist() == [
        [[False, False, False, False, True, True]] * 3
    ]


def test_only_hidden_places_count():
    rng = seeded()
    predicted, target = (torch.randn(2, 4, 3, 5, generator=rng) for _ in range(2))
    hidden = torch.rand(2, 3, 5, generator=rng) < 0.5
    other = torch.where(hidden[:, None], predicted, 100.0)
    assert torch.equal(hidden_loss(predicted, target, hidden), hidden_loss(other, target, hidden))
    rows = [part.movedim(1, -1)[hidden] for part in (predicted, target)]
    expected = torch.nn.functional.smooth_l1_loss(*rows)
    assert hidden_loss(predicted, target, hidden).item() == pytest.approx(expected.item(), rel=1e-5)
    assert hidden_loss(other, target, ~hidden) > expected + 10


def test_the_gradient_of_the_loss_is_that_of_finite_differences():
    rng = seeded()
    predicted = torch.randn(2, 4, 2, 3, generator=rng, dtype=torch.float64, requires_grad=True)
    target = normalized(torch.randn(2, 4, 2, 3, generator=rng)).double()
    hidden = torch.rand(2, 2, 3, generator=rng) < 0.5
    assert torch.autograd.gradcheck(lambda value: hidden_loss(value, target, hidden), predicted)


def test_the_loss_is_that_of_the_necks_levels_written_out_by_hand():
    model = Pyramid().eval()
    loss = masked_feature_loss(model, IMAGES, seeded())
    patches = torch.rand(2, 2, 3, generator=seeded()) < 0.6
    assert patches.any()
    assert not patches.all()
    pixels = patches.repeat_interleave(32, 1).repeat_interleave(32, 2)
    masked = IMAGES.clone()
    for image, hidden in zip(masked, pixels, strict=True):
        image[:, hidden] = image.mean(dim=(1, 2))[:, None]
    found, whole = model.features(masked), model.features(IMAGES)
    expected = []
    for name, centers in (("neck.0", pixels[:, 4::8, 4::8]), ("neck.pool", pixels[:, 32:33, [24, 72]])):
        rows = [level[name].movedim(1, -1)[centers] for level in (found, whole)]
        rows = [torch.nn.functional.layer_norm(row, (8,)) for row in rows]
        expected.append(torch.nn.functional.smooth_l1_loss(*rows))
    torch.testing.assert_close(loss, torch.stack(expected).mean())


def test_the_backbone_is_compared_where_there_is_no_neck():
    assert masked_feature_loss(Flat().eval(), IMAGES, seeded()) > 0


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_the_loss_changes_no_buffer_is_repeatable_and_reaches_backbone_and_neck(mode):
    model = getattr(Pyramid(), mode)()
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    first, second = (masked_feature_loss(model, IMAGES, seeded()) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, masked_feature_loss(model, IMAGES, seeded(2)))
    first.backward()
    assert all(p.grad is not None and p.grad.any() for p in (model.backbone[0].weight, model.neck.weight))
    assert all(torch.equal(before[name], buffer) for name, buffer in model.named_buffers())


def test_targets_carry_no_gradient():
    """The gradient is that of a distance to constants: by finite differences of the masked side alone."""
    model = Pyramid().eval().double()
    images = IMAGES.double()
    patches = draw_patches(images, 32, 0.6, seeded())
    masked = hide(images, patches, 32, images.mean(dim=(2, 3), keepdim=True))
    with torch.no_grad():
        whole = {name: normalized(level) for name, level in model.features(images).items()}
    found = model.features(masked)
    size = (64, 96)
    losses = [
        hidden_loss(
            normalized(found[n]), whole[n], hidden_cells(patches, 32, size, tuple(found[n].shape[2:]))
        )
        for n in ("neck.0", "neck.pool")
    ]
    expected = torch.autograd.grad(torch.stack(losses).mean(), model.neck.weight)[0]
    (own,) = torch.autograd.grad(masked_feature_loss(model, images, seeded()), model.neck.weight)
    torch.testing.assert_close(own, expected)
    assert own.any()


def test_statistics_are_collected_again_after_an_error():
    model = Pyramid().train()
    with pytest.raises(RuntimeError, match="on purpose"), kept_statistics(model):
        raise RuntimeError("on purpose")
    before = model.backbone[1].running_mean.clone()
    model.features(IMAGES)
    assert not torch.equal(model.backbone[1].running_mean, before)
