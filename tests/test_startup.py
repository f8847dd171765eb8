"""What commands import before they work: a budget of modules, and what none of it may be.

Counts instead of times, as these are the same on every machine. A new module on one of these paths is a
reason to look whether the path needs it; the budget may grow by those that it does.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec

import pytest

HEAVY = {
    "PIL",
    "cv2",
    "email",
    "importlib.metadata",
    "importlib.resources",
    "jsonschema",
    "onnxruntime",
    "openvino",
    "tensorrt",
    "tensorrt_rtx",
    "cuda",
    "pyarrow",
    "rich",
    "tempfile",
    "torch",
    "torchvision",
    "yaml",
}
"""What takes longer to import than an evaluation of a few images takes."""
PARSERS = {"msgspec", "pycocotools"}

RUN = """
import json, sys
{base}
known = set(sys.modules)
from anydet.cli import main
try:
    main({arguments!r}, standalone_mode=False)
except SystemExit:
    pass
plain = [n for n, m in sys.modules.items() if n.startswith("anydet") and hasattr(m, "dataclass")]
standard = [n for n in plain if sys.modules[n].dataclass is sys.modules["dataclasses"].dataclass]
print("\\n" + json.dumps([sorted(set(sys.modules) - known), standard]))
"""
compiled_engine = pytest.mark.skipif(not find_spec("anydet_fasteval"), reason="anydet-fasteval is not built")


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, str]:
    """Three images: annotations, COCO results and predictions."""
    folder = tmp_path_factory.mktemp("three")
    images = [{"id": i, "file_name": f"{i}.jpg", "width": 64, "height": 48} for i in (1, 2, 3)]
    boxes = [{"image_id": i, "category_id": 1, "bbox": [4, 5, 20, 10]} for i in (1, 2, 3)]
    truth = [{"id": i, "area": 200, "iscrowd": 0, **box} for i, box in enumerate(boxes, start=1)]
    box = {"cx": 0.5, "cy": 0.5, "w": 0.2, "h": 0.3}
    written = {
        "truth": {"images": images, "annotations": truth, "categories": [{"id": 1, "name": "thing"}]},
        "results": [{**box, "score": 0.5} for box in boxes],
        "predictions": [
            {"image": image["file_name"], "detections": [{"class_id": 0, "score": 0.5, "bbox": box}]}
            for image in images
        ],
    }
    for name, content in written.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return {name: str(folder / f"{name}.json") for name in written}


def run(arguments: list[str], base: str) -> tuple[set[str], list[str]]:
    """Modules that a command imports beside those of ``base``; those of ours that use slow dataclasses."""
    code = RUN.format(base=base, arguments=arguments)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules, standard = json.loads(done.stdout.splitlines()[-1])
    # Finders of packages under development import what installed ones do without.
    return {name for name in modules if not name.startswith(("_editable", "__editable"))}, standard


CLICK, NUMPY = "import click", "import click, numpy"


@pytest.mark.parametrize(
    ("line", "base", "budget", "forbidden"),
    [
        ("--version", CLICK, 5, HEAVY | PARSERS | {"numpy", "pluggy"}),
        ("--help", CLICK, 33, HEAVY | PARSERS | {"numpy"}),
        ("adapters list", CLICK, 43, HEAVY - {"rich"} | PARSERS | {"numpy"}),
        ("validate-predictions {predictions}", NUMPY, 85, HEAVY),
        pytest.param(
            "eval-coco --dataset {truth} --predictions {results}",
            NUMPY,
            118,
            HEAVY | {"msgspec", "anydet_bop.dataset", "anydet_delftbikes.dataset", "anydet.data.yolo"},
            marks=compiled_engine,
        ),
    ],
    ids=lambda value: value.split(" {")[0] if isinstance(value, str) and value not in {CLICK, NUMPY} else "",
)
def test_a_command_imports_what_its_path_needs(files, line, base, budget, forbidden):
    modules, standard = run([word.format(**files) for word in line.split()], base)
    assert not sorted(modules & forbidden)
    assert not standard, "they define dataclasses with anydet.dataclass, at a tenth of the time"
    ours = sorted(name for name in modules if name.startswith("anydet"))
    assert len(ours) <= budget, "\n".join(ours)
