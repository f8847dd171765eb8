"""The live model behind an adapter: test-time training, distillation and export stand on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from anydet.plugins.adapter import Adapter
from anydet.plugins.export import SHAPES, ExportSpec
from anydet.testing.checks.adapters.subject import AdapterSubject, require_findings
from anydet.testing.comparison import first_difference
from anydet.testing.live_model import changed_tensor, live_model, reached_parameters, tensors_of


def get_model_is_the_model_that_predicts(subject: AdapterSubject) -> None:
    """``get_model`` gives one ``torch.nn.Module``, and changing its parameters changes what is predicted."""
    _require_model(subject)
    with subject.adapter() as adapter:
        torch, model = live_model(adapter)
        assert adapter.get_model() is model, "get_model() gives another object each time; keep one"
        before = list(adapter.predict(subject.records()))
        require_findings(before)
        kept = [parameter.detach().clone() for parameter in model.parameters()]
        assert kept, "the model has no parameters; nothing can be adapted"
        moved = False
        for noise in (0.0, 0.1, 1.0):
            with torch.no_grad():
                generator = torch.Generator().manual_seed(0)
                for parameter, value in zip(model.parameters(), kept, strict=True):
                    drawn = torch.randn(value.shape, generator=generator).to(value)
                    # Halved first. A new model may give constant scores, as layers of zeros stay zeros.
                    parameter.copy_(value / 2 + noise * drawn)
            changed = list(adapter.predict(subject.records()))
            moved = moved or bool(first_difference(before, changed, subject.tolerance))
            if moved:
                break
        with torch.no_grad():
            for parameter, value in zip(model.parameters(), kept, strict=True):
                parameter.copy_(value)
        restored = list(adapter.predict(subject.records()))
    assert moved, "no change of all parameters of get_model() changes a result; predict with that very module"
    difference = first_difference(before, restored, subject.tolerance)
    assert not difference, f"with its parameters put back: {difference}; keep no copy of them"


def build_loader_gives_model_inputs(subject: AdapterSubject) -> None:
    """``build_loader`` gives finite float batches (B, 3, H, W) of all records, B at most ``batch_size``."""
    subject.require("ttt")
    with subject.adapter() as adapter:
        torch, _ = live_model(adapter)
        batches = list(adapter.build_loader(subject.records(), batch_size=2))
    for batch in batches:
        assert isinstance(batch, torch.Tensor), f"a batch is a {type(batch).__name__}; give a tensor"
        assert batch.ndim == 4 and batch.shape[1] == 3 and batch.shape[0] <= 2, (  # noqa: PT018
            f"a batch has shape {tuple(batch.shape)}; give (B, 3, H, W) with B <= batch_size"
        )
        assert batch.is_floating_point() and bool(torch.isfinite(batch).all()), (  # noqa: PT018
            f"a batch is {batch.dtype}, or not finite; give what the model takes"
        )
    got = sum(len(batch) for batch in batches)
    assert got == len(subject.images), f"{len(subject.images)} records, {got} images in batches"


def class_logits_have_contract_shapes(subject: AdapterSubject) -> None:
    """``class_logits`` gives logits (B, N, C), valid (B, N) bool, boxes (B, N, 4) or none."""
    subject.require("ttt")
    with subject.adapter() as adapter:
        torch, _ = live_model(adapter)
        for batch in adapter.build_loader(subject.records(), batch_size=2):
            found = adapter.class_logits(batch)
            assert found.logits.ndim == 3 and len(found.logits) == len(batch), (  # noqa: PT018
                f"logits have shape {tuple(found.logits.shape)}; give (B, N, C) with B = {len(batch)}"
            )
            rows, classes = tuple(found.logits.shape[:2]), found.logits.shape[2]
            assert found.valid.dtype == torch.bool and tuple(found.valid.shape) == rows, (  # noqa: PT018
                f"valid is {found.valid.dtype} {tuple(found.valid.shape)}; give bool {rows}"
            )
            assert found.boxes is None or tuple(found.boxes.shape) == (*rows, 4), (
                f"boxes have shape {tuple(found.boxes.shape)}; give {(*rows, 4)}"
            )
            assert found.activation in {"sigmoid", "softmax"}, (
                f"activation is {found.activation!r}; give 'sigmoid' or 'softmax'"
            )
            assert found.background is None or 0 <= found.background < classes, (
                f"background {found.background} is none of the {classes} classes"
            )
            _assert_classes_fit(adapter, classes - (found.background is not None))


def class_logits_are_differentiable(subject: AdapterSubject) -> None:
    """Gradients of ``class_logits`` reach parameters of ``get_model``."""
    subject.require("ttt")
    with subject.adapter() as adapter:
        _, model = live_model(adapter)
        list(adapter.predict(subject.records()[:1]))  # what predict switches off must be on again
        batch = next(iter(adapter.build_loader(subject.records(), batch_size=2)))
        logits = adapter.class_logits(batch).logits
        assert logits.requires_grad, "logits carry no gradient; compute them outside torch.no_grad()"
        reached = reached_parameters(model, logits.sum())
    assert reached, "no parameter of get_model() got a gradient; compute logits with that very module"


def the_model_is_left_as_it_is(subject: AdapterSubject) -> None:
    """Neither ``predict`` nor ``class_logits``, ``features`` or the loss changes a parameter or a buffer."""
    subject.require("ttt")
    with subject.adapter() as adapter:
        torch, model = live_model(adapter)
        batch = next(iter(adapter.build_loader(subject.records(), batch_size=2)))
        generator = torch.Generator().manual_seed(0)
        uses: dict[str, tuple[str, Callable[[], object]]] = {
            "predict": ("predict", lambda: list(adapter.predict(subject.records()))),
            "class_logits": ("ttt", lambda: adapter.class_logits(batch)),
            "features": ("features", lambda: adapter.features(batch)),
            "self_supervised_loss": (
                "self-supervised",
                lambda: adapter.self_supervised_loss(batch, generator),
            ),
        }
        for method, (capability, use) in uses.items():
            if capability in subject.spec.capabilities:
                before, modes = tensors_of(model), [module.training for module in model.modules()]
                use()
                changed = changed_tensor(model, before)
                assert not changed, f"{method} changed {changed}; let norms keep their statistics"
                assert [module.training for module in model.modules()] == modes, (
                    f"{method} left modules in another mode; put training or evaluation mode back"
                )


def export_spec_fits_the_model(subject: AdapterSubject) -> None:
    """The module of ``export_spec`` takes its inputs and gives the outputs that it describes.

    Each has the axes of its meaning, and their description survives the metadata of a file.
    """
    subject.require("export-onnx")
    with subject.adapter() as adapter:
        torch, model = live_model(adapter)
        spec = adapter.export_spec()
        described = spec.description.checked()
        names = [*spec.inputs, *(output.name for output in described.outputs)]
        assert len(set(names)) == len(names), f"names are used twice: {names}; give each its own"
        unknown = sorted(set(spec.dynamic_axes) - set(names))
        assert not unknown, f"dynamic_axes speaks of {unknown}, which are no inputs or outputs"
        known = () if adapter.classes is None else adapter.classes.names
        assert described.classes == known, f"it describes classes {described.classes}, and predicts {known}"
        with torch.no_grad():
            outputs = spec.module(*spec.inputs.values())
        used = {id(parameter) for parameter in spec.module.parameters()}
        assert used & {id(parameter) for parameter in model.parameters()}, (
            "the module has no parameter of get_model(); wrap that very module"
        )
    found = [outputs] if isinstance(outputs, torch.Tensor) else list(outputs)
    assert len(found) == len(described.outputs), (
        f"the module gives {len(found)} outputs, {len(described.outputs)} are described; describe each"
    )
    for output, values in zip(described.outputs, found, strict=True):
        axes = SHAPES[output.meaning]
        assert values.ndim == len(axes), (
            f"{output.name} has shape {tuple(values.shape)}; {output.meaning} is ({', '.join(axes)})"
        )
    with torch.no_grad():
        _assert_batch_is_open(torch, spec)
    again = type(described).from_metadata(described.as_metadata())
    assert again == described, f"its description comes back from metadata as {again}; use plain values"


def _assert_batch_is_open(torch: Any, spec: ExportSpec) -> None:
    """Where the number of images may change, two of them give twice as much."""
    batch = {name: axes[0] for name, axes in spec.dynamic_axes.items() if 0 in axes}
    if not batch.keys() & spec.inputs.keys():
        return
    twice = [torch.cat([t, t]) if name in batch else t for name, t in spec.inputs.items()]
    found = spec.module(*twice)
    for output, values in zip(
        spec.description.outputs, (found,) if torch.is_tensor(found) else found, strict=True
    ):
        followed = batch.get(output.name) in {batch[name] for name in spec.inputs if name in batch}
        assert not followed or len(values) == 2, (
            f"two images give {output.name} of shape {tuple(values.shape)}; its axis 0 is said to follow "
            "their number"
        )


def _require_model(subject: AdapterSubject) -> None:
    if "export-onnx" not in subject.spec.capabilities:
        subject.require("ttt")


def _assert_classes_fit(adapter: Adapter, classes: int) -> None:
    known = classes if adapter.classes is None else len(adapter.classes)
    assert known == classes, f"logits have {classes} classes beside the background, the table has {known}"


CHECKS = (
    get_model_is_the_model_that_predicts,
    build_loader_gives_model_inputs,
    class_logits_have_contract_shapes,
    class_logits_are_differentiable,
    the_model_is_left_as_it_is,
    export_spec_fits_the_model,
)
