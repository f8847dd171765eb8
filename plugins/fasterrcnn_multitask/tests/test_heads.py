from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torchvision.ops import MultiScaleRoIAlign

from anydet_fasterrcnn_multitask.architecture import Architecture
from anydet_fasterrcnn_multitask.heads import build_roi_pool
from anydet_fasterrcnn_multitask.pyramid import build_pyramid

pytestmark = pytest.mark.slow

SIDE = 256


@pytest.mark.parametrize("backbone", ["resnet18_fpn", "mobilenet_v3_large_320_fpn"])
def test_regions_are_pooled_from_the_levels_that_torchvision_finds_in_a_large_image(backbone):
    """After a first image that is too small to tell, too."""
    torch.manual_seed(0)
    architecture = Architecture.of(3, backbone, pyramid_channels=16)
    pyramid, pool = build_pyramid(architecture, None).eval(), build_roi_pool(architecture)
    boxes = [torch.tensor([[0.0, 0.0, 20.0, 30.0], [10.0, 10.0, 250.0, 240.0]])]
    with torch.no_grad():
        pool(pyramid(torch.rand(1, 3, 32, 128)), boxes, [(21, 128)])
        features = pyramid(torch.rand(1, 3, SIDE, SIDE))
        fresh = MultiScaleRoIAlign(pool.featmap_names, pool.output_size, pool.sampling_ratio)
        expected = fresh(features, boxes, [(SIDE, SIDE)])
        assert torch.equal(pool(features, boxes, [(SIDE, SIDE)]), expected)
