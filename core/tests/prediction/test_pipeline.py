from __future__ import annotations

import tracemalloc
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from anydet.adaptation.tta.fusions import NonMaximumSuppression
from anydet.adaptation.tta.views import Mirrored, Original, RandomlyMirrored
from anydet.contract.encode import encode_entry
from anydet.data.record.pixels import ImageFile
from anydet.data.record.record import Record
from anydet.data.record.transforms import Crop, Resize
from anydet.errors import ImageError, PluginError
from anydet.plugins.adapter import Adapter
from anydet.plugins.hookspecs import hookimpl
from anydet.plugins.manager import Plugins
from anydet.prediction.choices import TTA, TTT, Choice, read_tta
from anydet.prediction.hooks import FusionSettings, TTTDescription, TTTMethod, TTTSettings, ViewSettings
from anydet.prediction.pipeline import Limits, Pipeline, RunningTTT
from anydet.prediction.predictor import RunningTTA
from anydet.testing.comparison import same_columns
from anydet.types import AdapterSettings, ImagePredictions


def flat(pipeline, records):
    return [p for chunk in pipeline.run(records) for p in chunk]


def seen_by(*views, fusion=None, weights=()):
    """Test-time augmentation with these views, fused by NMS."""
    nms = NonMaximumSuppression(FusionSettings({"iou_threshold": 0.6}))
    choices = TTA(tuple(Choice(type(view).__name__) for view in views), weights=weights)
    return RunningTTA(choices, views, fusion or nms)


def trained_by(method):
    return RunningTTT(TTT("biased"), method)


def same(left, right):
    return (
        [p.image for p in left] == [p.image for p in right]
        and all(np.array_equal(a.boxes_xyxy_px, b.boxes_xyxy_px) for a, b in zip(left, right, strict=True))
        and all(np.array_equal(a.scores, b.scores) for a, b in zip(left, right, strict=True))
    )


@pytest.mark.parametrize("batch_size", [1, 3, 10, 64])
def test_chunk_boundaries_change_no_result(make_adapter, spots, batch_size):
    one = flat(Pipeline(make_adapter(1)), spots(10))
    many = flat(Pipeline(make_adapter(batch_size)), spots(10))
    assert same(one, many)
    assert [p.image for p in one] == list(spots(10).keys)


def test_the_adapter_may_leave_out_what_is_cut_but_not_what_is_fused(make_adapter, spots):
    adapter, wanted = make_adapter(4), []

    @contextmanager
    def keeping_best(most):
        wanted.append(most)
        yield

    adapter.keeping_best = keeping_best
    flat(Pipeline(adapter, Limits(max_detections=7)), spots(5))
    assert wanted == [7, 7]
    wanted.clear()
    flat(Pipeline(adapter, Limits(max_detections=7), tta=seen_by(Original(ViewSettings()))), spots(5))
    assert wanted == [None, None]


def test_the_adapter_sees_chunks_of_its_batch_size(make_adapter, spots):
    adapter = make_adapter(4)
    flat(Pipeline(adapter), spots(10))
    assert [len(c) for c in adapter.calls] == [4, 4, 2]


def test_detections_below_the_threshold_go_and_the_best_stay_in_order(make_adapter, spots):
    (result,) = flat(Pipeline(make_adapter(), Limits(score_threshold=0.9)), [spots(1)[0]])
    assert result.scores.tolist() == [1.0]
    (cut,) = flat(Pipeline(make_adapter(), Limits(max_detections=1)), [spots(1)[0]])
    assert cut.scores.tolist() == [1.0]
    (both,) = flat(Pipeline(make_adapter()), [spots(1)[0]])
    assert both.scores.tolist() == sorted(both.scores.tolist(), reverse=True)
    assert len(both) == 2


def test_clipping_moves_boxes_into_the_image_and_drops_what_is_outside():
    boxes = np.array([[-5.0, -5, 3, 3], [20, 20, 30, 30], [1, 1, 1, 4]])
    found = ImagePredictions("a", (10, 8), boxes, np.array([0.5, 0.6, 0.7]), np.zeros(3, np.int64))
    assert Limits().apply(found).boxes_xyxy_px.tolist() == [[0, 0, 3, 3]]
    assert len(Limits(clip=False).apply(found)) == 3


def test_a_box_with_infinite_edges_is_clipped_as_any_other(make_adapter, spots):
    adapter = make_adapter()
    predict = adapter.predict
    far = np.array([-np.inf, -np.inf, np.inf, np.inf])
    adapter.predict = lambda records: [
        replace(p, boxes_xyxy_px=np.tile(far, (len(p), 1))) for p in predict(records)
    ]
    (found,) = flat(Pipeline(adapter), spots(1))
    assert found.boxes_xyxy_px.tolist() == [[0, 0, 8, 6]] * len(found)


def test_an_undecodable_image_stops_the_run_with_its_name(make_adapter, spots):
    with pytest.raises(ImageError, match=r"nowhere/005\.png"):
        flat(Pipeline(make_adapter()), spots(10, frozenset({5})))


def test_skipped_images_say_why_and_the_rest_is_unchanged(make_adapter, spots):
    whole = flat(Pipeline(make_adapter()), spots(10))
    got = flat(Pipeline(make_adapter(), on_error="skip"), spots(10, frozenset({0, 5})))
    assert [p.image for p in got] == [p.image for p in whole]
    assert "005.png" in got[5].extra["error"]
    assert len(got[5]) == 0
    kept = [i for i in range(10) if i not in {0, 5}]
    assert same([got[i] for i in kept], [whole[i] for i in kept])


class Keys(Adapter):
    """One box of the whole image, whatever it shows."""

    needs_pixels = False

    def predict(self, records):
        for record in records:
            box = np.array([[0.0, 0.0, *record.size_wh]])
            yield ImagePredictions(record.key, record.size_wh, box, np.ones(1), np.zeros(1, np.int64))


def test_an_adapter_that_needs_no_pixels_opens_no_image_of_stated_size(spots):
    broken = [replace(record, stated_wh=(8, 6)) for record in spots(6, frozenset({0, 5}))]
    found = flat(Pipeline(Keys(AdapterSettings(batch_size=4))), broken)
    assert [p.boxes_xyxy_px.tolist() for p in found] == [[[0, 0, 8, 6]]] * 6


def test_an_adapter_that_needs_no_pixels_decodes_nothing_to_learn_a_size(tmp_path):
    class Header(ImageFile):
        def read(self):
            raise AssertionError("decoded")

    Image.new("RGB", (9, 7)).save(tmp_path / "a.png")
    (found,) = flat(Pipeline(Keys(AdapterSettings())), [Record("a.png", Header(tmp_path / "a.png"))])
    assert found.size_wh == (9, 7)


def test_an_image_without_a_size_stops_the_run_or_is_skipped_where_no_pixels_are_needed(spots):
    records = spots(3, frozenset({1}))
    with pytest.raises(ImageError, match=r"nowhere/001\.png"):
        flat(Pipeline(Keys(AdapterSettings())), records)
    found = flat(Pipeline(Keys(AdapterSettings()), on_error="skip"), records)
    assert [len(p) for p in found] == [1, 0, 1]
    assert "001.png" in found[1].extra["error"]


def test_an_adapter_that_loses_a_record_is_named(make_adapter, spots):
    adapter = make_adapter()
    predict = adapter.predict
    adapter.predict = lambda records: list(predict(records))[1:]
    with pytest.raises(PluginError, match=r"'Brightest' gave results for .* \(3\) where .* \(4\)"):
        flat(Pipeline(adapter), spots(4))


def test_a_mirrored_view_comes_back_in_the_original_frame(make_adapter, spots):
    plain = flat(Pipeline(make_adapter()), spots(10))
    mirrored = flat(Pipeline(make_adapter(), tta=seen_by(Mirrored(ViewSettings()))), spots(10))
    assert same(plain, mirrored)


def test_views_are_fused_and_agreeing_boxes_are_counted_once(make_adapter, spots):
    plain = flat(Pipeline(make_adapter()), spots(10))
    views = (Original(ViewSettings()), Mirrored(ViewSettings()))
    fused = flat(Pipeline(make_adapter(), tta=seen_by(*views)), spots(10))
    assert same(plain, fused)


def test_a_view_that_leaves_an_image_alone_costs_no_second_prediction(make_adapter, spots):
    adapter = make_adapter(10)
    view = RandomlyMirrored(ViewSettings({"flip_prob": 0.5}, seed=3))
    fused = flat(Pipeline(adapter, tta=seen_by(Original(ViewSettings()), view)), spots(10))
    assert same(fused, flat(Pipeline(make_adapter()), spots(10)))
    mirrored = sum(bool(view.apply(record)[0].transforms) for record in spots(10))
    assert 0 < mirrored < 10
    assert [len(call) for call in adapter.calls] == [10, mirrored]


class Tiles:
    """Left and right half, with two columns in common, and the whole image at half its size."""

    def apply(self, record):
        width, height = record.size_wh
        half = (width // 2 + 1, height)
        return (
            record.derive(Crop(0, 0, half)),
            record.derive(Crop(width - half[0], 0, half)),
            record.derive(Resize((width // 2, height // 2))),
        )


def test_all_views_of_a_chunk_are_predicted_in_full_batches(make_adapter, spots):
    adapter = make_adapter(4)
    flat(Pipeline(adapter, tta=seen_by(Original(ViewSettings()), Tiles())), spots(6))
    assert [len(call) for call in adapter.calls] == [4, 4, 4, 4, 4, 4]
    assert [key for call in adapter.calls for key in call] == [key for key in spots(6).keys for _ in range(4)]


def test_results_on_tiles_come_back_to_the_image_that_the_data_set_gives(make_adapter, spots):
    """The data set's records are derived ones already: its own crop stays, the view's is undone."""

    class Cropped(spots):
        def __getitem__(self, index):
            return super().__getitem__(index).derive(Crop(1, 0, (7, 6)))

    plain = flat(Pipeline(make_adapter(), Limits(score_threshold=0.9)), Cropped(9))
    tiled = Pipeline(make_adapter(), Limits(score_threshold=0.9), tta=seen_by(Tiles()))
    assert same(plain, flat(tiled, Cropped(9)))
    assert {p.size_wh for p in plain} == {(7, 6)}


class Foreign:
    """A view with an image of its own."""

    def apply(self, record):
        return (Record("other.png", record.pixels),)


class Nothing:
    def apply(self, record):
        return ()


@pytest.mark.parametrize(
    ("view", "message"),
    [
        (
            Foreign(),
            r"view 'Foreign' gave a record with key 'other\.png' that was not derived from '000\.png'",
        ),
        (Nothing(), r"no view gave a record of image '000\.png' \(views: Nothing\)"),
    ],
)
def test_a_view_that_breaks_its_rules_is_named(make_adapter, spots, view, message):
    with pytest.raises(PluginError, match=message):
        flat(Pipeline(make_adapter(), tta=seen_by(view)), spots(1))


class Recorded:
    """A fusion that keeps what it gets and gives the first result."""

    def __init__(self):
        self.got = []

    def fuse(self, results):
        self.got.append(results)
        return results[0].predictions


def test_a_fusion_gets_the_weight_and_the_window_of_each_result(make_adapter, spots):
    fusion = Recorded()
    views = (Original(ViewSettings()), Tiles())
    flat(Pipeline(make_adapter(), tta=seen_by(*views, fusion=fusion, weights=(2.0, 0.5))), spots(2))
    assert [[r.weight for r in results] for results in fusion.got] == [[2.0, 0.5, 0.5, 0.5]] * 2
    windows = [(0, 0, 8, 6), (0, 0, 5, 6), (3, 0, 8, 6), (0, 0, 8, 6)]
    assert [r.window_xyxy_px for r in fusion.got[0]] == windows
    assert {r.predictions.size_wh for r in fusion.got[0]} == {(8, 6)}


def test_a_single_result_is_never_fused_and_stays_as_it_is(make_adapter, spots):
    fusion = Recorded()
    plain = flat(Pipeline(make_adapter()), spots(5))
    for views in ((Original(ViewSettings()),), (Original(ViewSettings()), Original(ViewSettings()))):
        assert same(plain, flat(Pipeline(make_adapter(), tta=seen_by(*views, fusion=fusion)), spots(5)))
    assert not fusion.got


@pytest.mark.parametrize(
    "views", ["original", "scale:1", "slice:64", "original,scale:1", "slice:64,original"]
)
@pytest.mark.parametrize("fusion", ["wbf", "nms", "nmw", "soft-nms"])
def test_views_that_show_the_image_alone_change_no_bit(make_adapter, spots, views, fusion):
    plugins = Plugins([])
    tta = read_tta(views, plugins, fusion=fusion)
    built = tuple(plugins.build("views", v.name, ViewSettings(v.options, tta.seed)) for v in tta.views)
    running = RunningTTA(tta, built, plugins.build("fusions", fusion, FusionSettings(tta.fusion.options)))
    plain, viewed = (
        flat(Pipeline(make_adapter()), spots(7)),
        flat(Pipeline(make_adapter(), tta=running), spots(7)),
    )
    assert list(map(encode_entry, plain)) == list(map(encode_entry, viewed))
    assert all(same_columns(a, b) for a, b in zip(plain, viewed, strict=True))


def test_random_flips_depend_on_seed_and_key_alone(spots):
    def flipped(seed, records):
        view = RandomlyMirrored(ViewSettings({"flip_prob": 0.5}, seed=seed))
        return [bool(view.apply(r)[0].transforms) for r in records]

    records = list(spots(32))
    assert flipped(0, records) == flipped(0, records)
    assert flipped(0, records[10:]) == flipped(0, records)[10:]
    assert flipped(0, records) != flipped(1, records)


class Biased(TTTMethod):
    """Test-time training stand-in with a model to change: the adapter's bias."""

    def __init__(self, batch_size=None):
        super().__init__(TTTSettings(batch_size=batch_size))
        self.log = []

    def prepare(self, adapter, source=None):
        self.adapter, self.before, self.source = adapter, adapter.bias, source
        self.log.append("prepare")

    def adapt(self, records):
        self.adapter.bias = -0.5
        self.log.append(len(records))

    @contextmanager
    def predicting(self):
        self.log.append("predicting")
        yield
        self.log.append("predicted")

    def restore(self):
        self.adapter.bias = self.before
        self.log.append("restore")

    def describe(self):
        return TTTDescription()


def test_a_ttt_method_changes_the_model_before_it_predicts_and_restores_it(make_adapter, spots):
    adapter, method = make_adapter(), Biased()
    changed = flat(Pipeline(adapter, ttt=trained_by(method)), spots(6))
    assert max(p.scores.max() for p in changed) <= 0.5
    chunk = ["predicting", "predicted"]
    assert method.log == ["prepare", 4, *chunk, 2, *chunk, "restore"]
    assert adapter.bias == 0.0


def test_a_chunk_grows_to_what_the_method_wants_and_batches_stay(make_adapter, spots):
    adapter, method = make_adapter(4), Biased(batch_size=10)
    flat(Pipeline(adapter, ttt=trained_by(method)), spots(23))
    assert [step for step in method.log if isinstance(step, int)] == [10, 10, 3]
    assert [len(call) for call in adapter.calls] == [4, 4, 2, 4, 4, 2, 3]


def test_a_method_that_wants_few_images_gets_the_batches_of_the_adapter(make_adapter, spots):
    method = Biased(batch_size=1)
    flat(Pipeline(make_adapter(4), ttt=trained_by(method)), spots(5))
    assert [step for step in method.log if isinstance(step, int)] == [4, 1]


def test_a_method_gets_the_source_data_set(make_adapter, spots):
    method, source = Biased(), spots(2)
    flat(Pipeline(make_adapter(), ttt=RunningTTT(TTT("biased"), method, source)), spots(1))
    assert method.source is source


def test_the_model_is_restored_after_an_error_too(make_adapter, spots):
    adapter, method = make_adapter(), Biased()
    with pytest.raises(ImageError):
        flat(Pipeline(adapter, ttt=trained_by(method)), spots(10, frozenset({7})))
    assert method.log[-1] == "restore"
    assert adapter.bias == 0.0


class Listener:
    def __init__(self):
        self.events = []

    @hookimpl
    def before_predict(self, adapter, records, context):
        self.events.append(("before", len(records), context.first))

    @hookimpl
    def after_predict(self, predictions, context):
        self.events.append(("after", len(predictions), context.first))


def observed_by(observer):
    plugins = Plugins([])
    plugins.manager.register(observer)
    return plugins


def test_events_fire_once_a_chunk(make_adapter, spots):
    listener = Listener()
    flat(Pipeline(make_adapter(), plugins=observed_by(listener)), spots(6))
    assert listener.events == [("before", 4, 0), ("after", 4, 0), ("before", 2, 4), ("after", 2, 4)]


@pytest.mark.parametrize("wrong", [ZeroDivisionError("mean of nothing"), SystemExit(0), ImageError("none")])
def test_an_observer_that_fails_is_an_error_that_names_it_and_how_to_leave_it_out(make_adapter, spots, wrong):
    class Broken(Listener):
        @hookimpl
        def after_predict(self, predictions, context):
            raise wrong

    plugins = observed_by(Listener())
    plugins.manager.register(Broken(), name="broken")
    with pytest.raises(
        PluginError, match=r"plugin 'broken' failed in its after_predict hook: .*\n.*ANYDET_PLUGINS"
    ):
        flat(Pipeline(make_adapter(), plugins=plugins), spots(1))


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_images(make_adapter, spots):
    def peak(count):
        adapter = make_adapter()
        adapter.predict = lambda records: (ImagePredictions.empty(r.key, r.size_wh) for r in records)
        tracemalloc.start()
        for _ in Pipeline(adapter).run(iter(spots(count))):
            pass
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    peak(50)
    assert peak(2000) < 1.5 * peak(200) + 50_000
