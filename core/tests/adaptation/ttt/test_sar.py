from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")


def prepared(build, grid, **options):
    running = build("sar", reset="stream", momentum=0.0, confidence=0.1, check_every=0, **options)
    running.prepare(grid)
    return running


def test_the_gradient_is_that_of_the_worst_point_nearby(build, grid, records):
    running = prepared(build, grid, entropy_margin=1.0, rho=0.5, lr=1e-3)
    batches = list(grid.build_loader(records, batch_size=5))
    generator = running.generator(records)
    running.optimizer.zero_grad()
    running.backward(batches, generator)
    parameters = list(running.parameters.values())
    gradients = [parameter.grad.clone() for parameter in parameters]
    norm = torch.cat([gradient.flatten() for gradient in gradients]).norm()
    kept = [parameter.detach().clone() for parameter in parameters]
    with torch.no_grad():
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.add_(0.5 * gradient / norm)
    expected = torch.autograd.grad(running.loss(batches[0], generator), parameters)
    with torch.no_grad():
        for parameter, value in zip(parameters, kept, strict=True):
            parameter.copy_(value)
    running.take_step(batches, generator)
    for parameter, gradient in zip(parameters, expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)
    running.restore()


def test_rows_above_the_margin_do_not_count(build, grid, records):
    running = prepared(build, grid, entropy_margin=0.0)
    running.adapt(records)
    assert "loss" not in running.report()["log"][0]
    running.restore()


def test_a_loss_that_vanishes_resets_the_model(build, grid, records):
    running = prepared(build, grid, entropy_margin=1.0, recovery=1.0, lr=0.01, steps=3, max_step_norm=9.0)
    before = {name: value.clone() for name, value in grid.get_model().named_parameters()}
    running.adapt(records)
    recovered = running.report()["recoveries"]
    running.restore()
    assert recovered > 0
    assert all(torch.equal(v, before[n]) for n, v in grid.get_model().named_parameters())
