from __future__ import annotations

from itertools import permutations

import pytest

torch = pytest.importorskip("torch")

from anydet_rtdetr_pose.matcher import Matcher, PoseCost, assign
from anydet_rtdetr_pose.recovery import projected_px
from anydet_rtdetr_pose.rotation import turn_to


@pytest.fixture(scope="module")
def size(size_wh):
    return torch.tensor(size_wh, dtype=torch.float32)


def test_the_assignment_is_the_cheapest_of_all():
    cost = torch.rand(2, 3, 5, 4, generator=torch.Generator().manual_seed(0))
    valid = torch.tensor([[True, True, True, False], [True, False, True, False]])
    matches = assign(cost, valid)
    for image in range(2):
        objects = valid[image].nonzero()[:, 0].tolist()
        for layer in range(3):
            rows = (matches.images == image) & (matches.layers == layer)
            pairs = zip(matches.queries[rows].tolist(), matches.objects[rows].tolist(), strict=True)
            found = sum(float(cost[image, layer, query, each]) for query, each in pairs)
            every = [
                sum(
                    float(cost[image, layer, query, each])
                    for query, each in zip(choice, objects, strict=True)
                )
                for choice in permutations(range(5), len(objects))
            ]
            assert found == pytest.approx(min(every))
            assert sorted(matches.objects[rows].tolist()) == objects


def test_more_objects_than_queries_leave_some_without_one():
    matches = assign(torch.rand(1, 1, 2, 5), torch.ones(1, 5, dtype=torch.bool))
    assert len(matches) == 2
    assert len(set(matches.objects.tolist())) == 2


def test_images_without_objects_match_nothing(random_outputs, random_targets, no_symmetries, size):
    matches = Matcher().match(random_outputs(), random_targets((0, 0, 0)), no_symmetries, size)
    assert len(matches) == 0


@pytest.mark.parametrize("part", ["z", "rotation", "translation"])
def test_a_pose_cost_begins_at_its_step_and_draws_the_query_with_that_pose(
    part, random_outputs, random_targets, no_symmetries, size
):
    outputs, targets = random_outputs(1, 1, 6), random_targets((1,))
    plain = Matcher()
    matcher = Matcher(**{part: PoseCost(1000.0, start_step=10)})
    with torch.no_grad():
        seen = turn_to(targets.translations_m[0, 0]).T @ targets.rotations[0, 0]
        outputs.heads["rot6d"][0, 0, 4] = seen[:, :2].T.flatten()
        depth = targets.translations_m[0, 0, 2].log() - torch.log(torch.tensor(90 / 96))
        outputs.heads["log_z"][0, 0, 4] = depth
        center = projected_px(targets.translations_m[0, 0], targets.intrinsics[0]) / size
        box = outputs.boxes[0, 0, 4]
        outputs.heads["offsets"][0, 0, 4] = (center - box[:2]) / box[2:]
        outputs.logits[0, 0, 4] = -9.0  # the class alone would choose another
    before = matcher.match(outputs, targets, no_symmetries, size, step=9)
    assert (
        before.queries.tolist() == plain.match(outputs, targets, no_symmetries, size).queries.tolist() != [4]
    )
    assert matcher.match(outputs, targets, no_symmetries, size, step=10).queries.tolist() == [4]


def test_poses_that_nobody_knows_cost_nothing(random_outputs, random_targets, no_symmetries, size):
    outputs, targets = random_outputs(), random_targets()
    unknown = targets._replace(posed=torch.zeros_like(targets.posed))
    costly = Matcher(z=PoseCost(5.0), rotation=PoseCost(5.0), translation=PoseCost(5.0))
    plain = Matcher().cost(outputs, unknown, no_symmetries, size)
    assert torch.equal(costly.cost(outputs, unknown, no_symmetries, size), plain)


def test_costs_that_are_not_finite_lose_to_every_other(random_outputs, random_targets, no_symmetries, size):
    outputs, targets = random_outputs(1, 1, 3), random_targets((1,))
    with torch.no_grad():
        outputs.boxes[0, 0, :2] = torch.nan
    assert Matcher().match(outputs, targets, no_symmetries, size).queries.tolist() == [2]
