"""What a file is that was given as weights; nothing that it holds is run."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from anydet.plugins.inert_pickle import Archive, InertUnpickler, described

_HEAD = 4096
ONNX = "an ONNX model"
ORT = "a model in the format of ONNX Runtime"
OPENVINO = "a model of OpenVINO (IR)"
TFLITE = "a TensorFlow Lite model"
ENGINE = "an engine of TensorRT"
UNKNOWN = "a file of an unknown kind"
_ADAPTERS = {ONNX: "onnxruntime", ORT: "onnxruntime", ENGINE: "tensorrt", TFLITE: "openvino"}
"""Kind of a file -> the adapter that runs it."""
_MOST_PICKLE = 64 << 20
"""Bytes of a pickle that are looked at; tensors lie outside of it."""


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """What a file is.

    Attributes:
        what: a noun with its article, for messages.
        adapter: registered name of the adapter that reads it; "" where that is unknown.
        damaged: whether it is of a kind that is read, and not whole.
        archive: what ``torch.save`` wrote, for its kinds.
        fix: what to do about it where that is more than giving another file.
    """

    what: str
    adapter: str = ""
    damaged: bool = False
    archive: Archive | None = None
    fix: str = ""


def identify(path: Path) -> WeightsFile:
    """What a path leads to, found by its content; raises ``OSError`` where it cannot be read."""
    if path.exists() and not path.is_file():
        return WeightsFile("a folder" if path.is_dir() else "no regular file")
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _archive(path)
    if head[:1] == b"\x80" and head[1:2] in {b"\x02", b"\x03", b"\x04", b"\x05"}:
        return _pickle(path)
    return _by_start(head)


def _by_start(head: bytes) -> WeightsFile:
    what = next((what for place, start, what in _STARTS if head[place:].startswith(start)), None)
    if what is None and _is_onnx(head):
        what = ONNX
    if what is not None:
        return WeightsFile(what, _ADAPTERS.get(what, ""))
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= 100 << 20:
        return WeightsFile("a safetensors file")
    return _text(head) or WeightsFile(UNKNOWN)


_STARTS = (
    (0, b"\x89PNG", "an image (PNG)"),
    (0, b"\xff\xd8\xff", "an image (JPEG)"),
    (0, b"GIF8", "an image (GIF)"),
    (0, b"II*\0", "an image (TIFF)"),
    (0, b"MM\0*", "an image (TIFF)"),
    (8, b"WEBPVP8", "an image (WebP)"),
    (0, b"\x89HDF", "an HDF5 file"),
    (0, b"%PDF", "a PDF document"),
    (0, b"PAR1", "a Parquet file"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"7z\xbc\xaf", "a 7z archive"),
    (257, b"ustar", "a tar archive"),
    (4, b"ORTM", ORT),
    (4, b"TFL3", TFLITE),
    (0, b"ftrt", ENGINE),
    (0, b"vtrt", ENGINE),  # of TensorRT-RTX
)
"""Where a kind has its mark, the mark, and what it is."""


def _is_onnx(head: bytes) -> bool:
    """A protobuf message whose first field is a small ``ir_version`` and whose second is one of a model."""
    # Tags of ModelProto's producer, domain, versions, doc_string, graph and opset_import.
    tags = {b"\x12", b"\x1a", b'"', b"(", b"2", b":", b"B"}
    return head[:1] == b"\x08" and len(head) > 2 and 0 < head[1] < 64 and head[2:3] in tags


def _text(head: bytes) -> WeightsFile | None:
    if not head:
        return WeightsFile("an empty file")
    if head.startswith(b"version https://git-lfs"):
        return WeightsFile(
            "a pointer of Git LFS, not the file itself", fix="run 'git lfs pull' in its repository"
        )
    try:
        # A character of several bytes may be cut.
        text = head.decode("utf-8", "strict" if len(head) < _HEAD else "ignore")
    except UnicodeDecodeError:
        return None
    if any(ord(letter) < 32 and letter not in "\t\n\r\f" for letter in text):
        return None
    return _markup(text.lstrip().lower()) or WeightsFile("a text file")


def _markup(text: str) -> WeightsFile | None:
    if text.startswith(("<!doctype html", "<html")):
        return WeightsFile("a web page (HTML)", fix="download the file itself")
    if text.startswith(("<?xml", "<net")) and "<net " in text:
        return WeightsFile(OPENVINO, "openvino")
    return None


def _archive(path: Path) -> WeightsFile:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = {entry.filename: entry for entry in archive.infolist()}
            pickles = [name for name in entries if name.endswith("/data.pkl")]
            if not pickles:
                arrays = all(name.endswith(".npy") for name in entries)
                return WeightsFile("a NumPy archive" if arrays and entries else "a zip archive")
            root = pickles[0].removesuffix("data.pkl")
            if f"{root}constants.pkl" in entries:
                return WeightsFile("a TorchScript archive", fix="save model.state_dict() with torch.save")
            # torch.save compresses nothing; entries that unpack to more than the file may fill the memory.
            if sum(entry.file_size for entry in entries.values()) > path.stat().st_size:
                return WeightsFile("an archive that unpacks to more than it is", damaged=True)
            pickled = archive.read(pickles[0])
    except Exception:  # whatever bytes lead to
        return WeightsFile("an archive that is damaged or cut short", damaged=True)
    sizes = {name.removeprefix(f"{root}data/"): entry.file_size for name, entry in entries.items()}
    try:
        return _of_torch(described(pickled, sizes))
    except ValueError:
        return WeightsFile("an archive whose description of tensors is damaged", damaged=True)


def _of_torch(archive: Archive) -> WeightsFile:
    content = archive.content
    if isinstance(content, dict) and "anydet_checkpoint" in content:
        adapter = content.get("adapter")
        adapter = adapter if isinstance(adapter, str) else ""
        return WeightsFile(f"a checkpoint of adapter {adapter!r:.80}", adapter[:80], archive=archive)
    if isinstance(content, dict) and "anydet_continual" in content:
        return WeightsFile("what a run of anydet leaves to its next task (continual.pt)", archive=archive)
    return WeightsFile("an archive of torch.save", archive=archive)


def _pickle(path: Path) -> WeightsFile:
    """A pickle alone, as torch wrote before version 1.6 and as other programs write."""
    objects: dict[str, None] = {}
    with path.open("rb") as file:
        stream = BytesIO(file.read(_MOST_PICKLE))
    # Former torch writes a number, versions, and then what was saved.
    for _ in range(4):
        unpickler = InertUnpickler(stream)
        try:
            content = unpickler.load()
        except Exception:  # whatever bytes lead to
            break
        finally:
            objects |= unpickler.objects
        if not isinstance(content, int | dict) or unpickler.objects:
            break
    return WeightsFile("a pickle", archive=Archive(None, tuple(objects), {}))
