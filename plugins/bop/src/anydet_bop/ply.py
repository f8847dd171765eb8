"""PLY files (Stanford's polygon format): vertices of any form are read, colored meshes written."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from anydet.dataclass import dataclass
from anydet.errors import DatasetError
from anydet.inputs import read_file
from anydet.types import ByteImage, FloatArray, IntArray

_TYPES = {
    **dict.fromkeys(("char", "int8"), "i1"),
    **dict.fromkeys(("uchar", "uint8"), "u1"),
    **dict.fromkeys(("short", "int16"), "i2"),
    **dict.fromkeys(("ushort", "uint16"), "u2"),
    **dict.fromkeys(("int", "int32"), "i4"),
    **dict.fromkeys(("uint", "uint32"), "u4"),
    **dict.fromkeys(("float", "float32"), "f4"),
    **dict.fromkeys(("double", "float64"), "f8"),
}
_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_FIX = "write it again, vertices first, with x, y and z"


@dataclass(frozen=True, slots=True)
class _Header:
    """What stands before the vertices: byte order ("" is ASCII), number, names and types, and its length."""

    order: str
    count: int
    columns: tuple[tuple[str, str], ...]
    length: int


def read_vertices(path: Path) -> FloatArray:
    """(P, 3) x, y, z of all vertices, in the file's unit.

    Raises:
        DatasetError: the file cannot be read, or is not a PLY file that starts with its vertices.
    """
    try:
        data = read_file(path)
    except OSError as exc:
        raise DatasetError(f"{path}: cannot be read: {exc.strerror}", fix="check the path") from exc
    try:
        return _vertices(data, _read_header(data))
    except (ValueError, KeyError, UnicodeDecodeError) as exc:
        raise DatasetError(f"{path}: not a PLY file with vertices: {exc}", fix=_FIX) from exc


def _read_header(data: bytes) -> _Header:
    end = data.find(b"end_header")
    if not data.startswith(b"ply") or end < 0:
        raise ValueError("no header from 'ply' to 'end_header'")
    # The vertices begin behind the line break of end_header, which may be missing in an empty file.
    length = data.find(b"\n", end) + 1 or len(data)
    lines = [line.split() for line in data[:end].decode("ascii", "replace").splitlines()]
    form = next((line[1] for line in lines if line[0:1] == ["format"]), "")
    if form not in _ORDERS:
        raise ValueError(f"format {form!r}")
    starts = [i for i, line in enumerate(lines) if line[0:1] == ["element"]]
    if not starts or lines[starts[0]][1:2] != ["vertex"]:
        raise ValueError("vertices are not its first element")
    own = lines[starts[0] + 1 : starts[1] if len(starts) > 1 else None]
    columns = tuple((line[2], _TYPES[line[1]]) for line in own if line[0:1] == ["property"])
    if not {"x", "y", "z"} <= {name for name, _ in columns}:
        raise ValueError("vertices have no x, y and z")
    return _Header(_ORDERS[form], int(lines[starts[0]][2]), columns, length)


def _vertices(data: bytes, header: _Header) -> FloatArray:
    names = [name for name, _ in header.columns]
    if header.order:
        row = np.dtype([(name, header.order + kind) for name, kind in header.columns])
        table = np.frombuffer(data, row, header.count, header.length)
        return np.stack([table[axis].astype(np.float64) for axis in "xyz"], axis=1)
    lines = io.BytesIO(data[header.length :])
    wanted = [names.index(axis) for axis in "xyz"]
    text = (line for _, line in zip(range(header.count), lines, strict=False))
    points: FloatArray = np.loadtxt(text, np.float64, usecols=wanted, ndmin=2)
    if len(points) != header.count:
        raise ValueError(f"{len(points)} vertices where its header states {header.count}")
    return points


def write_mesh(
    path: Path, points: FloatArray, faces: IntArray, normals: FloatArray, colors: ByteImage
) -> None:
    """Write triangles as binary PLY.

    Args:
        path: the file.
        points: (V, 3) vertices, in the file's unit.
        faces: (F, 3) vertices of each triangle.
        normals: (V, 3) unit vectors.
        colors: (V, 3) uint8 RGB.
    """
    names = ("x", "y", "z", "nx", "ny", "nz")
    color_names = ("red", "green", "blue")
    vertices = np.zeros(len(points), [(n, "<f4") for n in names] + [(n, "u1") for n in color_names])
    for name, column in zip(names, np.concatenate([points, normals], axis=1).T, strict=True):
        vertices[name] = column
    for name, column in zip(color_names, colors.T, strict=True):
        vertices[name] = column
    triangles = np.zeros(len(faces), [("count", "u1"), ("corners", "<i4", 3)])
    triangles["count"], triangles["corners"] = 3, faces
    header = [
        "ply\nformat binary_little_endian 1.0",
        f"element vertex {len(points)}",
        *(f"property float {name}" for name in names),
        *(f"property uchar {name}" for name in color_names),
        f"element face {len(faces)}\nproperty list uchar int vertex_indices\nend_header\n",
    ]
    path.write_bytes("\n".join(header).encode() + vertices.tobytes() + triangles.tobytes())
