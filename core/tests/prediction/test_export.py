from __future__ import annotations

import json
import sys
from contextlib import closing
from types import SimpleNamespace
from typing import ClassVar

import pytest

from anydet.contract.schema import validator
from anydet.errors import ImageError, OptionError
from anydet.plugins.adapter import AdapterNotes
from anydet.prediction.choices import TTA, TTT, Choice
from anydet.prediction.export import InterruptedRunError, export_predictions
from anydet.prediction.hooks import TTTSettings
from anydet.prediction.meta import identity
from anydet.prediction.pipeline import Limits, Pipeline
from anydet.prediction.recipe import Recipe


def test_the_file_holds_one_entry_an_image_in_order(make_adapter, spots, tmp_path):
    summary = export_predictions(Pipeline(make_adapter()), spots(10), tmp_path / "p.json")
    entries = json.loads((tmp_path / "p.json").read_text("utf-8"))
    assert [e["image"] for e in entries] == list(spots(10).keys)
    assert summary.images == 10
    assert summary.detections == sum(len(e["detections"]) for e in entries) == 20


def test_every_shape_holds_the_same_entries(make_adapter, spots, tmp_path):
    for name, wrap in (("list.json", False), ("wrapped.json", True), ("lines.jsonl", False)):
        export_predictions(Pipeline(make_adapter()), spots(6), tmp_path / name, wrap=wrap)
    plain = json.loads((tmp_path / "list.json").read_text("utf-8"))
    assert json.loads((tmp_path / "wrapped.json").read_text("utf-8"))["predictions"] == plain
    first, *entries, last = (tmp_path / "lines.jsonl").read_text("utf-8").splitlines()
    assert json.loads(first) == {"schema_version": 1}
    assert [json.loads(e) for e in entries] == plain
    assert json.loads(last)["meta"]["images"] == 6


def test_what_is_written_is_valid_by_the_schema(make_adapter, spots, tmp_path):
    export_predictions(Pipeline(make_adapter()), spots(6), tmp_path / "p.json", wrap=True)
    document = json.loads((tmp_path / "p.json").read_text("utf-8"))
    assert [e.message for e in validator().iter_errors(document)] == []
    assert document["meta"]["classes"] == ["spot", "other"]
    assert document["meta"]["export_settings"]["score_threshold"] == 0.001


def test_meta_says_which_torch_was_in_use_whatever_type_its_version_has(
    make_adapter, spots, tmp_path, monkeypatch
):
    class TorchVersion(str):
        """As torch has it."""

    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(__version__=TorchVersion("2.15.0")))
    export_predictions(Pipeline(make_adapter()), spots(1), tmp_path / "p.json", wrap=True)
    assert json.loads((tmp_path / "p.json").read_text("utf-8"))["meta"]["runtime"]["torch"] == "2.15.0"


def test_warnings_and_names_of_keypoints_and_states_are_recorded(make_adapter, spots, tmp_path):
    class Untrained(type(make_adapter())):
        notes: ClassVar = AdapterNotes(
            warnings=("no checkpoint: the weights are random",),
            keypoint_names=("nose", "tail"),
            states=("whole", "broken"),
        )

    adapter = Untrained(make_adapter().settings)
    export_predictions(Pipeline(adapter), spots(1), tmp_path / "p.json", wrap=True)
    meta = json.loads((tmp_path / "p.json").read_text("utf-8"))["meta"]
    assert meta["extra"]["warnings"] == ["no checkpoint: the weights are random"]
    assert meta["extra"]["keypoint_names"] == ["nose", "tail"]
    assert meta["states"] == ["whole", "broken"]


def test_max_images_takes_the_first_ones(make_adapter, spots, tmp_path):
    export_predictions(Pipeline(make_adapter()), spots(10), tmp_path / "p.json", max_images=3)
    assert [e["image"] for e in json.loads((tmp_path / "p.json").read_text("utf-8"))] == list(spots(3).keys)


def test_skipped_images_are_in_the_summary_and_in_their_entry(make_adapter, spots, tmp_path):
    pipeline = Pipeline(make_adapter(), on_error="skip")
    summary = export_predictions(pipeline, spots(6, frozenset({1})), tmp_path / "p.json", wrap=True)
    document = json.loads((tmp_path / "p.json").read_text("utf-8"))
    assert summary.skipped[0][0] == "001.png"
    assert "001.png" in document["predictions"][1]["extra"]["error"]
    assert "image_size" not in document["predictions"][1]
    assert [e.message for e in validator().iter_errors(document)] == []


def test_an_error_leaves_the_old_file_and_the_chunks_before_it(make_adapter, spots, tmp_path):
    (tmp_path / "p.json").write_text("old", "utf-8")
    with pytest.raises(ImageError, match=r"009\.png"):
        export_predictions(Pipeline(make_adapter()), spots(12, frozenset({9})), tmp_path / "p.json")
    assert (tmp_path / "p.json").read_text("utf-8") == "old"
    assert (tmp_path / "p.json.partial").read_bytes().count(b"\n") == 8


def test_resuming_predicts_only_what_is_missing(make_adapter, spots, tmp_path):
    broken, whole = spots(12, frozenset({9})), spots(12)
    with pytest.raises(ImageError):
        export_predictions(Pipeline(make_adapter()), broken, tmp_path / "p.json")
    adapter = make_adapter()
    summary = export_predictions(Pipeline(adapter), whole, tmp_path / "p.json", resume=True)
    assert [key for call in adapter.calls for key in call] == list(whole.keys[8:])
    assert summary.resumed == 8
    assert (summary.images, summary.detections) == (12, 24)
    export_predictions(Pipeline(make_adapter()), whole, tmp_path / "q.json")
    assert (tmp_path / "p.json").read_bytes() == (tmp_path / "q.json").read_bytes()


def test_the_summary_of_a_resumed_run_names_what_the_earlier_one_skipped(make_adapter, spots, tmp_path):
    adapter = make_adapter()
    predict = adapter.predict

    def interrupted(records):
        if len(adapter.calls) == 2:
            raise KeyboardInterrupt
        return predict(records)

    adapter.predict = interrupted
    images, output = spots(12, frozenset({1, 10})), tmp_path / "p.json"
    with pytest.raises(InterruptedRunError):
        export_predictions(Pipeline(adapter, on_error="skip"), images, output)
    summary = export_predictions(Pipeline(make_adapter(), on_error="skip"), images, output, resume=True)
    assert [image for image, _ in summary.skipped] == ["001.png", "010.png"]
    assert (summary.resumed, summary.detections) == (8, 20)


def test_ctrl_c_keeps_what_is_done_and_says_how_to_go_on(make_adapter, spots, tmp_path):
    adapter = make_adapter()
    predict = adapter.predict

    def interrupted(records):
        if len(adapter.calls) == 2:
            raise KeyboardInterrupt
        return predict(records)

    adapter.predict = interrupted
    with pytest.raises(InterruptedRunError, match=r"8 of 12 images.*\n.*--resume"):
        export_predictions(Pipeline(adapter), spots(12), tmp_path / "p.jsonl")
    assert (tmp_path / "p.jsonl.partial").read_bytes().count(b"\n") == 8


def test_a_run_with_other_thresholds_is_not_the_run_to_resume(make_adapter, spots, tmp_path):
    with pytest.raises(ImageError):
        export_predictions(Pipeline(make_adapter()), spots(12, frozenset({9})), tmp_path / "p.json")
    other = Pipeline(make_adapter(), Limits(score_threshold=0.3))
    with pytest.raises(OptionError, match="another run"):
        export_predictions(other, spots(12), tmp_path / "p.json", resume=True)


def test_a_run_whose_files_changed_is_not_the_run_to_resume(make_adapter, spots, tmp_path):
    """Options that name a file are the same while what they name is another."""
    table = tmp_path / "table.txt"
    options = {"table": str(table), "long": "x" * 5000, "null": "a\0b", "size": 3}

    def pipeline():
        return Pipeline(make_adapter(**options))

    table.write_text("before")
    with pytest.raises(ImageError):
        export_predictions(pipeline(), spots(12, frozenset({9})), tmp_path / "p.json")
    table.write_text("after")
    with pytest.raises(
        OptionError, match=r"another run \(files_sha256\.\S+table\.txt: '\w+' then, '\w+' now\)"
    ):
        export_predictions(pipeline(), spots(12), tmp_path / "p.json", resume=True)
    table.write_text("before")
    assert export_predictions(pipeline(), spots(12), tmp_path / "p.json", resume=True).resumed == 8


def test_files_of_views_fusions_and_methods_tell_runs_apart_too(spots, tmp_path):
    file = tmp_path / "file.txt"
    named = {"file": str(file)}
    recipes = {
        "view": Recipe("a", tta=TTA((Choice("v", named),))),
        "fusion": Recipe("a", tta=TTA((Choice("v"),), Choice("f", named))),
        "method": Recipe("a", ttt=TTT("m", TTTSettings(options=named))),
        "statistics": Recipe("a", ttt=TTT("m", TTTSettings(statistics=str(file)))),
    }
    found = []
    for content in ("one", "two"):
        file.write_text(content)
        found.append({name: identity(one, spots(1), 1, None) for name, one in recipes.items()})
    for name in recipes:
        assert found[0][name] != found[1][name], name


def test_an_output_of_an_unknown_kind_is_refused_before_anything_runs(make_adapter, spots, tmp_path):
    adapter = make_adapter()
    with pytest.raises(OptionError, match=r"\.txt"):
        export_predictions(Pipeline(adapter), spots(3), tmp_path / "p.txt")
    assert adapter.calls == []


def test_progress_hears_of_every_image(make_adapter, spots, tmp_path):
    heard = []
    with closing(make_adapter()) as adapter:
        export_predictions(Pipeline(adapter), spots(10), tmp_path / "p.json", progress=heard.append)
    assert heard == [0, 4, 4, 2]
