"""Tensors of a model in other files: those in its folder are read, all others refused."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from anydet.runtime.errors import ModelError
from anydet.runtime.external_data import _PARTS, check_external_data, external_data

WEIGHTS = np.arange(12, dtype=np.float32).reshape(3, 4)


def external(location, **stated):
    tensor = numpy_helper.from_array(WEIGHTS, "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, "offset": 0, "length": WEIGHTS.nbytes, **stated}.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def branch(tensor):
    """A graph within a node, whose constant is the tensor."""
    constant = helper.make_node("Constant", [], ["w"], value=tensor)
    product = helper.make_node("MatMul", ["x", "w"], ["b"])
    return helper.make_graph([constant, product], "b", [], [helper.make_tensor_value_info("b", 1, [1, 4])])


def save(path, tensor, where):
    nodes, weights = [helper.make_node("MatMul", ["x", "w"], ["y"])], []
    if where == "initializer":
        weights = [tensor]
    elif where == "constant":
        nodes = [helper.make_node("Constant", [], ["w"], value=tensor), *nodes]
    else:
        yes = helper.make_node("Constant", [], ["yes"], value=numpy_helper.from_array(np.array(True)))
        graph = branch(tensor)
        nodes = [yes, helper.make_node("If", ["yes"], ["y"], then_branch=graph, else_branch=graph)]
    declared = [helper.make_tensor_value_info(name, 1, [1, n]) for name, n in (("x", 3), ("y", 4))]
    graph = helper.make_graph(nodes, "g", declared[:1], declared[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(model.SerializeToString())
    return path


WHERE = pytest.mark.parametrize("where", ["initializer", "constant", "branch"])


@pytest.fixture
def outside(tmp_path):
    (tmp_path / "outside.bin").write_bytes(WEIGHTS.tobytes())
    return tmp_path / "outside.bin"


@WHERE
def test_data_in_the_folder_is_fine(where, tmp_path):
    path = save(tmp_path / "m" / "m.onnx", external("w.data"), where)
    (path.parent / "w.data").write_bytes(WEIGHTS.tobytes())
    (stated,) = {tuple(entry.items()) for entry in external_data(path)}
    assert dict(stated)["location"] == "w.data"
    check_external_data(path)


@WHERE
@pytest.mark.parametrize("kind", ["absolute", "above", "link", "link of a folder", "none", "memory", "long"])
def test_data_outside_of_the_folder_is_refused(kind, where, tmp_path, outside):
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "link.bin").symlink_to(outside)
    (folder / "up").symlink_to(tmp_path)
    locations = {
        "absolute": str(outside),
        "above": "../outside.bin",
        "link": "link.bin",
        "link of a folder": "up/outside.bin",
        "none": "",
        "memory": "*/_ORT_MEM_ADDR_/*",  # by which ONNX Runtime means its own memory
        "long": "x" * 5000,
    }
    path = save(folder / "m.onnx", external(locations[kind]), where)
    with pytest.raises(ModelError) as caught:
        check_external_data(path)
    assert str(path) in caught.value.problem
    assert locations[kind][:100] in caught.value.problem
    assert len(caught.value.problem) < 500
    assert (
        "is not there" if kind in {"memory", "long"} else "not in the model's folder"
    ) in caught.value.problem
    assert caught.value.fix


@WHERE
def test_data_that_is_missing_or_cut_short_says_so(where, tmp_path):
    path = save(tmp_path / "m" / "m.onnx", external("w.data"), where)
    with pytest.raises(ModelError, match=r"its external data 'w\.data' is not there") as caught:
        check_external_data(path)
    assert str(path.parent / "w.data") in caught.value.fix
    (path.parent / "w.data").write_bytes(WEIGHTS.tobytes()[:-1])
    with pytest.raises(ModelError, match=r"'w\.data' is cut short: 47 bytes of at least 48"):
        check_external_data(path)


def test_a_cache_of_links_into_one_folder_is_read(tmp_path):
    """As that of Hugging Face."""
    path = save(tmp_path / "blobs" / "m.onnx", external("w.data"), "initializer")
    (path.parent / "w.data").write_bytes(WEIGHTS.tobytes())
    shown = tmp_path / "snapshot"
    shown.mkdir()
    for name in ("m.onnx", "w.data"):
        (shown / name).symlink_to(path.parent / name)
    check_external_data(shown / "m.onnx")


def test_all_fields_of_onnx_that_can_hold_tensors_are_looked_into():
    """By the descriptors of the package onnx."""
    messages, pending = {}, [onnx.ModelProto.DESCRIPTOR]
    while pending:
        message = pending.pop()
        if message.name not in messages:
            inner = {f.number: f.message_type for f in message.fields if f.message_type is not None}
            messages[message.name] = {number: kind.name for number, kind in inner.items()}
            pending += inner.values()
    holding = {"TensorProto"}
    while more := {name for name, inner in messages.items() if holding & set(inner.values())} - holding:
        holding |= more
    table = {
        name: {number: kind for number, kind in inner.items() if kind in holding}
        for name, inner in messages.items()
        if name in holding - {"TensorProto"}
    }
    assert table == _PARTS


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_a_model_cut_short_and_bytes_of_another_kind_are_refused(cut, tmp_path):
    path = save(tmp_path / "m" / "m.onnx", numpy_helper.from_array(WEIGHTS, "w"), "initializer")
    assert not list(external_data(path))
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(ModelError, match="cannot be opened as an ONNX model"):
        check_external_data(path)
    path.write_bytes(b"\x08\x09\x3b\x3c")  # a group, which ONNX has not
    with pytest.raises(ModelError, match="cannot be opened as an ONNX model"):
        check_external_data(path)
