"""Faults of plugins in a run: each is an error that names the plugin, the method and the image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from anydet.adaptation.tta.views import Mirrored, Original
from anydet.errors import ImageError, PluginError
from anydet.plugins.manager import Plugins
from anydet.prediction.choices import TTA, TTT, Choice
from anydet.prediction.export import InterruptedRunError, export_predictions
from anydet.prediction.hooks import TTTDescription, TTTMethod, TTTSettings, ViewSettings
from anydet.prediction.pipeline import Pipeline, RunningTTA, RunningTTT


class Fusing:
    """A fusion that gives the first result, changed."""

    def __init__(self, change):
        self.change = change

    def fuse(self, results):
        return self.change(results[0].predictions)


class Showing:
    """A view that gives whatever it is made of."""

    def __init__(self, give):
        self.give = give

    def apply(self, record):
        return self.give(record)


class Method(TTTMethod):
    """Trains nothing; methods named in ``broken`` do what is given there instead."""

    def __init__(self, **broken):
        super().__init__(TTTSettings())
        self.restored = False
        for name, function in broken.items():
            setattr(self, name, function)

    def prepare(self, adapter, source=None):
        pass

    def adapt(self, records):
        pass

    def restore(self):
        self.restored = True

    def describe(self):
        return TTTDescription()


def divide(*_arguments):
    return 1 / 0


def fused_by(change):
    views = (Original(ViewSettings()), Mirrored(ViewSettings()))
    return RunningTTA(TTA((Choice("original"), Choice("hflip")), Choice("mine")), views, Fusing(change))


def seen_by(give):
    return RunningTTA(TTA((Choice("odd"),)), (Showing(give),), Fusing(lambda first: first))


def trained_by(method):
    return RunningTTT(TTT("warm"), method)


def flat(pipeline, records):
    return [found for chunk in pipeline.run(records) for found in chunk]


def test_a_fusion_that_keeps_the_contract_passes(make_adapter, spots):
    assert len(flat(Pipeline(make_adapter(), tta=fused_by(lambda first: first)), spots(3))) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: replace(p, image="other.png"), r"gave a result of 'other\.png' for '000\.png'"),
        (lambda p: replace(p, size_wh=(7, 9)), r"gave size_wh \(7, 9\) for '000\.png', which has \(8, 6\)"),
        (
            lambda p: replace(p, scores=p.scores * np.nan),
            r"score that is not in \[0, 1\] on image '000\.png': nan",
        ),
        (lambda p: replace(p, scores=p.scores + 1), r"score that is not in \[0, 1\] on image '000\.png'"),
        (lambda p: replace(p, scores=-p.scores), r"score that is not in \[0, 1\] on image '000\.png'"),
        (lambda p: replace(p, boxes_xyxy_px=p.boxes_xyxy_px * np.nan), r"a box that is not a number"),
        (lambda p: replace(p, class_ids=p.class_ids + 2), r"class id out of range \(0 to 1 are known\).*: 2"),
        (lambda p: replace(p, class_ids=p.class_ids - 1), r"class id out of range .*: -1"),
        (
            lambda p: replace(p, class_ids=p.class_ids[1:]),
            r"gave 1 class_ids for 2 scores on image '000\.png'",
        ),
        (lambda p: replace(p, boxes_xyxy_px=p.boxes_xyxy_px[1:]), r"boxes of shape \(1, 4\) for 2 scores"),
        (lambda p: None, r"gave NoneType for '000\.png'"),
        (divide, r"failed in fuse on image '000\.png': ZeroDivisionError: division by zero"),
    ],
)
def test_a_fusion_that_breaks_its_rules_is_named(make_adapter, spots, change, message):
    with pytest.raises(PluginError, match=rf"fusion 'mine' .*{message}[\s\S]*anydet adaptation check mine"):
        flat(Pipeline(make_adapter(), tta=fused_by(change)), spots(3))


@pytest.mark.parametrize(
    ("give", "message"),
    [
        (divide, r"failed in apply on image '000\.png': ZeroDivisionError"),
        (lambda record: None, r"failed in apply on image '000\.png': TypeError"),
        (lambda record: record, r"failed in apply on image '000\.png': TypeError"),
        (lambda record: ["a"], r"gave str for '000\.png', not a Record"),
    ],
)
def test_a_view_that_fails_is_named(make_adapter, spots, give, message):
    with pytest.raises(PluginError, match=rf"view 'odd' {message}[\s\S]*anydet adaptation check odd"):
        flat(Pipeline(make_adapter(), tta=seen_by(give)), spots(3))


def test_an_adapter_that_fails_or_gives_nan_is_named(make_adapter, spots):
    adapter = make_adapter()
    predict = adapter.predict
    adapter.predict = lambda records: [replace(p, scores=p.scores * np.nan) for p in predict(records)]
    with pytest.raises(PluginError, match=r"adapter 'Brightest' gave a score .* '000\.png': nan"):
        flat(Pipeline(adapter), spots(3))
    adapter.predict = divide
    with pytest.raises(
        PluginError, match=r"failed in predict: ZeroDivisionError[\s\S]*adapters check Brightest"
    ):
        flat(Pipeline(adapter), spots(3))


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"prepare": divide}, "failed in prepare: ZeroDivisionError"),
        ({"adapt": divide}, "failed in adapt: ZeroDivisionError"),
        ({"restore": divide}, "failed in restore: ZeroDivisionError"),
        ({"report": divide}, "failed in report: ZeroDivisionError"),
        ({"describe": dict}, "gave dict in describe, not a TTTDescription"),
        ({"report": lambda: {"model": object()}}, "gave what meta cannot state: report: "),
    ],
)
def test_a_ttt_method_that_fails_is_named_before_the_first_image(
    make_adapter, spots, tmp_path, broken, message
):
    adapter = make_adapter()
    with pytest.raises(PluginError, match=rf"TTT method 'warm' {message}"):
        export_predictions(Pipeline(adapter, ttt=trained_by(Method(**broken))), spots(3), tmp_path / "p.json")
    assert adapter.calls == [] or "restore" in broken
    assert list(tmp_path.iterdir()) == []


def test_errors_of_anydet_pass_and_strict_plugins_raise_what_was_raised(make_adapter, spots):
    with pytest.raises(ImageError, match="seen"):
        flat(
            Pipeline(make_adapter(), tta=seen_by(lambda _: (_ for _ in ()).throw(ImageError("seen")))),
            spots(1),
        )
    strict = Plugins((), strict=True)
    with pytest.raises(ZeroDivisionError):
        flat(Pipeline(make_adapter(), tta=seen_by(divide), plugins=strict), spots(1))


def test_a_run_that_predicted_nothing_or_trained_leaves_nothing_behind(make_adapter, spots, tmp_path):
    with pytest.raises(ImageError):
        export_predictions(Pipeline(make_adapter()), spots(10, frozenset({1})), tmp_path / "p.json")
    assert list(tmp_path.iterdir()) == []
    late = spots(10, frozenset({7}))
    with pytest.raises(ImageError):
        export_predictions(Pipeline(make_adapter(), ttt=trained_by(Method())), late, tmp_path / "p.json")
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_of_a_run_with_training_does_not_advise_to_resume(make_adapter, spots, tmp_path):
    def interrupt(_images):
        if _images:
            raise KeyboardInterrupt

    pipeline = Pipeline(make_adapter(), ttt=trained_by(Method()))
    with pytest.raises(InterruptedRunError, match=r"nothing of the run is kept$"):
        export_predictions(pipeline, spots(10), tmp_path / "p.json", progress=interrupt)
    assert list(tmp_path.iterdir()) == []
