"""An image as a model's input, 640 px letterboxed: ours beside ultralytics' and supervision's own code.

From (H, W, 3) uint8 pixels in memory to (1, 3, 640, 640) float32 in 0..1, one thread each, in turn.
What supervision leaves to its users (a float tensor of channels) is done by numpy. Resizing is OpenCV's in
all of them, and so all give the same, but for images that supervision makes a row too small, as it cuts what
it should round. Those that are not installed are left out:

    pip install --no-deps -r benchmarks/bare-requirements.txt
    python benchmarks/preprocess.py --dataset ../shared/data/coco128
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import anydet
from anydet.plugins.preprocess import Preprocess
from anydet.runtime.preprocess import Preprocessor

SIDE = 640
HOW = Preprocess("letterbox-center", (SIDE, SIDE), divisor=255.0)
Contestant = Callable[[Any], Any]


def ours() -> Contestant:
    """As every runtime adapter prepares images."""
    preprocessor = Preprocessor(HOW, np.float32)
    return lambda rgb: preprocessor.batch([rgb])[0]


def by_numpy() -> Contestant:
    """A letterbox of OpenCV, then numpy: the lines that most scripts have."""

    def run(rgb: Any) -> Any:
        height, width = rgb.shape[:2]
        ratio = min(SIDE / height, SIDE / width)
        wide, high = round(width * ratio), round(height * ratio)
        resized = cv2.resize(rgb, (wide, high)) if (wide, high) != (width, height) else rgb
        left, top = (SIDE - wide) // 2, (SIDE - high) // 2
        borders = top, SIDE - high - top, left, SIDE - wide - left
        padded = cv2.copyMakeBorder(resized, *borders, cv2.BORDER_CONSTANT, value=(114, 114, 114))
        return np.ascontiguousarray(padded.transpose(2, 0, 1)[None], np.float32) / np.float32(255)

    return run


def of_ultralytics() -> Contestant:
    """``LetterBox`` and what ``BasePredictor.preprocess`` does then, on the CPU; it takes BGR."""
    import torch
    from ultralytics.data.augment import LetterBox

    torch.set_num_threads(1)
    letterbox = LetterBox((SIDE, SIDE), auto=False)

    def run(rgb: Any) -> Any:
        image = torch.from_numpy(letterbox(image=rgb[..., ::-1])).unsqueeze(0)
        image = image.permute(0, 3, 1, 2).contiguous().flip(1)
        return image.float().div_(255).numpy()

    return run


def of_supervision() -> Contestant:
    """``letterbox_image``, then numpy."""
    import supervision

    color = supervision.Color(114, 114, 114)

    def run(rgb: Any) -> Any:
        padded = supervision.letterbox_image(rgb, (SIDE, SIDE), color)
        return np.ascontiguousarray(padded.transpose(2, 0, 1)[None], np.float32) / np.float32(255)

    return run


CONTESTANTS = {
    "anydet": ours,
    "OpenCV and numpy": by_numpy,
    "ultralytics": of_ultralytics,
    "supervision": of_supervision,
}


def installed() -> dict[str, Contestant]:
    """Those that are there."""
    found = {}
    for name, make in CONTESTANTS.items():
        try:
            found[name] = make()
        except ImportError as exc:
            print(f"without {name}: {exc}")
    return found


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--max-images", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    dataset = anydet.open_dataset(arguments.dataset)
    images = [dataset[i].image() for i in range(min(len(dataset), arguments.max_images))]
    contestants = installed()
    names = list(contestants)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    furthest = dict.fromkeys(names, 0.0)
    for image in images:
        expected = contestants["anydet"](image)
        for name, contestant in contestants.items():
            furthest[name] = max(furthest[name], float(np.abs(contestant(image) - expected).max()))
    for number, image in enumerate(images * arguments.rounds):
        for i in range(len(names)):
            name = names[(i + number) % len(names)]
            wall, cpu = time.perf_counter(), time.process_time()
            contestants[name](image)
            times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    measured = {name: np.array(values) for name, values in times.items()}
    print(f"{len(images)} images, {arguments.rounds} rounds")
    print("| | CPU ms an image, median | theirs / ours: CPU [quartiles] | wall | largest difference |")
    print("|---|---|---|---|---|")
    base = measured["anydet"]
    for name, values in measured.items():
        cpu, wall = (np.percentile(values[:, i] / base[:, i], [50, 25, 75]) for i in (1, 0))
        print(
            f"| {name} | {1000 * np.median(values[:, 1]):.2f} | {cpu[0]:.2f} [{cpu[1]:.2f}, {cpu[2]:.2f}] | "
            f"{wall[0]:.2f} | {furthest[name]:.2g} |"
        )


if __name__ == "__main__":
    main()
