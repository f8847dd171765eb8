"""``build_detector``: the detector of two stages or of one that a description is of."""

from __future__ import annotations

from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from anydet_torchvision.about import About
from anydet_torchvision.model import Detector
from anydet_torchvision.net import build_net
from anydet_torchvision.one_stage import OneStage
from anydet_torchvision.two_stages import TwoStages


def build_detector(about: About) -> Detector:
    """With random weights; raises ``OptionError`` for a number that the architecture does not have."""
    net = build_net(about)
    return (TwoStages if isinstance(net, GeneralizedRCNN) else OneStage)(about, net)
