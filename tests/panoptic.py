"""A panoptic data set of one image, and predictions of it, as COCO has them."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

PANOPTIC = ("annotations", "found", "found.json")
"""What ``write_panoptic`` writes."""


def write_panoptic(folder: Path) -> None:
    """A cat in the sky, both of which are found; JSON beside PNG files."""
    categories = [{"id": 1, "name": "cat", "isthing": 1}, {"id": 2, "name": "sky", "isthing": 0}]
    segments = [
        {"id": 7, "category_id": 2, "area": 128, "bbox": [0, 0, 16, 12], "iscrowd": 0},
        {"id": 70000, "category_id": 1, "area": 64, "bbox": [4, 2, 8, 8], "iscrowd": 0},
    ]
    drawn = Image.new("RGB", (16, 12), (7, 0, 0))
    drawn.paste((70000 & 255, 70000 >> 8 & 255, 70000 >> 16), (4, 2, 12, 10))
    annotation = {"image_id": 1, "file_name": "1.png", "segments_info": segments}
    image = {"id": 1, "file_name": "1.jpg", "width": 16, "height": 12}
    truth = {"images": [image], "annotations": [annotation], "categories": categories}
    found = {"annotations": [annotation]}
    for name, content in (("annotations/panoptic_val2017", truth), ("found", found)):
        (folder / name).mkdir(parents=True)
        drawn.save(folder / name / "1.png")
        (folder / f"{name}.json").write_text(json.dumps(content))
