from __future__ import annotations

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from torch import nn
from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_320_fpn, fasterrcnn_resnet50_fpn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import mobilenet_backbone, resnet_fpn_backbone
from torchvision.models.detection.faster_rcnn import FasterRCNN, FastRCNNPredictor, TwoMLPHead
from torchvision.ops import box_iou

from anydet.errors import OptionError
from anydet_fasterrcnn_multitask.architecture import Architecture, scaled_anchors
from anydet_fasterrcnn_multitask.model import MultiTaskFasterRCNN
from anydet_fasterrcnn_multitask.pyramid import build_pyramid
from anydet_fasterrcnn_multitask.roi_heads import matched_states
from anydet_fasterrcnn_multitask.task import total_loss

pytestmark = pytest.mark.slow

CLASSES, SIDE, SIZE = 3, 64, 16
ARCHITECTURE = Architecture.of(
    CLASSES,
    "resnet18_fpn",
    norm="batch",
    min_size=SIDE,
    max_size=96,
    pyramid_channels=16,
    representation_size=SIZE,
    anchor_sizes=scaled_anchors(SIDE),
    proposals=20,
)


def target(boxes, labels, states):
    return {
        "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        "labels": torch.tensor(labels, dtype=torch.int64),
        "states": torch.tensor(states, dtype=torch.int64),
    }


IMAGES = [torch.rand(3, 64, 80, generator=torch.Generator().manual_seed(i)) for i in range(2)]
TARGETS = [
    target([[4, 4, 30, 40], [20, 10, 60, 50], [40, 30, 70, 60]], [1, 2, 3], [0, 2, -1]),
    target([], [], []),
]


@pytest.fixture(scope="module")
def wide():
    """One that torchvision can build too."""
    torch.manual_seed(0)
    model = MultiTaskFasterRCNN(replace(ARCHITECTURE, pyramid_channels=256), rois_per_image=16)
    model.roi_heads.score_thresh = 0.0
    return model


@pytest.fixture(scope="module")
def twin(wide):
    return torchvision_twin(wide)


@pytest.fixture(scope="module")
def built():
    torch.manual_seed(0)
    return MultiTaskFasterRCNN(ARCHITECTURE, rois_per_image=16)


@pytest.fixture
def model(built):
    """As it was built: tests may train it a little."""
    before = {name: tensor.clone() for name, tensor in built.state_dict().items()}
    built.roi_heads.score_thresh = 0.0
    yield built.train()
    built.load_state_dict(before)
    built.zero_grad(set_to_none=True)


def torchvision_twin(model):
    """torchvision's own model of the same shape with the same weights."""
    twin = FasterRCNN(
        resnet_fpn_backbone(
            backbone_name="resnet18", weights=None, norm_layer=nn.BatchNorm2d, trainable_layers=5
        ),
        min_size=SIDE,
        max_size=96,
        rpn_anchor_generator=AnchorGenerator(
            tuple((size,) for size in scaled_anchors(SIDE)), ((0.5, 1.0, 2.0),) * 5
        ),
        rpn_pre_nms_top_n_test=20,
        rpn_post_nms_top_n_test=20,
        box_head=TwoMLPHead(256 * 49, SIZE),
        box_predictor=FastRCNNPredictor(SIZE, CLASSES + 1),
        box_batch_size_per_image=16,
        box_score_thresh=0.0,
    )
    twin.load_state_dict(without_states(model))
    return twin


def without_states(model):
    """What torchvision's model has of a state dictionary."""
    state = model.state_dict()
    return {key: state[key] for key in state if not key.startswith("roi_heads.state_head.")}


def test_losses_of_detection_are_those_of_torchvision_with_the_same_weights_and_randomness(wide, twin):
    torch.manual_seed(3)
    expected = twin.train()(IMAGES, TARGETS)
    torch.manual_seed(3)
    losses = wide.train()(IMAGES, TARGETS).losses
    assert set(losses) == {*expected, "loss_state"}
    for name, loss in expected.items():
        assert torch.equal(losses[name], loss), name
    total = total_loss(losses, 0.0)
    torch.testing.assert_close(total, sum(expected.values()))
    (total + 0 * losses["loss_state"]).backward()
    sum(expected.values()).backward()
    theirs = dict(twin.named_parameters())
    for name, parameter in wide.named_parameters():
        if name in theirs:
            torch.testing.assert_close(parameter.grad, theirs[name].grad, rtol=1e-4, atol=1e-6)


def test_detections_are_those_of_torchvision_with_the_same_weights(wide, twin):
    twin.load_state_dict(without_states(wide))  # batch norms of the wide one may have seen a step
    with torch.no_grad():
        for ours, theirs in zip(wide.eval()(IMAGES), twin.eval()(IMAGES), strict=True):
            assert len(ours["boxes"]) > 0
            for name in ("boxes", "scores", "labels"):
                assert torch.equal(ours[name], theirs[name]), name


def test_states_are_predicted_from_features_at_the_final_boxes(model):
    inputs = model.eval().prepare([IMAGES[0]])
    with torch.no_grad():
        (found,) = model.detect(inputs)
        heads, sizes = model.roi_heads, inputs.image_sizes
        features = model.pyramid(inputs.tensors)
        for box, scores in zip(found["boxes"], found["state_scores"], strict=True):
            pooled = heads.box_roi_pool(features, [box[None]], sizes)
            expected = heads.state_head(heads.box_head(pooled)).softmax(-1)[0]
            torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-6)
    assert torch.equal(found["states"], found["state_scores"].argmax(1))
    torch.testing.assert_close(found["state_scores"].sum(1), torch.ones(len(found["boxes"])))


def test_every_sampled_region_has_the_state_of_the_ground_truth_that_it_overlaps_most(model):
    generator = torch.Generator().manual_seed(5)
    corners = torch.rand(200, 2, generator=generator) * 50
    proposals = [torch.cat([corners, corners + 5 + torch.rand(200, 2, generator=generator) * 25], 1)] * 2
    boxes, matched, labels, _ = model.roi_heads.select_training_samples(list(proposals), TARGETS)
    states = matched_states(TARGETS, matched, labels).split([len(b) for b in boxes])
    positives = 0
    for regions, truth, found in zip(boxes, TARGETS, states, strict=True):
        for region, state in zip(regions, found.tolist(), strict=True):
            overlaps = [float(box_iou(region[None], box[None])) for box in truth["boxes"]]
            best = max(range(len(overlaps)), key=overlaps.__getitem__, default=None)
            expected = -1
            if best is not None and overlaps[best] >= 0.5:
                expected = int(truth["states"][best])
                positives += 1
            assert state == expected
    assert positives >= 3


def test_the_state_head_learns_from_its_own_loss_and_so_does_the_box_head(model):
    model(IMAGES, TARGETS).losses["loss_state"].backward()
    reached = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert {"roi_heads.state_head.0.weight", "roi_heads.state_head.3.bias"} <= reached
    assert {"roi_heads.box_head.fc6.weight", "backbone.body.conv1.weight"} <= reached
    assert not any(name.startswith(("rpn.", "roi_heads.box_predictor")) for name in reached)


@pytest.mark.parametrize("states", [(-1, -1, -1), ()])
def test_without_a_known_state_the_loss_is_zero_and_every_weight_still_gets_a_gradient(model, states):
    truth = TARGETS[0] if states else TARGETS[1]
    losses = model([IMAGES[0]], [{**truth, "states": torch.tensor(states, dtype=torch.int64)}]).losses
    assert losses["loss_state"] == 0
    total_loss(losses, 0.5).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_a_black_image_of_any_size_gives_a_valid_result(model):
    found = model.eval()([torch.zeros(3, 1, 1), torch.zeros(3, 200, 7)])
    for result in found:
        assert {len(result[k]) for k in ("boxes", "scores", "labels", "states")} == {len(result["boxes"])}
        assert result["boxes"].isfinite().all()


def test_an_image_in_which_nothing_is_found_gives_empty_arrays(model):
    model.roi_heads.score_thresh = 1.0
    (found,) = model.eval()([IMAGES[0]])
    assert found["boxes"].shape == (0, 4)
    assert found["state_scores"].shape == (0, 4)
    assert found["states"].shape == (0,)


def test_validation_losses_are_the_same_twice_and_leave_no_trace(model):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.eval()
    model.roi_heads.state_head.train()
    modes = [module.training for module in model.modules()]
    torch.manual_seed(1)
    numbers = torch.get_rng_state()
    first, second = (model.evaluated_losses(IMAGES, TARGETS) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert torch.equal(torch.get_rng_state(), numbers)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_dropout_is_off_in_validation_losses(model):
    model.eval()
    first = model.evaluated_losses(IMAGES, TARGETS)["loss_state"]
    model.roi_heads.state_head[2].p = 0.99
    assert torch.equal(model.evaluated_losses(IMAGES, TARGETS)["loss_state"], first)
    model.roi_heads.state_head[2].p = 0.2


def test_boxes_keep_single_precision_under_mixed_precision(model):
    big = torch.rand(3, 64, 90)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        inputs = model.eval().prepare([big])
        features = model.pyramid(inputs.tensors)
        proposals, _ = model.rpn(inputs, features)
        (found,) = model.detect(inputs)
    assert proposals[0].dtype == found["boxes"].dtype == found["scores"].dtype == torch.float32
    assert all(anchors.dtype == torch.float32 for anchors in model.rpn.anchor_generator.cell_anchors)
    coarse = proposals[0].bfloat16().float()
    assert not torch.equal(proposals[0], coarse), "they were rounded to bfloat16 on their way"


def test_a_step_under_mixed_precision_is_finite_and_near_the_plain_one(model):
    found = []
    for mixed in (False, True):
        torch.manual_seed(2)
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            found.append(total_loss(model(IMAGES, TARGETS).losses, 0.5))
    found[1].backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    torch.testing.assert_close(found[0], found[1], rtol=0.1, atol=0.1)


def test_region_logits_are_differentiable_in_both_modes_and_change_neither(model):
    for mode in (True, False):
        model.train(mode)
        boxes, logits = model.regions(model.prepare(IMAGES))[:2]
        assert [len(b) for b in boxes] == [len(rows) for rows in logits]
        assert logits[0].shape[1] == CLASSES + 1
        torch.cat(logits).sum().backward()
        assert model.backbone.body.conv1.weight.grad.abs().sum() > 0
        assert model.rpn.training is mode


@pytest.mark.parametrize("backbone", ["resnet50_fpn", "mobilenet_v3_large_320_fpn"])
def test_models_have_the_tensors_of_torchvisions(backbone):
    make = {
        "resnet50_fpn": fasterrcnn_resnet50_fpn,
        "mobilenet_v3_large_320_fpn": fasterrcnn_mobilenet_v3_large_320_fpn,
    }[backbone]
    theirs = make(weights=None, weights_backbone=None, num_classes=23).state_dict()
    ours = MultiTaskFasterRCNN(Architecture.of(22, backbone, norm="batch")).state_dict()
    assert {k: v.shape for k, v in theirs.items()} == {
        k: v.shape for k, v in ours.items() if "state_head" not in k
    }


@pytest.mark.parametrize("norm", ["frozen", "batch", "group"])
@pytest.mark.parametrize("backbone", ["resnet50_fpn", "resnet50_fpn_v2", "mobilenet_v3_large_320_fpn"])
def test_every_backbone_and_norm_trains_and_predicts(backbone, norm):
    torch.manual_seed(0)
    architecture = Architecture.of(CLASSES, backbone, norm=norm, min_size=64, max_size=96, proposals=20)
    model = MultiTaskFasterRCNN(architecture, rois_per_image=8)
    total = total_loss(model(IMAGES, TARGETS).losses, 0.5)
    total.backward()
    assert total.isfinite()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    with torch.no_grad():
        assert len(model.eval()(IMAGES)) == 2


@pytest.mark.parametrize(
    ("backbone", "layers"),
    [
        ("resnet18_fpn", 3),
        ("resnet18_fpn", 5),
        ("mobilenet_v3_large_320_fpn", 0),
        ("mobilenet_v3_large_320_fpn", 3),
    ],
)
def test_the_stages_that_learn_are_those_of_torchvision(backbone, layers):
    architecture = Architecture.of(CLASSES, backbone, norm="batch", pyramid_channels=256)
    ours = build_pyramid(architecture, layers)
    norm = {"weights": None, "norm_layer": nn.BatchNorm2d, "trainable_layers": layers}
    if backbone == "resnet18_fpn":
        theirs = resnet_fpn_backbone(backbone_name="resnet18", **norm)
    else:
        theirs = mobilenet_backbone(backbone_name="mobilenet_v3_large", fpn=True, **norm)
    learning, expected = (
        {name for name, p in model.named_parameters() if p.requires_grad} for model in (ours, theirs)
    )
    assert learning == expected


def test_more_stages_than_there_are_is_an_error():
    with pytest.raises(OptionError, match="5 stages, not 6"):
        build_pyramid(ARCHITECTURE, 6)


def test_features_are_the_levels_of_backbone_and_pyramid(model):
    images = torch.rand(2, 3, SIDE, 96)
    with torch.no_grad():
        found = model.eval().features(images)
        neck, body = model.pyramid(images), model.backbone.body(images)
    assert list(found) == [
        *(f"backbone.{i}" for i in range(4)),
        *(f"neck.{i}" for i in range(4)),
        "neck.pool",
    ]
    assert all(torch.equal(found[f"neck.{name}"], level) for name, level in neck.items())
    assert all(torch.equal(found[f"backbone.{name}"], level) for name, level in body.items())
