from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from anydet_rtdetr_pose.losses.criterion import Criterion, denoising_matches
from anydet_rtdetr_pose.matcher import Matcher
from anydet_rtdetr_pose.outputs import Denoising

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def plain_criterion(no_symmetries):
    return Criterion(Matcher(), no_symmetries)


def leaves(outputs) -> list[torch.Tensor]:
    return [
        *(outputs.logits, outputs.boxes, outputs.proposal_logits, outputs.proposal_boxes, outputs.camera),
        *outputs.heads.values(),
    ]


@pytest.mark.parametrize("counts", [(3, 0, 2), (0, 0, 0)])
@pytest.mark.parametrize("class_loss", ["varifocal", "focal"])
def test_every_output_gets_a_finite_gradient_also_without_objects(
    counts, class_loss, random_outputs, random_targets, no_symmetries, size_wh
):
    outputs = random_outputs()
    criterion = Criterion(Matcher(), no_symmetries, class_loss=class_loss, uncertainty=True)
    losses = criterion.losses(outputs, random_targets(counts), size_wh)
    sum(losses.values()).backward()
    for leaf in leaves(outputs):
        assert leaf.grad is not None
        assert torch.isfinite(leaf.grad).all()


def test_objects_without_a_pose_teach_class_and_box_alone(
    random_outputs, random_targets, size_wh, plain_criterion
):
    outputs, targets = random_outputs(uncertain=False), random_targets()
    unknown = targets._replace(
        posed=torch.zeros_like(targets.posed), seen_by=torch.zeros_like(targets.seen_by)
    )
    losses = plain_criterion.losses(outputs, unknown, size_wh)
    assert {name for name, loss in losses.items() if loss.item() > 0} == {"class", "box", "giou"}
    sum(losses.values()).backward()
    assert all(not values.grad.any() for values in outputs.heads.values())


def test_weights_scale_losses_by_name(
    random_outputs, random_targets, no_symmetries, size_wh, plain_criterion
):
    outputs, targets = random_outputs(), random_targets()
    plain = plain_criterion.losses(outputs, targets, size_wh)
    heavy = Criterion(Matcher(), no_symmetries, weights={"rot": 3.0}).losses(outputs, targets, size_wh)
    assert heavy["rot"].item() == pytest.approx(3 * plain["rot"].item())
    assert heavy["z"].item() == pytest.approx(plain["z"].item())


def test_denoising_queries_answer_for_the_truths_they_started_at(random_targets):
    targets = random_targets((2, 0, 1))
    positives = [torch.tensor([0, 1, 4, 5]), torch.tensor([], dtype=torch.int64), torch.tensor([0, 4])]
    matches = denoising_matches(Denoising(8, 2, positives), targets, layers=2)
    first = matches.layers == 0
    assert matches.images[first].tolist() == [0, 0, 0, 0, 2, 2]
    assert matches.queries[first].tolist() == [0, 1, 4, 5, 0, 4]
    assert matches.objects[first].tolist() == [0, 1, 0, 1, 0, 0]
    assert len(matches) == 12


@pytest.mark.slow  # importing transformers takes seconds
def test_class_and_box_losses_of_all_layers_are_those_of_transformers(
    random_outputs, random_targets, size_wh, plain_criterion
):
    from transformers import RTDetrV2Config
    from transformers.loss.loss_rt_detr import RTDetrForObjectDetectionLoss

    queries, noisy, groups = 6, 8, 2
    positives = [torch.tensor([0, 1, 4, 5]), torch.tensor([], dtype=torch.int64), torch.tensor([0, 4])]
    outputs = random_outputs(queries=noisy + queries)._replace(denoising=Denoising(noisy, groups, positives))
    targets = random_targets((2, 0, 1))
    config = RTDetrV2Config(num_labels=outputs.logits.shape[-1], num_queries=queries)
    meta = {"dn_num_split": [noisy, queries], "dn_num_group": groups, "dn_positive_idx": positives}
    _, expected, _ = RTDetrForObjectDetectionLoss(
        outputs.logits[:, -1],
        targets.labels(),
        "cpu",
        outputs.boxes[:, -1],
        config,
        outputs.logits,
        outputs.boxes,
        outputs.proposal_logits,
        outputs.proposal_boxes,
        denoising_meta_values=meta,
    )
    found = plain_criterion.losses(outputs, targets, size_wh)
    for ours, theirs in (("class", "loss_vfl"), ("box", "loss_bbox"), ("giou", "loss_giou")):
        noisy_parts = sum(v.item() for k, v in expected.items() if k.startswith(theirs) and "_dn_" in k)
        parts = sum(v.item() for k, v in expected.items() if k.startswith(theirs) and "_dn_" not in k)
        assert found[ours].item() == pytest.approx(parts, rel=1e-4)
        assert found[f"{ours}_dn"].item() == pytest.approx(noisy_parts, rel=1e-4)
