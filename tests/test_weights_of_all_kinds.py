"""Files that are given as weights, to every adapter and every command that takes them: one line and a fix."""

from __future__ import annotations

import copy
import io
import os
import pickle
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from click.testing import CliRunner
from tests.small_checkpoints import OURS, whole

from anydet.cli import main
from anydet.plugins.manager import Plugins
from anydet.training.checkpoints.checkpoint import save_checkpoint
from anydet_fasterrcnn_multitask.saved import save_state

pytestmark = pytest.mark.slow

ABSENT = object()


@pytest.fixture(scope="module")
def checkpoints():
    return {adapter: whole(adapter) for adapter in OURS}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    here = tmp_path_factory.mktemp("weights")
    for arguments in (
        "--out scenes --images 2 --size 96x72 --split all",
        "--scene segmentation --out shapes --images 2 --size 64x64 --split train",
    ):
        done = CliRunner().invoke(main, ["synth", *arguments.replace("scenes", f"{here}/scenes")
                                         .replace("shapes", f"{here}/shapes").split()])  # fmt: skip
        assert done.exit_code == 0, done.stderr
    return here


class Harmful:
    """Leaves a file where its pickle is loaded by who runs what it names."""

    def __reduce__(self):
        return os.mkdir, ("harm-was-done",)


def archive(name, content):
    """Bytes of a zip archive of one record."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr(name, content)
    return file.getvalue()


def saved(content):
    """Bytes that ``torch.save`` writes."""
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


OTHER_KINDS = {
    "an empty file": b"",
    "a text file": b"weights: see elsewhere\n",
    "a web page (HTML)": b"<!DOCTYPE html><html><body>Sign in</body></html>",
    "an image (PNG)": b"\x89PNG\r\n\x1a\n" + bytes(64),
    "a zip archive": archive("readme.txt", b"hello"),
    "a NumPy archive": archive("a.npy", b""),
    "a safetensors file": (2).to_bytes(8, "little") + b"{}",
    "a file of an unknown kind": bytes(range(256)),
    "an archive that is damaged or cut short": saved({"w": torch.zeros(99)})[:300],
    "harm in an archive": saved({"model": Harmful()}),
    "harm in a pickle": pickle.dumps(Harmful(), protocol=2),
    "a model pickled whole": saved(torch.nn.Linear(2, 2)),
    "tensors of somebody": saved({"conv.weight": torch.zeros(3, 3)}),
    "a list": saved([1, 2]),
    "of a newer version": saved({"anydet_checkpoint": 99}),
    "of an older version": saved({"anydet_checkpoint": 0}),
}
SAID = {
    "harm in an archive": "holds more than data",
    "harm in a pickle": "holds more than data",
    "a model pickled whole": "holds more than data",
    "tensors of somebody": "",
    "a list": "",
    "of a newer version": "checkpoint format 99, this version reads 1",
    "of an older version": "checkpoint format 0, this version reads 1",
}
"""What the message has where it is not the kind itself."""
SAID_OF_ONNX = {
    "a file of an unknown kind": "cannot be opened as an ONNX model",
    "harm in a pickle": "a pickle",
}


def put(description, place, value):
    """A copy with one value changed, ``ABSENT`` for none; ``place`` is keys joined by dots."""
    changed = copy.deepcopy(dict(description))
    *above, last = place.split(".")
    inner = changed
    for key in above:
        inner = inner[key]
    if value is ABSENT:
        del inner[last]
    else:
        inner[last] = value
    return changed


HUGE = 10**9
BROKEN = {
    "adaptivestream": [
        ("architecture", ABSENT),
        ("architecture", 5),
        ("architecture.num_classes", ABSENT),
        ("architecture.num_classes", "three"),
        ("architecture.num_classes", 7),
        ("architecture.num_classes", HUGE),
        ("architecture.encoder", "transformer"),
        ("architecture.encoder", "timm:no_such_model"),
        ("architecture.decoder", "other"),
        ("architecture.depth", 3),
        ("image_size", ABSENT),
        ("image_size", "64"),
        ("image_size", 0),
        ("image_size", HUGE),
        ("color", "gray"),
    ],
    "fasterrcnn_multitask": [
        ("architecture", ABSENT),
        ("architecture", []),
        ("architecture.class_count", ABSENT),
        ("architecture.class_count", None),
        ("architecture.class_count", 900_000),
        ("architecture.backbone", "vgg"),
        ("architecture.representation_size", 900_000),
        ("architecture.pyramid_channels", 900_000),
        ("architecture.max_size", 5),
        ("architecture.min_size", HUGE),
        ("architecture.anchor_sizes", [8, 16]),
        ("architecture.depth", 3),
        ("classes", ["a"]),
        ("classes", 7),
        ("classes", [1, 2, 3]),
        ("state_names", ["whole"] * 99),
        ("color", "gray"),
    ],
    "rtdetr_pose": [
        ("classes", ABSENT),
        ("classes", "abc"),
        ("model", 7),
        ("model.backbone.name", "no_such_backbone"),
        ("model.backbone.name", "os:mkdir"),
        ("model.backbone.args", {"path": "harm-was-done"}),
        ("model.backbone.args", {"width_mult": 1e9}),
        ("model.backbone.args", {"width_mult": float("nan")}),
        ("model.projector.d_model", 30),
        ("model.projector.d_model", 1_000_000),
        ("model.transformer.ffn_dim", 1_000_000),
        ("model.transformer.decoder_layers", HUGE),
        ("model.transformer.attention_heads", 5),
        ("model.transformer.depth", 3),
        ("heads.keypoints", HUGE),
        ("inputs.size_wh", [64]),
        ("inputs.size_wh", [64, 65]),
        ("inputs.size_wh", [HUGE, HUGE]),
        ("num_queries", 10_000),
        ("num_queries", -1),
        ("published", {"d_model": "wide"}),
        ("published", {"d_model": HUGE}),
        ("color", "gray"),
    ],
}
CASES = [(adapter, place, value) for adapter, changes in BROKEN.items() for place, value in changes]


def run(line, folder):
    """A command that must fail in one line and a fix; that line."""
    before = sorted(path.name for path in folder.iterdir())
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        done = CliRunner().invoke(main, [str(word) for word in line], obj=Plugins.from_env())
    assert done.exit_code == 1, (done.exit_code, done.output, done.exception)
    assert isinstance(done.exception, SystemExit), done.exception
    assert "Traceback" not in done.output
    for never in ("cannot be set up", "install what it needs", "torch.load", "weights_only", "KeyError"):
        assert never not in done.output
    # What a run was to be made with is written before its model is built.
    shutil.rmtree(folder / "new", ignore_errors=True)
    assert sorted(path.name for path in folder.iterdir()) == before
    if "Error: " not in done.stderr:
        assert line[0] == "diagnose"  # whose table has a verdict on it
        assert "\nfail: " in done.stdout
        return done.stdout, done.stdout
    problem, fix = done.stderr[done.stderr.index("Error: ") :].rstrip("\n").split("\n")
    assert fix.startswith("  fix: ")
    assert len(problem) < 1000
    return problem, fix


def lines(adapter, weights, folder):
    """Every command that reads weights."""
    data = "shapes" if adapter == "adaptivestream" else "scenes"
    given = ["--adapter", adapter, "--checkpoint", weights]
    predicting = [["export-predictions", *given, "--dataset", "scenes", "--output", "p.json"]]
    predicting.append(["predict", "scenes/images", *given, "--output", "p.json"])
    if adapter not in OURS:
        return predicting
    training = ["--dataset", data, "--max-steps", "1", "--num-workers", "0", "--device", "cpu"]
    return [
        *predicting,
        ["train", *given, *training, "--run-dir", "new"],
        ["diagnose", *given, *training, "--range-steps", "0", "--overfit-steps", "0"],
    ]


@pytest.mark.parametrize("kind", OTHER_KINDS)
@pytest.mark.parametrize("adapter", [*OURS, "onnxruntime"])
def test_a_file_of_another_kind_is_named_by_every_command(adapter, kind, folder, tmp_path):
    path = tmp_path / "w.pt"
    path.write_bytes(OTHER_KINDS[kind])
    said = SAID.get(kind, kind)
    if adapter == "onnxruntime":
        said = SAID_OF_ONNX.get(kind, "no ONNX model" if kind in SAID else kind)
    for line in lines(adapter, path, folder):
        problem, _ = run(line, folder)
        assert str(path) in problem
        assert said in problem


@pytest.mark.parametrize("adapter", [*OURS, "onnxruntime"])
def test_paths_without_weights_are_named_by_every_command(adapter, folder, tmp_path):
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "missing.pt", Path("/dev/null")):
        for line in lines(adapter, path, folder):
            assert str(path) in run(line, folder)[0]


@pytest.mark.parametrize("adapter", OURS)
def test_a_checkpoint_of_another_adapter_names_the_one_that_reads_it(adapter, folder, tmp_path, checkpoints):
    for other in (*OURS, "somebody"):
        if other != adapter:
            save_checkpoint(tmp_path / "w.pt", replace(checkpoints[adapter], adapter=other))
            for line in lines(adapter, tmp_path / "w.pt", folder):
                problem, fix = run(line, folder)
                assert f"was trained by '{other}', not '{adapter}'" in problem
                assert f"--adapter {other}" in fix


def test_weights_of_torch_are_no_model_of_onnxruntime_and_the_reverse(folder, tmp_path, checkpoints):
    onnx = pytest.importorskip("onnx")
    for adapter in OURS:
        run_folder = tmp_path / adapter
        save_checkpoint(run_folder / "best.pt", checkpoints[adapter])
        for path in (run_folder, run_folder / "best.pt"):
            for line in lines("onnxruntime", path, folder):
                problem, fix = run(line, folder)
                assert f"a checkpoint of adapter '{adapter}', no ONNX model" in problem
                assert f"--adapter {adapter}" in fix
        graph = onnx.helper.make_graph([], "g", [], [])
        (tmp_path / "m.onnx").write_bytes(onnx.helper.make_model(graph).SerializeToString())
        for line in lines(adapter, tmp_path / "m.onnx", folder):
            problem, fix = run(line, folder)
            assert "an ONNX model, no weights" in problem
            assert "--adapter onnxruntime predicts with it" in fix


@pytest.mark.parametrize(("adapter", "place", "value"), CASES)
def test_a_broken_description_is_named_by_every_command(adapter, place, value, folder, tmp_path, checkpoints):
    description = put(checkpoints[adapter].description, place, value)
    path = tmp_path / "w.pt"
    save_checkpoint(path, replace(checkpoints[adapter], description=description))
    for line in lines(adapter, path, folder):
        problem, _ = run(line, folder)
        # Of some values the library that builds the model knows more.
        assert any(
            word in problem for word in (str(path), "backbone", "timm", "encoder", "published", "fail")
        )


@pytest.mark.parametrize("adapter", OURS)
def test_the_description_of_another_adapter_is_named(adapter, folder, tmp_path, checkpoints):
    for other in OURS:
        if other != adapter:
            described = checkpoints[other].description
            save_checkpoint(tmp_path / "w.pt", replace(checkpoints[adapter], description=described))
            for line in lines(adapter, tmp_path / "w.pt", folder):
                assert f"{tmp_path / 'w.pt'}: describes no model of {adapter}: " in run(line, folder)[0]


@pytest.mark.parametrize(("place", "value"), BROKEN["fasterrcnn_multitask"])
def test_a_broken_description_in_a_plain_state_dictionary_is_named(
    place, value, folder, tmp_path, checkpoints
):
    whole_one = checkpoints["fasterrcnn_multitask"]

    class Described:
        def description(self):
            return put(whole_one.description, place, value)

    save_state(tmp_path / "w.pth", whole_one.model, Described())
    for line in lines("fasterrcnn_multitask", tmp_path / "w.pth", folder):
        assert str(tmp_path / "w.pth") in run(line, folder)[0]


@pytest.mark.parametrize("adapter", OURS)
def test_a_whole_checkpoint_predicts(adapter, folder, tmp_path, checkpoints):
    """So that the cases above fail for what is wrong in them."""
    save_checkpoint(tmp_path / "w.pt", checkpoints[adapter])
    line = lines(adapter, tmp_path / "w.pt", folder)[0][:-1]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        done = CliRunner().invoke(main, [*map(str, line), str(tmp_path / "p.json")])
    assert done.exit_code == 0, done.output
