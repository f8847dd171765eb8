"""Checks of the live model and of training, on a tiny torch adapter that has every capability."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from anydet.errors import OptionError
from anydet.plugins.adapter import ClassLogits, TrainResult
from anydet.plugins.export import ExportSpec, ModelDescription, ModelOutput
from anydet.plugins.preprocess import Preprocess
from anydet.plugins.specs import CAPABILITIES, AdapterSpec
from anydet.testing import AdapterSubject, NotApplicable
from anydet.testing.checks.adapters import CHECKS, features, self_supervised, training, ttt
from anydet.types import AdapterSettings

torch = pytest.importorskip("torch")

from anydet.testing.grid import CELLS, SIDE, Grid, GridDetector


class Exported(torch.nn.Module):
    """Logits and boxes of the cells."""

    def __init__(self, model: Grid) -> None:
        super().__init__()
        self.model = model

    def forward(self, images):
        centers = (torch.arange(CELLS) + 0.5) / CELLS
        y, x = torch.meshgrid(centers, centers, indexing="ij")
        side = torch.full_like(x, 1 / CELLS)
        boxes = torch.stack([x, y, side, side], dim=-1).reshape(1, -1, 4)
        return self.model(images), boxes.expand(len(images), -1, -1)


OUTPUTS = ModelOutput("logits", "class_logits"), ModelOutput("boxes", "boxes_cxcywh")


class GridAdapter(GridDetector):
    """The whole contract in a few lines, with every capability."""

    def __init__(self, settings: AdapterSettings) -> None:
        super().__init__(settings)
        self.model.register_buffer("batches", torch.zeros(()), persistent=False)
        if settings.checkpoint:
            try:
                self.model.load_state_dict(torch.load(settings.checkpoint, weights_only=True))
            except Exception as exc:
                raise OptionError(f"{settings.checkpoint} holds no weights: {exc}") from exc

    def train(self, run) -> TrainResult:
        with torch.no_grad():
            self.model.head.bias += 1.0
        path = Path(run) / "grid.pt"
        torch.save(self.model.state_dict(), path)
        return TrainResult(str(path))

    def export_spec(self) -> ExportSpec:
        how = Preprocess("stretch", (SIDE, SIDE), divisor=255.0)
        return ExportSpec(
            Exported(self.model),
            {"images": torch.zeros(1, 3, SIDE, SIDE)},
            ModelDescription(layout="queries", outputs=OUTPUTS, preprocess=how, classes=self.classes.names),
        )


def logits_changed(**changes):
    class Changed(GridAdapter):
        def class_logits(self, batch):
            found = super().class_logits(batch)
            return replace(found, **{name: change(found) for name, change in changes.items()})

    return Changed


def batches_changed(change):
    class Changed(GridAdapter):
        def build_loader(self, records, *, batch_size):
            return map(change, super().build_loader(records, batch_size=batch_size))

    return Changed


def export_changed(**changes):
    class Changed(GridAdapter):
        def export_spec(self):
            return replace(super().export_spec(), **changes)

    return Changed


def description_changed(**changes):
    class Changed(GridAdapter):
        def export_spec(self):
            spec = super().export_spec()
            return replace(spec, description=replace(spec.description, **changes))

    return Changed


class ExportsOneImage(GridAdapter):
    """Says that the number of images is open, and gives what it found in the first."""

    def export_spec(self):
        spec = super().export_spec()
        names = "images", "logits", "boxes"
        return replace(spec, module=First(spec.module), dynamic_axes={name: {0: "batch"} for name in names})


class First(torch.nn.Module):
    def __init__(self, whole):
        super().__init__()
        self.whole = whole

    def forward(self, images):
        return tuple(values[:1] for values in self.whole(images))


def features_changed(change):
    class Changed(GridAdapter):
        def features(self, batch):
            return change(super().features(batch)["backbone.stride8"])

    return Changed


def modules_changed(**changes):
    class Changed(GridAdapter):
        def module_names(self):
            return {**super().module_names(), **changes}

    return Changed


def loss_changed(change):
    class Changed(GridAdapter):
        def self_supervised_loss(self, batch, generator):
            return change(super().self_supervised_loss(batch, generator))

    return Changed


class CountsBatches(GridAdapter):
    """Collects a statistic as a norm in training mode does."""

    def class_logits(self, batch):
        self.model.batches += 1
        return super().class_logits(batch)


class CountsLogits(GridAdapter):
    """As a model whose norms collect statistics; prediction leaves them alone."""

    def predict(self, records):
        kept = self.model.batches.clone()
        yield from super().predict(records)
        self.model.batches.copy_(kept)

    def class_logits(self, batch):
        self.model.batches += 1
        return super().class_logits(batch)


class StartsWithZeros(GridAdapter):
    """New and untrained: its scores are constant, however its parameters are scaled."""

    def __init__(self, settings):
        super().__init__(settings)
        torch.nn.init.zeros_(self.model.head.weight)
        torch.nn.init.zeros_(self.model.head.bias)


class CountsFeatures(GridAdapter):
    def features(self, batch):
        self.model.batches += 1
        return super().features(batch)


class StaysInTrainingMode(GridAdapter):
    def __init__(self, settings):
        super().__init__(settings)
        self.model.eval()

    def self_supervised_loss(self, batch, generator):
        self.model.head.train()
        return super().self_supervised_loss(batch, generator)


class NamesOneMoreLevel(GridAdapter):
    calls = 0

    def features(self, batch):
        self.calls += 1
        return {**super().features(batch), f"neck.{self.calls}": self.model.backbone(batch)}


class RunsTheHead(GridAdapter):
    def features(self, batch):
        self.model(batch)
        return super().features(batch)


class GivesWhatTheHeadMakes(GridAdapter):
    def features(self, batch):
        found = self.model.backbone(batch)
        return {"neck.stride8": torch.nn.functional.conv2d(found, self.model.head.weight)}


class DrawsFromTorch(GridAdapter):
    def self_supervised_loss(self, batch, generator):
        return super().self_supervised_loss(batch + torch.rand(()), generator)


class Remembers(GridAdapter):
    calls = 0

    def self_supervised_loss(self, batch, generator):
        self.calls += 1
        return super().self_supervised_loss(batch, generator) * self.calls


class LosesByAnotherModel(GridAdapter):
    def self_supervised_loss(self, batch, generator):
        return Grid(self.settings.seed)(batch).mean()


class GivesACopy(GridAdapter):
    def get_model(self):
        return Grid(self.settings.seed)


class PredictsWithAnother(GridAdapter):
    def __init__(self, settings):
        super().__init__(settings)
        self.shown = Grid(settings.seed)

    def get_model(self):
        return self.shown


class GivesNoModule(GridAdapter):
    def get_model(self):
        return {"weights": 1}


class NeverComesBack(GridAdapter):
    """Halves its own copy of the bias at each call, whatever the model's parameters are."""

    calls = 0

    def predict(self, records):
        self.calls += 1
        return (replace(p, scores=p.scores / self.calls) for p in super().predict(records))


class ServesOneBatch(GridAdapter):
    def build_loader(self, records, *, batch_size):
        yield next(iter(super().build_loader(records, batch_size=batch_size)))


class FreezesItsModel(GridAdapter):
    def predict(self, records):
        self.model.requires_grad_(False)
        return super().predict(records)


class AsksAnotherModel(GridAdapter):
    def class_logits(self, batch):
        logits = Grid(self.settings.seed)(batch)
        return ClassLogits(logits, torch.ones(logits.shape[:2], dtype=torch.bool), "sigmoid")


class IgnoresItsCheckpoint(GridAdapter):
    def __init__(self, settings):
        super().__init__(replace(settings, checkpoint=None))


class TakesNoiseForWeights(GridAdapter):
    def __init__(self, settings):
        try:
            super().__init__(settings)
        except OptionError:
            super().__init__(replace(settings, checkpoint=None))


class SavesNothing(GridAdapter):
    def train(self, run):
        return TrainResult(str(Path(run) / "nowhere.pt"))


class GivesAPath(GridAdapter):
    def train(self, run):
        return Path(super().train(run).checkpoint)


BAD = [
    ("get_model_is_the_model_that_predicts", GivesACopy, "another object"),
    ("get_model_is_the_model_that_predicts", PredictsWithAnother, "changes a result"),
    ("get_model_is_the_model_that_predicts", GivesNoModule, r"give a torch\.nn\.Module"),
    ("get_model_is_the_model_that_predicts", NeverComesBack, "put back"),
    ("build_loader_gives_model_inputs", ServesOneBatch, "5 records, 2 images"),
    ("build_loader_gives_model_inputs", batches_changed(lambda b: b.numpy()), "give a tensor"),
    ("build_loader_gives_model_inputs", batches_changed(lambda b: b.permute(0, 2, 3, 1)), "B, 3, H, W"),
    ("build_loader_gives_model_inputs", batches_changed(lambda b: b.byte()), "not finite"),
    ("build_loader_gives_model_inputs", batches_changed(lambda b: b / 0 * 0), "not finite"),
    ("class_logits_have_contract_shapes", logits_changed(logits=lambda f: f.logits[0]), "B, N, C"),
    ("class_logits_have_contract_shapes", logits_changed(valid=lambda f: f.valid.float()), "give bool"),
    ("class_logits_have_contract_shapes", logits_changed(boxes=lambda f: f.logits), "boxes have shape"),
    ("class_logits_have_contract_shapes", logits_changed(activation=lambda f: "relu"), "activation"),
    ("class_logits_have_contract_shapes", logits_changed(background=lambda f: 2), "background 2"),
    ("class_logits_have_contract_shapes", logits_changed(background=lambda f: 0), "the table has 2"),
    ("class_logits_are_differentiable", FreezesItsModel, "carry no gradient"),
    ("class_logits_are_differentiable", AsksAnotherModel, "no parameter of get_model"),
    ("the_model_is_left_as_it_is", CountsBatches, "predict changed batches"),
    ("the_model_is_left_as_it_is", CountsLogits, "class_logits changed batches"),
    ("the_model_is_left_as_it_is", CountsFeatures, "features changed batches"),
    ("the_model_is_left_as_it_is", StaysInTrainingMode, "self_supervised_loss left modules"),
    ("module_names_cover_the_model", modules_changed(head=[]), "head.weight is in none"),
    ("module_names_cover_the_model", modules_changed(neck=["head"]), "head.weight is in .'head', 'neck'"),
    ("module_names_cover_the_model", modules_changed(neck=["fpn"]), "neck names 'fpn'"),
    ("module_names_cover_the_model", modules_changed(extra=[]), "the keys are"),
    ("features_have_contract_shapes", features_changed(lambda f: {}), "there is no level"),
    ("features_have_contract_shapes", features_changed(lambda f: {"p3": f}), "is called 'p3'"),
    ("features_have_contract_shapes", features_changed(lambda f: {"head.1": f}), "is called 'head.1'"),
    ("features_have_contract_shapes", features_changed(lambda f: {"neck.1": f[0]}), "give .B, C, h, w."),
    ("features_have_contract_shapes", features_changed(lambda f: {"neck.1": f / 0}), "not finite"),
    (
        "features_have_contract_shapes",
        features_changed(lambda f: {"neck.1": f.repeat(1, 1, 9, 9)}),
        "for inputs of",
    ),
    ("features_have_contract_shapes", NamesOneMoreLevel, "the same for every batch"),
    ("features_are_differentiable", features_changed(lambda f: {"neck.1": f.detach()}), "no gradient"),
    (
        "features_are_differentiable",
        features_changed(lambda f: {"neck.1": f.detach().requires_grad_()}),
        "no parameter of neck",
    ),
    ("features_are_differentiable", GivesWhatTheHeadMakes, "depends on head.weight"),
    ("features_leave_the_head_out", RunsTheHead, "head ran"),
    ("self_supervised_loss_is_differentiable", loss_changed(lambda loss: loss[None]), "a scalar tensor"),
    ("self_supervised_loss_is_differentiable", loss_changed(lambda loss: loss / 0), "the loss is inf"),
    ("self_supervised_loss_is_differentiable", loss_changed(lambda loss: loss.detach()), "no gradient"),
    ("self_supervised_loss_is_differentiable", LosesByAnotherModel, "no parameter of get_model"),
    ("self_supervised_loss_draws_from_its_generator", DrawsFromTorch, "own generator moved"),
    ("self_supervised_loss_draws_from_its_generator", Remembers, "nothing but the generator"),
    (
        "export_spec_fits_the_model",
        description_changed(outputs=(*OUTPUTS, ModelOutput("states", "state_scores"))),
        "gives 2 outputs, 3 are described",
    ),
    (
        "export_spec_fits_the_model",
        description_changed(outputs=(ModelOutput("images", "class_logits"), OUTPUTS[1])),
        "used twice",
    ),
    (
        "export_spec_fits_the_model",
        description_changed(
            outputs=(ModelOutput("a", "pixel_logits"), ModelOutput("b", "image_logits")), layout="pixels"
        ),
        r"a has shape \(1, 16, 2\); pixel_logits is \(B, C, H, W\)",
    ),
    ("export_spec_fits_the_model", description_changed(classes=("cat",)), "it describes classes"),
    ("export_spec_fits_the_model", export_changed(module=Exported(Grid(0))), "no parameter of get_model"),
    ("export_spec_fits_the_model", export_changed(dynamic_axes={"imags": {0: "batch"}}), "imags"),
    ("export_spec_fits_the_model", ExportsOneImage, "two images give logits of shape"),
    ("predict_loads_what_train_saved", IgnoresItsCheckpoint, "load all weights"),
    ("predict_loads_what_train_saved", TakesNoiseForWeights, "holds no weights and was taken"),
    ("predict_loads_what_train_saved", SavesNothing, "does not exist"),
    ("predict_loads_what_train_saved", GivesAPath, "give a TrainResult"),
]
SPEC = AdapterSpec("grid", "nowhere:Grid", capabilities=tuple(CAPABILITIES))
MODEL_CHECKS = [
    check.__name__ for module in (ttt, features, self_supervised, training) for check in module.CHECKS
]


def subject(adapter, folder, **changes):
    settings = AdapterSettings(batch_size=2, score_floor=0.001)
    return replace(
        AdapterSubject(SPEC, adapter, settings, folder=folder, train=lambda adapter, run: adapter.train(run)),
        **changes,
    )


# The check of adapters that look at no image has nothing to check here.
@pytest.mark.parametrize("name", [name for name in CHECKS if name != "pixels_are_read_only_where_needed"])
def test_a_torch_adapter_with_every_capability_passes(name, tmp_path):
    CHECKS[name](subject(GridAdapter, tmp_path))


def test_a_new_model_with_constant_scores_passes(tmp_path):
    CHECKS["get_model_is_the_model_that_predicts"](subject(StartsWithZeros, tmp_path))


def test_every_model_check_has_a_bad_adapter():
    assert {name for name, *_ in BAD} == set(MODEL_CHECKS)


@pytest.mark.parametrize(
    ("name", "adapter", "message"), BAD, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_check_catches_its_bad_adapter(name, adapter, message, tmp_path):
    with pytest.raises(AssertionError, match=message):
        CHECKS[name](subject(adapter, tmp_path))


@pytest.mark.parametrize("name", MODEL_CHECKS)
def test_checks_of_undeclared_capabilities_are_skipped_with_a_reason(name, tmp_path):
    plain = subject(GridAdapter, tmp_path, spec=replace(SPEC, capabilities=("predict",)))
    with pytest.raises(NotApplicable, match="does not declare the capability"):
        CHECKS[name](plain)


def test_training_without_a_tiny_run_is_skipped_with_a_reason(tmp_path):
    with pytest.raises(NotApplicable, match="no tiny training run"):
        CHECKS["predict_loads_what_train_saved"](subject(GridAdapter, tmp_path, train=None))
