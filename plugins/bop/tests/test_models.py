"""Object models in BOP's layout."""

from __future__ import annotations

import json

import numpy as np
import pytest

from anydet.errors import DatasetError
from anydet_bop.models import read_models
from anydet_bop.ply import read_vertices

POINTS = np.array([[0.5, -1.0, 2.0], [1e-3, 0.0, 7.25], [3.0, 4.0, 5.0]])
HALF_TURN = [-1, 0, 0, 20, 0, -1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]


def ply(form="ascii", count=3, head="property float x\nproperty float y\nproperty float z\n", body=None):
    faces = "element face 1\nproperty list uchar int vertex_indices\n"
    header = (
        f"ply\nformat {form} 1.0\ncomment made by a test\nelement vertex {count}\n{head}{faces}end_header\n"
    )
    text = "".join(f"{x} {y} {z}\n" for x, y, z in POINTS) + "3 0 1 2\n"
    return header.encode() + (text.encode() if body is None else body)


def write_models(folder, infos, file=None):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "models_info.json").write_text(json.dumps(infos))
    for key in infos:
        (folder / f"obj_{int(key):06d}.ply").write_bytes(ply() if file is None else file)
    return folder


def binary(order):
    columns = [
        ("red", "u1"),
        ("x", order + "f4"),
        ("y", order + "f8"),
        ("z", order + "f4"),
        ("flag", order + "i2"),
    ]
    table = np.zeros(3, columns)
    for i, axis in enumerate("xyz"):
        table[axis] = POINTS[:, i]
    head = "".join(
        f"property {kind} {name}\n"
        for kind, name in (
            ("uchar", "red"),
            ("float", "x"),
            ("double", "y"),
            ("float32", "z"),
            ("short", "flag"),
        )
    )
    return head, table.tobytes() + b"\x03\0\0\0\0"


@pytest.mark.parametrize("form", ["ascii", "binary_little_endian", "binary_big_endian"])
def test_vertices_come_out_of_every_form_of_ply(tmp_path, form):
    data = ply()
    if form != "ascii":
        head, body = binary("<" if "little" in form else ">")
        data = ply(form, head=head, body=body)
    (tmp_path / "a.ply").write_bytes(data)
    np.testing.assert_allclose(read_vertices(tmp_path / "a.ply"), POINTS, rtol=1e-6)


def test_text_between_numbers_and_more_columns_do_not_disturb(tmp_path):
    head = "property float nx\nproperty float z\nproperty float y\nproperty float x\n"
    body = b"".join(f"9 {z} {y} {x}\r\n".encode() for x, y, z in POINTS)
    (tmp_path / "a.ply").write_bytes(ply(head=head, body=body))
    np.testing.assert_allclose(read_vertices(tmp_path / "a.ply"), POINTS)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"solid stl", "no header"),
        (ply("ascii_2"), "format 'ascii_2'"),
        (ply(count=9), "vertices where its header states 9"),
        (ply("binary_little_endian", body=b"123"), "buffer is smaller"),
        (ply(head="property float x\nproperty float y\n"), "no x, y and z"),
        (ply(body=b"1 2 three\n1 2 3\n1 2 3\n"), "three"),
        (ply().replace(b"element vertex", b"element corner"), "not its first element"),
        (ply(head="property list uchar int x\n"), "list"),
    ],
)
def test_what_is_not_a_ply_file_is_refused_by_name(tmp_path, data, problem):
    (tmp_path / "a.ply").write_bytes(data)
    with pytest.raises(DatasetError, match=rf"a\.ply: not a PLY file.*{problem}"):
        read_vertices(tmp_path / "a.ply")


def test_models_are_in_meters_with_their_symmetries(tmp_path):
    infos = {
        "2": {"diameter": 100.0, "symmetries_discrete": [HALF_TURN], "min_x": -5.0},
        "5": {"diameter": 50, "symmetries_continuous": [{"axis": [0, 0, 2], "offset": [10, 0, 0]}]},
        "7": {"diameter": 10, "name": "mug"},
    }
    write_models(tmp_path / "data" / "models", infos)
    models = read_models(tmp_path / "data")
    assert list(models) == [2, 5, 7]
    np.testing.assert_allclose(models[2].points_m, POINTS / 1000)
    assert models[2].diameter_m == pytest.approx(0.1)
    np.testing.assert_allclose(models[2].symmetries[0], np.eye(4))
    np.testing.assert_allclose(models[2].symmetries[1][:3, 3], [0.02, 0, 0])
    assert models[5].axes[0].direction == (0.0, 0.0, 1.0)
    assert models[5].axes[0].point_m == (0.01, 0.0, 0.0)
    assert [model.symmetric for model in models.values()] == [True, True, False]
    assert [model.name for model in models.values()] == ["obj_000002", "obj_000005", "mug"]


def test_models_for_evaluation_go_before_those_for_rendering(tmp_path):
    write_models(tmp_path / "models", {"1": {"diameter": 1.0}})
    write_models(tmp_path / "models_eval", {"1": {"diameter": 2.0}})
    assert read_models(tmp_path)[1].diameter_m == pytest.approx(0.002)


@pytest.mark.parametrize(
    ("infos", "problem"),
    [
        ({"1": {}}, "diameter"),
        ({"1": {"diameter": 0.0}}, "diameter"),
        ({"one": {"diameter": 1.0}}, "Expected `int`"),
        ({"1": {"diameter": 1.0, "symmetries_discrete": [[1.0] * 15]}}, "symmetries_discrete"),
        ({"1": {"diameter": 1.0, "symmetries_discrete": [[2.0] * 16]}}, "object 1: a symmetry is not"),
        ({"1": {"diameter": 1.0, "symmetries_continuous": [{"axis": [0, 0, 0]}]}}, "object 1: an axis"),
    ],
)
def test_malformed_descriptions_are_refused_by_name(tmp_path, infos, problem):
    (tmp_path / "models_info.json").write_text(json.dumps(infos))
    (tmp_path / "obj_000001.ply").write_bytes(ply())
    with pytest.raises(DatasetError, match=rf"models_info\.json.*{problem}"):
        read_models(tmp_path)


def test_missing_models_are_an_error_with_the_searched_folders(tmp_path):
    with pytest.raises(
        DatasetError, match=r"no models_info\.json in it, nor in its folders models_eval and models"
    ):
        read_models(tmp_path)
    (tmp_path / "models_info.json").write_text('{"1": {"diameter": 1}}')
    with pytest.raises(DatasetError, match=r"obj_000001\.ply: cannot be read: No such file"):
        read_models(tmp_path)
