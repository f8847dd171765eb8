"""Faults of plugins in a run: each is an error that names the plugin, the method and the image."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from anydet.adaptation.tta.views import Mirrored, Original
from anydet.errors import ImageError, PluginError
from anydet.plugins.adapter import AdapterNotes
from anydet.plugins.manager import Plugins
from anydet.prediction.choices import TTA, TTT, Choice
from anydet.prediction.export import InterruptedRunError, export_predictions
from anydet.prediction.hooks import TTTDescription, TTTMethod, TTTSettings, ViewSettings
from anydet.prediction.pipeline import Pipeline, RunningTTT
from anydet.prediction.predictor import RunningTTA
from anydet.types import ClassTable


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


def leave(*_arguments):
    raise SystemExit(0)


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
        (
            lambda p: replace(p, size_wh=(7, 9)),
            r"gave size_wh \(7, 9\), where \(8, 6\) is right, on .* '000\.png'",
        ),
        (
            lambda p: replace(p, scores=p.scores * np.nan),
            r"score that is not in \[0, 1\] on image '000\.png': scores\[0\] is nan",
        ),
        (lambda p: replace(p, scores=p.scores + 1), r"score that is not in \[0, 1\] on image '000\.png'"),
        (lambda p: replace(p, scores=-p.scores), r"score that is not in \[0, 1\] on image '000\.png'"),
        (lambda p: replace(p, boxes_xyxy_px=p.boxes_xyxy_px * np.nan), r"a box that is not a number"),
        (
            lambda p: replace(p, class_ids=p.class_ids + 2),
            r"class id out of range \(0 to 1 are known\).*\] is 2",
        ),
        (lambda p: replace(p, class_ids=p.class_ids - 1), r"class id out of range .*\] is -1"),
        (
            lambda p: replace(p, class_ids=p.class_ids[1:]),
            r"gave class_ids of shape \(1,\) for 2 scores on image '000\.png'",
        ),
        (
            lambda p: replace(p, boxes_xyxy_px=p.boxes_xyxy_px[1:]),
            r"boxes_xyxy_px of shape \(1, 4\) for 2 scores",
        ),
        (lambda p: None, r"gave NoneType for '000\.png'"),
        (divide, r"failed in fuse on image '000\.png': ZeroDivisionError: division by zero"),
    ],
)
def test_a_fusion_that_breaks_its_rules_is_named(make_adapter, spots, change, message):
    with pytest.raises(PluginError, match=rf"fusion 'mine' .*{message}[\s\S]*anydet plugins check mine"):
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
    with pytest.raises(PluginError, match=rf"view 'odd' {message}[\s\S]*anydet plugins check odd"):
        flat(Pipeline(make_adapter(), tta=seen_by(give)), spots(3))


def test_an_adapter_that_fails_or_gives_nan_is_named(make_adapter, spots):
    adapter = make_adapter()
    predict = adapter.predict
    adapter.predict = lambda records: [replace(p, scores=p.scores * np.nan) for p in predict(records)]
    with pytest.raises(PluginError, match=r"adapter 'Brightest' gave a score .* '000\.png': .* nan"):
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
    assert adapter.calls == []
    assert list(tmp_path.iterdir()) == []


class Late:
    """Does as it should for so many calls, and then does not."""

    def __init__(self, good, calls, wrong):
        self.good, self.calls, self.wrong = good, calls, wrong

    def __call__(self, *arguments):
        self.calls -= 1
        return self.good(*arguments) if self.calls >= 0 else self.wrong(*arguments)


def report():
    return {"steps": 3}


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"report": Late(report, 1, divide)}, "failed in report: ZeroDivisionError"),
        ({"report": Late(report, 1, lambda: {"loss": np.nan})}, "gave what meta cannot state: report: loss"),
        ({"report": Late(report, 1, lambda: {"model": object()})}, "gave what meta cannot state: report"),
        ({"report": Late(report, 1, lambda: 5)}, "failed in report: TypeError"),
        ({"describe": Late(TTTDescription, 1, divide)}, "failed in describe: ZeroDivisionError"),
    ],
)
def test_a_report_that_breaks_during_the_run_does_not_take_the_predictions_along(
    make_adapter, spots, tmp_path, broken, message
):
    pipeline = Pipeline(make_adapter(), ttt=trained_by(Method(**broken)))
    summary = export_predictions(pipeline, spots(10), tmp_path / "p.json", wrap=True)
    document = json.loads((tmp_path / "p.json").read_text("utf-8"))
    assert len(document["predictions"]) == 10
    assert f"TTT method 'warm' {message}" in document["meta"]["ttt"]["report"]["error"]
    assert list(summary.warnings) == [document["meta"]["ttt"]["report"]["error"]]
    assert [path.name for path in tmp_path.iterdir()] == ["p.json"]


def test_a_model_that_is_not_restored_is_an_error_after_the_predictions_are_written(
    make_adapter, spots, tmp_path
):
    pipeline = Pipeline(make_adapter(), ttt=trained_by(Method(restore=divide)))
    with pytest.raises(
        PluginError, match=r"'warm' failed in restore: Zero.*p\.json is complete all the same"
    ):
        export_predictions(pipeline, spots(10), tmp_path / "p.json")
    assert len(json.loads((tmp_path / "p.json").read_text("utf-8"))) == 10
    assert [path.name for path in tmp_path.iterdir()] == ["p.json"]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("notes", property(divide), "failed in notes: ZeroDivisionError"),
        (
            "notes",
            AdapterNotes(details={"scale": np.nan}),
            "gave what meta cannot state: notes: details.scale",
        ),
        ("notes", None, "gave NoneType as notes, not AdapterNotes"),
        ("classes", property(divide), "failed in classes: ZeroDivisionError"),
        ("classes", ClassTable((object(),)), "gave what meta cannot state: classes"),
    ],
)
def test_what_meta_cannot_state_of_an_adapter_is_found_before_the_first_image(
    make_adapter, spots, tmp_path, monkeypatch, name, value, message
):
    adapter = make_adapter()
    monkeypatch.setattr(type(adapter), name, value)
    with pytest.raises(PluginError, match=f"adapter 'Brightest' {message}"):
        export_predictions(Pipeline(adapter), spots(3), tmp_path / "p.json")
    assert adapter.calls == []
    assert list(tmp_path.iterdir()) == []


def test_images_that_fail_are_counted_and_resumed_runs_count_them_too(make_adapter, spots, tmp_path):
    adapter = make_adapter()
    predict = adapter.predict
    adapter.predict = lambda records: (
        divide() if any(r.key == "002.png" for r in records) else list(predict(records))
    )

    def interrupt(images):
        if images:
            raise KeyboardInterrupt

    pipeline, output = Pipeline(adapter, on_error="skip"), tmp_path / "p.json"
    with pytest.raises(InterruptedRunError, match="after 4 of 10"):
        export_predictions(pipeline, spots(10), output, progress=interrupt)
    summary = export_predictions(pipeline, spots(10), output, resume=True)
    ((image, reason),) = summary.skipped
    assert image == "002.png"
    assert reason == (
        "adapter 'Brightest' failed in predict on image '002.png': ZeroDivisionError: division by zero"
    )
    entry = json.loads(output.read_text("utf-8"))[2]
    assert entry == {
        "image": "002.png",
        "image_size": {"width": 8, "height": 6},
        "detections": [],
        "extra": {"error": reason},
    }


class Silent:
    """A context that keeps errors to itself."""

    def __enter__(self):
        pass

    def __exit__(self, *_):
        return True


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"min_images": property(divide)}, "failed in min_images: ZeroDivisionError"),
        ({"min_images": 2.5}, "gave float as min_images, not an integer"),
        ({"predicting": lambda _: None}, "failed in predicting: "),
        ({"predicting": lambda _: Silent()}, "kept an error to itself in predicting"),
        ({"adapt": lambda *_: leave()}, "failed in adapt: SystemExit: 0"),
    ],
)
def test_a_ttt_method_that_breaks_the_order_of_calls_is_named(make_adapter, spots, broken, message):
    adapter = make_adapter()
    adapter.predict = divide
    method = type("Broken", (Method,), broken)()
    with pytest.raises(PluginError, match=rf"TTT method 'warm' {message}"):
        flat(Pipeline(adapter, ttt=trained_by(method)), spots(3))


def test_an_adapter_that_cannot_be_closed_is_named_unless_something_went_wrong_before(make_adapter):
    adapter = make_adapter()
    adapter.close = divide
    with (
        pytest.raises(PluginError, match="'Brightest' failed in close: Zero"),
        Pipeline(adapter),
    ):
        pass
    with pytest.raises(OSError, match="full"), Pipeline(adapter):
        raise OSError("full")


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
