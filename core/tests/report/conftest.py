"""A report with names that would break a page that took them for code."""

from __future__ import annotations

import base64
import json
import re
import struct
import threading
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from core.tests.noisy_predictions import noisy_predictions

from anydet.cli import main
from anydet.data.opening import open_dataset
from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.data.writing.coco import write_coco
from anydet.evaluation.evaluator import AnalysisSettings
from anydet.evaluation.reading import read_inputs
from anydet.report.page.findings import Model, find
from anydet.report.server.pictures import Pictures
from anydet.report.server.server import BrowseServer, Contents

CLASSES = (
    "<script>document.title='ran'</script>",
    "a \"quoted\" & 'other' {{style}}",
    "bell\x07 and \u202eturned",
)
IMAGES = ("<img src=x onerror=document.title='ran'>.png", 'it\'s "quoted".png', "tab\tand {{script}}.png")
TYPES = {"u1": np.uint8, "u2": np.uint16, "i2": np.int16, "u4": np.uint32, "f4": np.float32}


def write_hostile(root: Path) -> None:
    """Scenes as COCO, whose first classes and images have the names above."""
    write_coco(SyntheticDataset(14, 3, (200, 150)), root, "val")
    (file,) = root.rglob("instances*.json")
    content = json.loads(file.read_text())
    for category, name in zip(content["categories"], CLASSES, strict=False):
        category["name"] = name
    shown = {annotation["image_id"] for annotation in content["annotations"]}
    labeled = [image for image in content["images"] if image["id"] in shown]
    for image, name in zip(labeled, IMAGES, strict=False):
        (path,) = root.rglob(image["file_name"])
        path.rename(path.with_name(name.replace("/", "")))
        image["file_name"] = name
    file.write_text(json.dumps(content))


def unpack(page: Path) -> SimpleNamespace:
    """What a page holds: ``header``, and ``columns`` by name, its image columns as positions."""
    text = page.read_text("utf-8")
    found = re.search(r'<script type="text/plain" id="data">([^<]*)</script>', text)
    assert found is not None
    return SimpleNamespace(text=text, **vars(unpack_block(base64.b64decode(found[1]))))


def unpack_block(packed: bytes) -> SimpleNamespace:
    """``header`` and ``columns`` of what ``payload.pack`` gave."""
    block = zlib.decompress(packed)
    (length,) = struct.unpack_from("<I", block)
    header, start = json.loads(block[4 : 4 + length]), (4 + length + 7) // 8 * 8
    columns = {
        name: np.frombuffer(block, TYPES[kind], count, start + place)
        for name, kind, count, place in header["columns"]
    }
    return SimpleNamespace(header=header, columns=columns)


@pytest.fixture(scope="session")
def hostile(tmp_path_factory):
    """``page`` of two models, its ``data``, and what it was made from."""
    root = tmp_path_factory.mktemp("hostile")
    write_hostile(root / "scenes")
    dataset = open_dataset(root / "scenes")
    paths = [root / "a.json", root / "b.json"]
    for seed, path in enumerate(paths):
        path.write_text(json.dumps(noisy_predictions(dataset, seed)))
    page = root / "report.html"
    arguments = [
        "report",
        *map(str, paths),
        "--dataset",
        str(root / "scenes"),
        "--output",
        str(page),
        "--resamples",
        "20",
    ]
    done = CliRunner().invoke(main, [*arguments, "--json", "-"])
    assert done.exit_code == 0, done.output
    return SimpleNamespace(
        root=root, dataset=dataset, paths=paths, page=page, data=unpack(page), summary=json.loads(done.stdout)
    )


@pytest.fixture(scope="session")
def served(hostile):
    """A server of the same two models: ``server``, its ``pictures``, and ``findings``."""
    models = [Model(str(path), read_inputs(hostile.dataset, path), {}) for path in hostile.paths]
    findings = find(models, AnalysisSettings(resamples=20))
    pictures = Pictures(hostile.dataset, findings)
    with BrowseServer() as server:
        thread = threading.Thread(target=server.serve, args=[Contents(findings, pictures)])
        thread.start()
        yield SimpleNamespace(server=server, pictures=pictures, findings=findings)
        server.stop()
        thread.join()
