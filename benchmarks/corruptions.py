#!/usr/bin/env python3
"""The 15 corruptions beside the package ``imagecorruptions-imaug``, in one run.

    python benchmarks/corruptions.py
    python benchmarks/corruptions.py --image photo.jpg --severity 3 --rounds 11

Both corrupt the same image in turns, at each severity; the median CPU time of all rounds is compared. Both
draw their own random numbers: the package from ``numpy.random``, anydet from a ``Generator`` of seed and key.
What happens once is done before: numba compiles the package's glass blur, and anydet reads the textures of
frost (the package reads one each time, which is counted).
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from anydet.data.corruptions.corruption import NAMES, SEVERITIES, Corruption


def photograph() -> np.ndarray:
    """(480, 640, 3) uint8: smooth areas, edges and grain, as photographs have them."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:480, :640]
    smooth = np.stack([128 + 70 * np.sin(x / 90 + k) * np.cos(y / (70 + 9 * k)) for k in range(3)], axis=-1)
    for _ in range(60):
        left, top = rng.integers(0, 600), rng.integers(0, 440)
        width, height = rng.integers(8, 160, 2)
        smooth[top : top + height, left : left + width] = rng.integers(0, 256, 3)
    return np.clip(smooth + rng.normal(0, 4, smooth.shape), 0, 255).astype(np.uint8)


def cpu_ms(call: Callable[[], object]) -> float:
    """CPU milliseconds of a call, of all threads."""
    start = time.process_time()
    call()
    return 1000 * (time.process_time() - start)


def main() -> None:
    """Print a row for each corruption."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--image", type=Path, help="image to corrupt; a synthetic one of 640 x 480 by default"
    )
    parser.add_argument("--severity", type=int, choices=SEVERITIES, help="one severity instead of all")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    try:
        import imagecorruptions
    except ImportError as exc:
        raise SystemExit(f"{exc}: run it in the environment of make bench") from exc
    image = photograph() if args.image is None else np.array(Image.open(args.image).convert("RGB"))
    severities = SEVERITIES if args.severity is None else (args.severity,)
    print(f"{image.shape[1]} x {image.shape[0]} pixels, severities {severities}, {args.rounds} rounds")
    print(f"{'corruption':<20}{'package':>12}{'anydet':>12}{'ratio':>8}")
    sums = [0.0, 0.0]
    for name in NAMES:
        theirs: list[float] = []
        ours: list[float] = []
        for number in range(args.rounds + 1):
            for severity in severities:
                corruption = Corruption(name, severity, number)
                a = cpu_ms(lambda s=severity, n=name: imagecorruptions.corrupt(image, s, n))
                b = cpu_ms(lambda c=corruption: c.apply(image, "a.jpg"))
                if number:
                    theirs.append(a)
                    ours.append(b)
        a, b = statistics.median(theirs), statistics.median(ours)
        sums = [sums[0] + a, sums[1] + b]
        print(f"{name:<20}{a:>9.1f} ms{b:>9.1f} ms{a / b:>7.1f}x", flush=True)
    print(f"{'all':<20}{sums[0]:>9.1f} ms{sums[1]:>9.1f} ms{sums[0] / sums[1]:>7.1f}x")


if __name__ == "__main__":
    main()
