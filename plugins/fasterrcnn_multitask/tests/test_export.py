"""An exported model, run by ONNX Runtime with no options, predicts what the adapter predicts."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("torchvision")
pytest.importorskip("anydet_onnxruntime", reason="the exported file is run with the onnxruntime adapter")
pytest.importorskip("onnx")
pytestmark = pytest.mark.slow

from torchvision.models.detection.image_list import ImageList
from torchvision.ops import nms

from anydet.export.onnx_export import OnnxSettings, export_onnx
from anydet.plugins.manager import Plugins
from anydet.runtime.errors import ModelError
from anydet.testing.comparison import Tolerance, first_difference
from anydet.training.onnx_file import write_onnx
from anydet_delftbikes.scenes.dataset import SyntheticBikes
from anydet_fasterrcnn_multitask.all_rows import suppress
from anydet_fasterrcnn_multitask.export import FORMS
from anydet_fasterrcnn_multitask.rows import ABSENT

PLUGINS = Plugins(only=["onnxruntime", "openvino", "opencv_dnn", "fasterrcnn_multitask"])


def spec_of(trained, **settings):
    found = PLUGINS.settings("fasterrcnn_multitask", checkpoint=trained.result.checkpoint, **settings)
    return PLUGINS.adapter("fasterrcnn_multitask", found).export_spec()


@pytest.fixture(scope="module", params=FORMS)
def form(request):
    """Value of the option ``export_rows``."""
    return request.param


@pytest.fixture(scope="module")
def spec(trained, form):
    return spec_of(trained, options=[f"export_rows={form}"])


@pytest.fixture(scope="module")
def exported(trained, spec, tmp_path_factory):
    """A model's adapter, and the adapter of a runtime of its file, for a lowest score."""
    path = tmp_path_factory.mktemp("exported") / "model.onnx"
    write_onnx(spec, path)

    def make(score_floor, batch_size=1, runtime="onnxruntime"):
        files = {"fasterrcnn_multitask": trained.result.checkpoint, runtime: path}
        given = {"score_floor": score_floor, "batch_size": batch_size}
        return [
            PLUGINS.adapter(name, PLUGINS.settings(name, checkpoint=str(file), **given))
            for name, file in files.items()
        ]

    return make


@pytest.mark.parametrize(
    ("size_wh", "batch_size"), [((96, 72), 1), ((70, 90), 3), ((128, 64), 1), ((160, 120), 3)]
)
def test_the_file_gives_boxes_and_states_as_the_adapter_does(size_wh, batch_size, exported):
    adapter, runtime = exported(0.0, batch_size)
    assert runtime.classes == adapter.classes
    assert runtime.notes.states == adapter.notes.states
    records = list(SyntheticBikes(3, 0, size_wh))
    ours, theirs = list(adapter.predict(records)), list(runtime.predict(records))
    assert sum(map(len, ours)) > 20
    assert not first_difference(ours, theirs, Tolerance(box_px=0.05, score=1e-4))
    assert all(np.array_equal(np.unique(r.states >= 0), [True]) for r in ours)


def test_rows_behind_the_last_detection_are_none(exported):
    adapter, _ = exported(0.0)
    records = list(SyntheticBikes(1, 0, (96, 72)))
    (everything,) = adapter.predict(records)
    floor = float(np.sort(everything.scores)[-4])
    high, runtime = exported(floor)
    (ours,), (theirs,) = high.predict(records), runtime.predict(records)
    assert 0 < len(ours) < 100
    assert not first_difference([ours], [theirs], Tolerance(box_px=0.05, score=1e-4), floor=floor)


def test_a_floor_of_the_export_leaves_rows_of_padding(trained, form, tmp_path):
    write_onnx(spec_of(trained, score_floor=0.999, options=[f"export_rows={form}"]), tmp_path / "model.onnx")
    empty = PLUGINS.settings("onnxruntime", checkpoint=str(tmp_path / "model.onnx"))
    (result,) = PLUGINS.adapter("onnxruntime", empty).predict(list(SyntheticBikes(1, 0, (96, 72))))
    assert len(result) == 0


def places(boxes, labels):
    """An order of rows by what they are, whatever their order was."""
    return torch.argsort(boxes @ torch.tensor([1.0, 1.37, 2.11, 3.71]) + 5000.0 * labels)


@pytest.mark.parametrize("size_hw", [(64, 96), (50, 81), (128, 40)])
def test_rows_are_those_of_torchvisions_lists(spec, size_hw):
    module, model = spec.module, spec.module.model
    height, width = size_hw
    images = torch.randn(3, 3, height, width, generator=torch.Generator().manual_seed(1))
    padded = torch.nn.functional.pad(images, (0, -width % 32, 0, -height % 32))
    heads = model.roi_heads
    heads.score_thresh, heads.detections_per_img = module.score_floor, module.rows
    with torch.no_grad():
        boxes, scores, labels, states = module(images)
        listed = model.detect(ImageList(padded, [size_hw] * 3))
    for image, found in enumerate(listed):
        count = len(found["scores"])
        assert count > 0
        assert (labels[image, count:] == -1).all()
        # Equal scores stand in another order where a processor sums in another.
        ours_at = places(boxes[image, :count], labels[image, :count])
        theirs_at = places(found["boxes"], found["labels"] - 1)
        assert torch.equal(labels[image, ours_at], found["labels"][theirs_at] - 1)
        for ours, name in ((boxes, "boxes"), (scores, "scores"), (states, "state_scores")):
            torch.testing.assert_close(ours[image, ours_at], found[name][theirs_at], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("fp16", [False, True])
def test_the_file_takes_any_number_of_images(trained, form, tmp_path, fp16):
    settings = PLUGINS.settings(
        "fasterrcnn_multitask",
        checkpoint=trained.result.checkpoint,
        score_floor=0.05,
        options=[f"export_rows={form}"],
    )
    with PLUGINS.adapter("fasterrcnn_multitask", settings) as adapter:
        how = OnnxSettings(dynamic_batch=True, fp16=fp16)
        written = export_onnx(adapter, tmp_path / "model.onnx", how, plugins=PLUGINS)
    assert [t.shape for t in written.inputs] == [("batch", 3, "height", "width")]
    assert [t.shape[:2] for t in written.outputs] == [("batch", 100)] * 4
    assert [case.name for case in written.parity.cases] == [
        "1 image of noise",
        "3 images of noise",
        "noise of 315x263",
    ]
    assert fp16 or written.parity.passed, written.parity.findings()
    assert written.parity.cases[1].rows.reference > 3


@pytest.mark.parametrize("form", ["found"], indirect=True)
def test_opencv_refuses_the_file_of_found_rows(exported):
    # It would run it with a score threshold of 0, and find other things in it.
    pytest.importorskip("anydet_opencv_dnn")
    with pytest.raises(ModelError, match="score_threshold"):
        exported(0.0, runtime="opencv_dnn")


@pytest.mark.parametrize("form", ["all"], indirect=True)
class TestAllRows:
    @pytest.mark.parametrize("runtime", ["opencv_dnn", "openvino"])
    def test_other_runtimes_find_the_same(self, runtime, exported):
        pytest.importorskip(f"anydet_{runtime}")
        adapter, other = exported(0.0, runtime=runtime)
        # The second has no detection in rows that the first has some in, if it keeps what it computed.
        records = [*SyntheticBikes(2, 0, (96, 72)), *SyntheticBikes(1, 3, (70, 90))]
        ours, theirs = list(adapter.predict(records)), list(other.predict(records))
        assert sum(map(len, ours)) > 20
        assert not first_difference(ours, theirs, Tolerance(box_px=0.05, score=1e-4))

    def test_no_operator_gives_a_shape_that_depends_on_the_image(self, exported):
        import onnx

        _, runtime = exported(0.0)
        graph = onnx.load(runtime.settings.checkpoint).graph
        bodies = [a.g for node in graph.node for a in node.attribute if a.type == onnx.AttributeProto.GRAPH]
        used = {node.op_type for part in (graph, *bodies) for node in part.node}
        assert not used & {"NonZero", "NonMaxSuppression", "Unique", "Compress", "RoiAlign"}

    def test_tensorrt_rtx_builds_an_engine_of_one_size(self, exported, tmp_path):
        pytest.importorskip("tensorrt_rtx", reason="builds without a GPU")
        building = pytest.importorskip("anydet_tensorrt.building")
        import onnx

        _, runtime = exported(0.0)
        model = onnx.load(runtime.settings.checkpoint)
        # Of open sizes TensorRT-RTX 1.7 builds none: its compiler fails at a Resize of the pyramid.
        for axis, size in zip(model.graph.input[0].type.tensor_type.shape.dim, (1, 3, 96, 128), strict=True):
            axis.dim_value = size
        onnx.save(model, tmp_path / "m.onnx")
        how = building.BuildSettings(library="tensorrt-rtx")
        built = building.build_engine(tmp_path / "m.onnx", tmp_path / "m.engine", how)
        assert [tensor.name for tensor in built.metadata.outputs][-1] == "state_scores"


class TestSuppression:
    def test_it_is_greedy_suppression(self):
        generator = torch.Generator().manual_seed(0)
        corners = torch.rand(4, 300, 2, generator=generator) * 60
        boxes = torch.cat([corners, corners + 5 + torch.rand(4, 300, 2, generator=generator) * 30], 2)
        scores = torch.rand(4, 300, generator=generator).sort(1, descending=True).values
        scores[:, 250:] = ABSENT
        kept = suppress(boxes, scores, 0.3)
        for group in range(4):
            expected = nms(boxes[group, :250], scores[group, :250], 0.3)
            assert torch.equal((kept[group] > ABSENT).nonzero()[:, 0], expected.sort().values)

    def test_a_chain_of_boxes_each_covered_by_the_one_before_is_followed_to_its_end(self):
        x = torch.arange(200.0)
        boxes = torch.stack([x, 0 * x, x + 4, 0 * x + 10], 1)[None]
        kept = suppress(boxes, torch.linspace(1, 0.1, 200)[None], 0.5)
        assert torch.equal((kept[0] > ABSENT).nonzero()[:, 0], torch.arange(0, 200, 2))

    def test_boxes_of_other_groups_stay(self):
        boxes = torch.tensor([[0.0, 0, 10, 10]]).expand(1, 4, 4)
        kept = suppress(boxes, torch.tensor([[0.9, 0.8, 0.7, 0.6]]), 0.5, torch.tensor([[0, 1, 0, 1]]))
        assert (kept[0] > ABSENT).tolist() == [True, True, False, False]


def test_regions_of_both_forms_are_the_same_at_all_places(spec):
    model = spec.module.model
    images = torch.randn(2, 3, 96, 128, generator=torch.Generator().manual_seed(2))
    corner = torch.tensor([[127.9, 3, 128, 9], [120, 95.5, 128, 96], [0, 0, 128, 96], [0, 0, 0.3, 0.2]])
    some = torch.rand(2, 60, 4, generator=torch.Generator().manual_seed(3)) * 48
    boxes = torch.cat([some[..., :2], some[..., :2] + some[..., 2:] + 0.1], 2)
    boxes = torch.cat([boxes, corner.expand(2, -1, -1)], 1)
    there = torch.ones(boxes.shape[:2], dtype=torch.bool)
    there[0, 5] = there[1, 7] = False
    with torch.no_grad():
        features = model.pyramid(images)
        found, all_ = (form().rows(there) for form in FORMS.values())
        expected, ours = (rows.features(model, features, boxes) for rows in (found, all_))
    torch.testing.assert_close(ours[there.flatten()], expected, rtol=1e-4, atol=1e-4)
