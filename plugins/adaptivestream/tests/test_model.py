"""The network: sizes, the seed's decoder, encoders, first numbers."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from torch import nn

from anydet.errors import OptionError
from anydet_adaptivestream.decoder import PlainDecoder
from anydet_adaptivestream.encoder import build_encoder
from anydet_adaptivestream.loss import StableLoss
from anydet_adaptivestream.model import AdaptiveStream, Architecture, fit


def built(**choices):
    torch.manual_seed(0)
    return AdaptiveStream(Architecture(5, **choices))


@pytest.fixture(scope="module")
def model():
    return built().eval()


def decoder_of_the_seed(num_classes):
    """As the seed's text has it, line for line."""
    return nn.Sequential(
        nn.ConvTranspose2d(256, 128, 4, stride=2, padding=1),
        nn.BatchNorm2d(128),
        nn.ReLU(inplace=True),
        nn.ConvTranspose2d(128, 64, 4, stride=2, padding=1),
        nn.BatchNorm2d(64),
        nn.ReLU(inplace=True),
        nn.ConvTranspose2d(64, 32, 4, stride=2, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(inplace=True),
        nn.ConvTranspose2d(32, 16, 4, stride=2, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(inplace=True),
        nn.ConvTranspose2d(16, num_classes, 4, stride=2, padding=1),
    )


def test_the_plain_decoder_is_the_seeds_weight_for_weight():
    torch.manual_seed(0)
    theirs, ours = decoder_of_the_seed(5).eval(), PlainDecoder(5).eval()
    ours.load_state_dict(theirs.state_dict())
    features = torch.randn(1, 256, 7, 7)
    assert torch.equal(ours.decode({}, features), theirs(features))


def test_the_encoder_brings_224_pixels_to_256_channels_of_7x7(model):
    features = model.encoder(torch.zeros(1, 3, 224, 224))
    assert features[32].shape == (1, 256, 7, 7)
    assert {s: f.shape[1] for s, f in features.items()} == dict(model.encoder.channels)


@pytest.mark.parametrize("decoder", ["plain", "skip"])
@pytest.mark.parametrize("size", [(32, 32), (64, 96), (33, 50), (1, 7)])
def test_pixel_logits_have_the_size_of_the_input_whatever_it_is(decoder, size):
    pixels, image = built(decoder=decoder).eval()(torch.rand(2, 3, *size))
    assert pixels.shape == (2, 5, *size)
    assert image.shape == (2, 5)


def test_sides_that_are_multiples_of_32_are_not_resampled(model, monkeypatch):
    monkeypatch.setattr(
        "anydet_adaptivestream.model.functional.interpolate", lambda *_, **__: pytest.fail("resampled")
    )
    model(torch.rand(1, 3, 64, 96))


def test_other_sides_are_stretched_to_the_next_multiple_and_back(model):
    image = torch.rand(1, 3, 40, 70)
    stretched = nn.functional.interpolate(image, (64, 96), mode="bilinear", align_corners=False)
    wide, of_stretched = model(stretched)
    pixels, of_image = model(image)
    expected = nn.functional.interpolate(wide, (40, 70), mode="bilinear", align_corners=False)
    torch.testing.assert_close(pixels, expected)
    torch.testing.assert_close(of_image, of_stretched)


@pytest.mark.parametrize("decoder", ["plain", "skip"])
def test_every_weight_gets_a_gradient_and_the_first_loss_is_near_chance(decoder):
    model = built(decoder=decoder).train()
    pixels, image = model(torch.randn(2, 3, 64, 64))
    losses = StableLoss()(pixels, image, torch.randint(5, (2, 64, 64)), torch.tensor([0, 3]))
    losses.total.backward()
    assert abs(losses.segmentation.item() - math.log(5)) < 0.5
    without = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    # the bias before a BatchNorm changes nothing, and its gradient may round to zero
    assert [n for n in without if not n.endswith("bias")] == []


def test_weights_start_kaiming_normal(model):
    weight = model.encoder.blocks[-1].body[3].weight  # 256 x 256 x 3 x 3
    assert weight.std().item() == pytest.approx(math.sqrt(2 / (256 * 9)), rel=0.01)
    assert weight.mean().item() == pytest.approx(0, abs=1e-4)


def test_skip_connections_bring_detail_that_the_bottleneck_cannot_hold():
    """Moving the image by one pixel moves what the skip decoder sees of it; 7 x 7 cells barely notice."""
    image = torch.zeros(1, 3, 64, 64)
    image[..., ::2, ::2] = 1.0  # a pattern as fine as pixels
    plain, skip = (built(decoder=kind).eval() for kind in ("plain", "skip"))
    cut = []
    for model in (plain, skip):
        features = model.encoder(image)
        blank = {s: f if s == 32 else torch.zeros_like(f) for s, f in features.items()}
        deepest = model.neck(features[32])
        change = model.decoder.decode(features, deepest) - model.decoder.decode(blank, deepest)
        cut.append(change.abs().max().item())
    assert cut[0] == 0
    assert cut[1] > 0


@pytest.mark.slow  # importing timm
def test_a_backbone_of_timm_takes_the_encoders_place():
    pytest.importorskip("timm")
    for name, decoder in (("timm:resnet10t", "skip"), ("timm:convnext_atto", "skip")):
        model = built(encoder=name, decoder=decoder).eval()
        pixels, image = model(torch.rand(1, 3, 64, 64))
        assert pixels.shape == (1, 5, 64, 64)
        assert image.shape == (1, 5)
    assert set(model.decoder.laterals) == {"4", "8", "16"}  # this one has no features at stride 2


def test_encoders_that_do_not_fit_are_refused_with_a_fix():
    with pytest.raises(OptionError, match="no encoder 'resnet18'"):
        build_encoder("resnet18")


@pytest.mark.slow
def test_backbones_that_timm_does_not_have_or_without_deep_features_are_refused_with_a_fix():
    pytest.importorskip("timm")
    with pytest.raises(OptionError, match="no_such_net"):
        build_encoder("timm:no_such_net")
    with pytest.raises(OptionError, match=r"none at 32"):
        build_encoder("timm:vit_tiny_patch16_224")
    for location in ("hf_hub:timm/resnet18.a1_in1k", "local-dir:/tmp"):
        with pytest.raises(OptionError, match="is a location, not a backbone of timm"):
            build_encoder(f"timm:{location}")


def test_features_are_those_that_decoder_and_classifier_get(model):
    images = torch.rand(1, 3, 40, 64)
    with torch.no_grad():
        found, (pixels, logits) = model.features(images), model(images)
        levels = {
            int(name.removeprefix("backbone.stride")): found[name] for name in found if "backbone" in name
        }
        decoded = model.decoder.decode(levels, found["neck.stride32"])
    assert torch.equal(model.classifier(found["neck.stride32"].mean(dim=(2, 3))), logits)
    assert torch.equal(fit(decoded, (40, 64)), pixels)
    assert list(levels) == [2, 4, 8, 16, 32]
