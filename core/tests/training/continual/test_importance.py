"""EWC and SI on problems whose answers are known in closed form."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from core.tests.training.grid import Grid, GridTask
from torch import nn
from torch.nn import functional

from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.training.batches.samples import sample_of
from anydet.training.continual.ewc import ElasticWeights, fisher_information
from anydet.training.continual.importance import Importance
from anydet.training.continual.si import SynapticIntelligence
from anydet.training.first_weights import Names
from anydet.training.model import NamedRows
from anydet.training.task import StepOutput

DATA = SyntheticDataset(6, 0, (16, 16), "train")


class Weights(nn.Module):
    """Parameters, and nothing else."""

    def __init__(self, *values):
        super().__init__()
        self.w = nn.Parameter(torch.tensor(values))


class Numbers(GridTask):
    """Each image is the mean of its pixels; ``loss`` of them and of whether that is above the middle."""

    def __init__(self, model, loss):
        super().__init__(DATA.classes, {})
        self.model, self.loss = model, loss

    def item(self, sample):
        return sample.image.double().mean().float() / 255

    def collate(self, items):
        return torch.stack(items)

    def step(self, batch):
        return StepOutput({"loss": self.loss(self.model.w, batch)})


def numbers():
    return torch.stack([Numbers(Weights(0.0), None).item(sample_of(record)) for record in DATA])


def information(task, images=100):
    alone = SimpleNamespace(rank=0, world=1, to_device=lambda batch: batch, total=lambda values: values)
    return fisher_information(task, DATA, images, alone, seed=0, stop=lambda: None)["w"]


def test_the_fisher_information_of_a_gaussians_mean_is_one_over_its_variance():
    """The score of a mean is (x - mean) / variance; its mean square, at the data's mean, 1 / variance."""
    x = numbers()
    variance = x.var(correction=0)
    task = Numbers(Weights(float(x.mean())), lambda w, batch: ((w - batch) ** 2).mean() / (2 * variance))
    torch.testing.assert_close(information(task), 1 / variance[None], rtol=1e-3, atol=0)
    assert task.model.w.grad is None


def test_the_fisher_information_of_a_logistic_model_is_that_of_its_scores():
    """Kirkpatrick et al. take per-image gradients (p - y) x; squares of a batch's would be smaller."""
    x = numbers()
    middle = x.median()

    def loss(w, batch):
        return functional.binary_cross_entropy_with_logits(w * batch, (batch > middle).float())

    score = (torch.sigmoid(2.0 * x) - (x > middle).float()) * x
    found = information(Numbers(Weights(2.0), loss))
    torch.testing.assert_close(found, score.square().mean()[None])
    assert found > 2 * score.mean().square()


def test_few_images_are_spread_evenly():
    x = numbers()
    task = Numbers(Weights(0.0), lambda w, batch: (w * batch).mean())
    torch.testing.assert_close(information(task, images=2), x[[0, 5]].square().mean()[None])


def test_the_minimum_with_ewc_is_the_mean_of_both_tasks_weighted_by_curvature():
    """Of h/2 (w - b)^2 + lambda/2 F (w - a)^2 the minimum is at (h b + lambda F a) / (h + lambda F)."""
    a, b, h, fisher, strength = -1.0, 2.0, 3.0, 0.5, 4.0
    model = Weights((h * b + strength * fisher * a) / (h + strength * fisher))
    method = ElasticWeights(strength)
    method.importance = Importance({"w": torch.tensor([fisher])}, {"w": torch.tensor([a])})
    penalty = method.losses(SimpleNamespace(model=model), None, None)["ewc"]
    (h / 2 * (model.w - b).square().sum() + penalty).backward()
    torch.testing.assert_close(model.w.grad, torch.zeros(1), rtol=0, atol=1e-6)


def test_two_tasks_are_held_as_by_two_penalties():
    """But for a constant: each keeps its own anchor, and importance adds up."""
    generator = torch.Generator().manual_seed(0)
    draws = torch.rand(9, 5, generator=generator)
    tasks = [({"w": draws[i]}, {"w": draws[i + 3]}) for i in range(3)]
    whole = Importance()
    for weights, anchors in tasks:
        whole = whole.with_task(weights, anchors, keep_anchors=True)
    rest = []
    for place in draws[6:]:
        model = Weights(*place.tolist())
        parts = sum(Importance(*task).distance(model) for task in tasks)
        rest.append((parts - whole.distance(model)).item())
    assert rest == pytest.approx([rest[0]] * 3, abs=1e-6)


def test_a_weight_that_no_task_needs_has_the_newest_anchor():
    zero, one = {"w": torch.zeros(1)}, {"w": torch.ones(1)}
    found = Importance().with_task(zero, zero, keep_anchors=True).with_task(zero, one, keep_anchors=True)
    assert found.anchors["w"] == 1
    assert found.distance(Weights(7.0)) == 0


def walk(method, model, loss, *, rate, steps):
    """SGD as the loop does it: a penalty's gradient is part of what the optimizer sees."""
    loop = SimpleNamespace(model=model, processes=SimpleNamespace(device=torch.device("cpu")))
    method.before_train(loop)
    for _ in range(steps):
        model.zero_grad()
        penalty = method.losses(SimpleNamespace(model=model), None, None)["si"]
        (loss(model.w) + penalty).backward()
        method.before_update(loop)
        with torch.no_grad():
            model.w -= rate * model.w.grad
        method.after_step(loop)


H = torch.tensor([4.0, 1.0, 0.0])


def bowl(w):
    return (H / 2 * w.square()).sum()


def test_the_path_integral_is_the_decrease_of_a_quadratic_loss_weight_by_weight():
    model, method = Weights(1.0, -2.0, 3.0), SynapticIntelligence(1.0, 1e-3)
    before = H / 2 * model.w.detach().square()
    walk(method, model, bowl, rate=1e-3, steps=100)
    gained = before - H / 2 * model.w.detach().square()
    torch.testing.assert_close(method.path["w"], gained, rtol=4e-3, atol=0)
    assert float(method.path["w"].sum()) == pytest.approx((before.sum() - bowl(model.w)).item(), rel=4e-3)


def test_after_a_walk_to_the_minimum_the_penalty_is_the_loss_of_that_task():
    """Zenke et al. 2017, section 3: for a quadratic loss W (w - w*)^2 with W = h / 2 is the loss itself."""
    model, method = Weights(1.0, -2.0, 3.0), SynapticIntelligence(1.0, 1e-9)
    walk(method, model, bowl, rate=2e-2, steps=250)
    task = SimpleNamespace(model=model)
    left = method.after_task(task, {"w": model.w.detach().clone()})
    torch.testing.assert_close(left.weights["w"], H / 2, rtol=0.05, atol=1e-4)
    far = Weights(5.0, 5.0, 5.0)
    assert left.distance(far).item() == pytest.approx(bowl(far.w).item(), rel=0.05)


def test_a_path_that_raised_the_loss_counts_as_zero():
    model, method = Weights(1.0, -2.0, 3.0), SynapticIntelligence(1.0, 1e-3)
    walk(method, model, bowl, rate=-1e-2, steps=5)
    assert (method.path["w"][:2] < 0).all()
    assert not method.gained({"w": model.w.detach()})["w"].any()


def test_the_gradient_of_the_penalty_itself_is_no_part_of_the_path():
    """It pulls the weights away from the task's minimum; a path along it gains nothing for the task."""
    model, method = Weights(0.0, 0.0, 0.0), SynapticIntelligence(1.0, 1e-3)
    method.importance = Importance({"w": torch.ones(3)}, {"w": torch.full((3,), 5.0)})
    walk(method, model, bowl, rate=1e-3, steps=100)
    assert (model.w > 0.5).all()
    loss = H / 2 * model.w.detach().square()
    torch.testing.assert_close(method.path["w"], -loss, rtol=0.05, atol=0)


def test_rows_of_new_classes_have_no_importance_and_others_go_by_name():
    class Named(Grid):
        def named_rows(self):
            return dict.fromkeys(("head.weight", "head.bias"), NamedRows(after=4))

    old, new = Named(2), Named(3)
    weights = {name: torch.rand_like(one) + 1 for name, one in old.named_parameters()}
    anchors = {name: one.detach().clone() for name, one in old.named_parameters()}
    weights["gone"] = anchors["gone"] = torch.ones(3)
    found = Importance(weights, anchors).taken_by(
        new, Names(("a", "b")), Names(("b", "new", "a")), source="x"
    )
    assert set(found.weights) == {name for name, _ in new.named_parameters()}
    of_rows = found.weights["head.weight"]
    assert torch.equal(of_rows[[2, 0]], weights["head.weight"][:2])
    assert not of_rows[1].any()
    assert torch.equal(of_rows[3:], weights["head.weight"][2:])
    assert torch.equal(found.anchors["head.bias"][[2, 0]], anchors["head.bias"][:2])
    assert torch.equal(found.weights["backbone.0.weight"], weights["backbone.0.weight"])
