"""A file of an adapter: what stands in it, what is compared, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from click.testing import CliRunner

from anydet.cli import main
from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.errors import AnydetError, OptionError, OutputError, TrainingError
from anydet.export.onnx_export import OnnxSettings, export_onnx
from anydet.plugins.export import ModelDescription, Source
from anydet.testing.comparison import Tolerance, first_difference
from anydet.version import __version__


def exported(plugins, path, checkpoint=None, **settings):
    given = plugins.settings("cells", checkpoint=checkpoint and str(checkpoint), seed=5)
    with plugins.adapter("cells", given) as adapter:
        return export_onnx(adapter, path, OnnxSettings(**settings), plugins=plugins)


def test_the_file_says_what_it_was_made_from(plugins, checkpoint, tmp_path):
    path = tmp_path / "model.onnx"
    written = exported(plugins, path, checkpoint, opset=16)
    model = onnx.load(path)
    stored = ModelDescription.from_metadata({entry.key: entry.value for entry in model.metadata_props})
    assert stored == written.description
    digest = sha256(checkpoint.read_bytes()).hexdigest()
    assert stored.source == Source(
        adapter="cells",
        adapter_version="?",
        anydet=__version__,
        checkpoint=str(checkpoint),
        checkpoint_sha256=digest,
        exporter=f"torch {torch.__version__} (trace)",
        opset=16,
    )
    assert [entry.version for entry in model.opset_import] == [16]
    assert written.sha256 == sha256(path.read_bytes()).hexdigest()
    assert written.size == path.stat().st_size
    assert [(t.name, t.shape, t.meaning) for t in (*written.inputs, *written.outputs)] == [
        ("images", (1, 3, 32, 32), ""),
        ("logits", (1, 16, 2), "class_logits"),
        ("boxes", (1, 16, 4), "boxes_cxcywh"),
    ]
    assert json.loads(json.dumps(written.as_dict()))["description"]["source"]["opset"] == 16


@pytest.mark.parametrize("batch", [False, True, None])
def test_a_run_on_noise_is_compared_with_the_model(plugins, tmp_path, batch):
    written = exported(plugins, tmp_path / "model.onnx", dynamic_batch=batch)
    assert written.parity.passed
    assert 0 < written.parity.max_abs < 1e-4
    assert [case.name for case in written.parity.cases] == ["1 image of noise", "3 images of noise"][
        : 1 if batch is False else 2
    ]
    assert written.outputs[0].shape == (1 if batch is False else "batch", 16, 2)


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("dynamic", [True, False])
def test_a_runtime_predicts_what_the_adapter_does(plugins, checkpoint, tmp_path, batch_size, dynamic):
    exported(plugins, tmp_path / "model.onnx", checkpoint, dynamic_batch=dynamic)
    files = {"cells": checkpoint, "onnxruntime": tmp_path / "model.onnx"}
    records = list(SyntheticDataset(4, 0, (32, 32)))
    results = []
    for name, file in files.items():
        given = plugins.settings(name, checkpoint=str(file), batch_size=batch_size, score_floor=0.2)
        with plugins.adapter(name, given) as adapter:
            results.append(list(adapter.predict(records)))
            assert adapter.classes.names == ("cat", "dog")
    assert sum(map(len, results[0])) > 4
    assert not first_difference(*results, Tolerance(box_px=1e-4, score=1e-5), floor=0.2)


def test_half_precision_halves_the_file_and_changes_little(plugins, tmp_path):
    whole, half = (exported(plugins, tmp_path / f"{fp16}.onnx", fp16=fp16) for fp16 in (False, True))
    assert half.size < whole.size
    assert half.description.source.precision == "float16"
    assert half.parity.passed
    assert 1e-6 < half.parity.max_abs < 2e-2
    assert {t.dtype for t in (*half.inputs, *half.outputs)} == {"float32"}


def test_a_file_that_differs_is_found(plugins, cells, monkeypatch, tmp_path):
    class Shifted(cells.module):
        """Gives other logits in a trace than elsewhere."""

        def forward(self, images):
            logits, boxes = super().forward(images)
            return (logits + 0.1 if torch.jit.is_tracing() else logits), boxes

    monkeypatch.setattr(cells, "module", Shifted)
    parity = exported(plugins, tmp_path / "model.onnx").parity
    assert not parity.passed
    assert parity.max_abs == pytest.approx(0.1, rel=1e-3)
    done = run_command(plugins, "--adapter", "cells", "--output", tmp_path / "model.onnx")
    assert done.exit_code == 1
    assert (
        "was written, and differs from the model: 1 image of noise: logits: 32 of 32 numbers" in done.output
    )
    assert (
        run_command(plugins, "--adapter", "cells", "--output", tmp_path / "m.onnx", "--no-check").exit_code
        == 0
    )


def test_without_a_runtime_the_file_is_written_and_not_compared(without_runtime, tmp_path):
    written = exported(without_runtime, tmp_path / "model.onnx")
    assert written.parity is None
    assert written.unchecked == "the adapter onnxruntime is not installed"
    done = run_command(without_runtime, "--adapter", "cells", "--output", tmp_path / "model.onnx")
    assert done.exit_code == 0
    assert "not compared with the model: the adapter onnxruntime is not installed" in done.stderr


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"dynamic_size": True},
            "--dynamic-size: their size is fixed in a file of cells: cells have one size",
        ),
        ({"opset": 12}, "opset 12 cannot be written: torch traces models to 13 to 20"),
        ({"opset": 99}, "opset 99"),
    ],
)
def test_what_cannot_be_written_is_refused_with_the_reason(plugins, tmp_path, settings, message):
    with pytest.raises(OptionError, match=message):
        exported(plugins, tmp_path / "model.onnx", **settings)
    assert not (tmp_path / "model.onnx").exists()


def test_targets_that_are_none_are_refused_before_the_model_is_built(plugins, tmp_path, monkeypatch, cells):
    monkeypatch.setattr(cells, "export_spec", lambda self: pytest.fail("it was built"))
    with pytest.raises(OptionError, match=r"the name of an ONNX file ends with \.onnx"):
        exported(plugins, tmp_path / "model.pt")
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(OutputError, match="directory"):
        exported(plugins, tmp_path / "folder.onnx")


def test_a_module_that_cannot_be_traced_says_why(plugins, cells, monkeypatch, tmp_path):
    class Broken(cells.module):
        def forward(self, images):
            raise RuntimeError("no kernel for this")

    monkeypatch.setattr(cells, "module", Broken)
    with pytest.raises(TrainingError, match="cannot be traced: RuntimeError: no kernel for this"):
        exported(plugins, tmp_path / "model.onnx")


def test_a_file_that_its_runtime_cannot_predict_with_is_an_error(plugins, cells, monkeypatch, tmp_path):
    monkeypatch.setattr(cells, "export_spec", mislabeled(cells.export_spec))
    with pytest.raises(AnydetError, match="was written, and the adapter onnxruntime cannot predict with it"):
        exported(plugins, tmp_path / "model.onnx")


def mislabeled(export_spec):
    """Describes the outputs the other way round."""

    def changed(self):
        spec = export_spec(self)
        first, second = spec.description.outputs
        outputs = replace(first, meaning=second.meaning), replace(second, meaning=first.meaning)
        return replace(spec, description=replace(spec.description, outputs=outputs))

    return changed


def run_command(plugins, *words):
    return CliRunner().invoke(main, ["export-onnx", *map(str, words)], obj=plugins)


def test_the_command_sums_up_what_was_written(plugins, checkpoint, tmp_path):
    path = tmp_path / "model.onnx"
    words = "--adapter", "cells", "--checkpoint", checkpoint, "--output", path, "--dynamic-batch"
    done = run_command(plugins, *words, "--json")
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert result["sha256"] == sha256(path.read_bytes()).hexdigest()
    assert result["parity"]["passed"]
    for text in (
        f"sha256 {result['sha256']}",
        "opset 17, float32, torch",
        "input   images  float32 [batch, 3, 32, 32]",
        "output  logits  float32 [batch, 16, 2]  class_logits",
        "layout queries: 2 classes; images stretch to 32x32",
        "ONNX Runtime against the model (1 image of noise; 3 images of noise): largest difference",
        f"next:\n  anydet predict IMAGES --adapter onnxruntime --checkpoint {path}",
    ):
        assert text in done.stderr
    assert run_command(plugins, *words).stdout == f"{path}\n"


def test_an_adapter_without_the_capability_names_those_that_have_it(plugins):
    done = run_command(plugins, "--adapter", "onnxruntime", "--output", "model.onnx")
    assert done.exit_code == 1
    assert "does not support export to ONNX (adapters that do: cells)" in done.output


def test_the_trace_is_of_the_weights_of_the_checkpoint(plugins, checkpoint, tmp_path):
    exported(plugins, tmp_path / "model.onnx", checkpoint)
    weights = torch.load(checkpoint, weights_only=True)
    stored = {
        t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(tmp_path / "model.onnx").graph.initializer
    }
    assert any(np.array_equal(v, weights["head.weight"].numpy()) for v in stored.values())
