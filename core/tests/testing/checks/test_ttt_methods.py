"""Each check of methods of test-time training catches a bad method of its own."""

from __future__ import annotations

from contextlib import contextmanager, suppress

import pytest

torch = pytest.importorskip("torch")

from anydet.errors import UnsupportedError
from anydet.plugins.specs import TTTMethodSpec
from anydet.prediction.hooks import TTTDescription, TTTMethod, TTTSettings
from anydet.testing.checks.ttt_methods import CHECKS, TTTMethodSubject
from anydet.testing.kit import NotApplicable

SPEC = TTTMethodSpec("noise", "nowhere:Good", settings=("steps", "source"))


class Good(TTTMethod):
    """Lowers the entropy of the head's logits, with the statistics of each chunk in the norms."""

    def prepare(self, adapter, source=None):
        self.adapter, self.model = adapter, adapter.get_model()
        self.kept = {name: value.clone() for name, value in self.model.state_dict().items()}
        self.modes = [module.training for module in self.model.modules()]
        self.losses = []

    def adapt(self, records):
        if self.settings.reset == "sample":
            self.restore()
        for step in range(1 if self.settings.steps is None else self.settings.steps):
            self.take_step(records, step)

    def take_step(self, records, step):
        self.model.train()
        generator = torch.Generator().manual_seed(self.settings.seed + step)
        batch = next(iter(self.adapter.build_loader(records, batch_size=len(records))))
        noise = 0.1 * torch.randn(batch.shape, generator=generator)
        loss = self.adapter.class_logits(batch + noise).logits.square().mean()
        (gradient,) = torch.autograd.grad(loss, [self.model.head.weight])
        with torch.no_grad():
            self.model.head.weight -= 0.05 * gradient
        self.losses.append(float(loss.detach()))

    def restore(self):
        self.model.load_state_dict(self.kept)
        for module, training in zip(self.model.modules(), self.modes, strict=True):
            module.training = training

    def describe(self):
        return TTTDescription(steps=1)

    def report(self):
        return {"losses": self.losses}


class WantsNoImage(Good):
    min_images = 0


class IsNoMethod:
    def __init__(self, settings):
        self.settings = settings


class LeavesStatistics(Good):
    def restore(self):
        statistics = {name: v.clone() for name, v in self.model.state_dict().items() if "running" in name}
        super().restore()
        self.model.load_state_dict(statistics, strict=False)


class LeavesTrainingMode(Good):
    def restore(self):
        self.model.load_state_dict(self.kept)


class ReportsTensors(Good):
    def report(self):
        return {"loss": torch.zeros(())}


class DescribesNothing(Good):
    def describe(self):
        return None


class AlwaysSteps(Good):
    def adapt(self, records):
        super().adapt(records)
        self.take_step(records, 7)


class DrawsGlobally(Good):
    def take_step(self, records, step):
        super().take_step(records, step)
        with torch.no_grad():
            self.model.head.weight += 0.1 * torch.randn(())


class NeverResets(Good):
    def adapt(self, records):
        self.take_step(records, 0)


class WantsTwo(Good):
    def adapt(self, records):
        if len(records) < 2:
            raise ValueError("a batch of one has no statistics")
        super().adapt(records)


class KeepsTheTeacher(Good):
    @contextmanager
    def predicting(self):
        with torch.no_grad():
            self.model.head.bias += 1
        yield


class SwallowsErrors(Good):
    @contextmanager
    def predicting(self):
        with suppress(ZeroDivisionError):
            yield


class PaintsOnRecords(Good):
    def adapt(self, records):
        for record in records:
            record.image()[:] = 0


class AsksForNothing(Good):
    def prepare(self, adapter, source=None):
        super().prepare(adapter if hasattr(adapter, "model") else None, source)


BAD = [
    ("it_is_a_method", WantsNoImage, "min_images is 0"),
    ("it_is_a_method", IsNoMethod, "derive from TTTMethod"),
    ("the_model_comes_back", LeavesStatistics, "running_mean changed"),
    ("the_model_comes_back", LeavesTrainingMode, "training mode"),
    ("it_describes_itself_in_json", ReportsTensors, "report cannot be written"),
    ("it_describes_itself_in_json", DescribesNothing, "describe gave NoneType"),
    ("without_steps_nothing_changes", AlwaysSteps, "changed although steps is 0"),
    ("the_same_seed_gives_the_same_results", DrawsGlobally, "generator of settings.seed"),
    ("samples_do_not_depend_on_the_chunks_before", NeverResets, "behind another chunk"),
    ("a_last_chunk_may_be_small", WantsTwo, "no statistics"),
    ("predicting_puts_the_student_back", KeepsTheTeacher, "predicting left head.bias"),
    ("predicting_puts_the_student_back", SwallowsErrors, "swallowed"),
    ("records_are_left_alone", PaintsOnRecords, "pixels were changed"),
    ("adapters_that_lack_something_are_refused", AsksForNothing, "prepare raised AttributeError"),
]


def subject(method, folder):
    return TTTMethodSubject(SPEC, method, TTTSettings(), folder=folder)


@pytest.mark.parametrize("check", CHECKS)
def test_a_good_method_passes(check, tmp_path):
    CHECKS[check](subject(Good, tmp_path))


def test_every_check_has_a_bad_method():
    assert {name for name, *_ in BAD} == set(CHECKS)


@pytest.mark.parametrize(("check", "bad", "message"), BAD)
def test_a_check_catches_its_bad_method(check, bad, message, tmp_path):
    with pytest.raises((AssertionError, ValueError), match=message):
        CHECKS[check](subject(bad, tmp_path))


def test_a_method_of_another_adapter_is_skipped_with_what_to_name(tmp_path):
    class NeedsBoxes(Good):
        def prepare(self, adapter, source=None):
            raise UnsupportedError(adapter.name, "boxes")

    with pytest.raises(NotApplicable, match="name an adapter that has it"):
        CHECKS["the_model_comes_back"](subject(NeedsBoxes, tmp_path))
