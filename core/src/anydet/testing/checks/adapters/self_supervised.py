"""The loss without labels, on which masked-image methods stand."""

from __future__ import annotations

from typing import Any

from anydet.plugins.adapter import Adapter
from anydet.testing.checks.adapters.subject import AdapterSubject
from anydet.testing.live_model import live_model, reached_parameters


def self_supervised_loss_is_differentiable(subject: AdapterSubject) -> None:
    """``self_supervised_loss`` gives a finite scalar whose gradient reaches parameters of ``get_model``."""
    subject.require("self-supervised")
    with subject.adapter() as adapter:
        torch, model = live_model(adapter)
        list(adapter.predict(subject.records()[:1]))  # what predict switches off must be on again
        for batch in adapter.build_loader(subject.records(), batch_size=2):
            loss = adapter.self_supervised_loss(batch, torch.Generator().manual_seed(0))
            assert isinstance(loss, torch.Tensor) and loss.ndim == 0, (  # noqa: PT018
                f"the loss is a {type(loss).__name__} of shape {tuple(getattr(loss, 'shape', ()))}; give a "
                "scalar tensor"
            )
            assert bool(torch.isfinite(loss)), f"the loss is {loss.item()}"
            assert loss.requires_grad, "the loss carries no gradient; compute it outside torch.no_grad()"
            assert reached_parameters(model, loss), (
                "no parameter of get_model() got a gradient; compute the loss with that very module"
            )


def self_supervised_loss_draws_from_its_generator(subject: AdapterSubject) -> None:
    """The loss is the same for the same state of ``generator``, and leaves torch's own generator alone."""
    subject.require("self-supervised")
    with subject.adapter() as adapter:
        torch, _ = live_model(adapter)
        batch = next(iter(adapter.build_loader(subject.records(), batch_size=2)))
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            before = torch.get_rng_state()
            first = _loss(adapter, torch, batch)
            moved = not torch.equal(torch.get_rng_state(), before)
            torch.manual_seed(1)
            again = _loss(adapter, torch, batch)
    assert not moved, "torch's own generator moved; draw from the generator that is given"
    assert first == again, f"the loss is {first}, then {again}; draw from nothing but the generator"


def _loss(adapter: Adapter, torch: Any, batch: Any) -> float:
    return float(adapter.self_supervised_loss(batch, torch.Generator().manual_seed(7)).detach())


CHECKS = (self_supervised_loss_is_differentiable, self_supervised_loss_draws_from_its_generator)
