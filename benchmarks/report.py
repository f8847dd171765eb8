#!/usr/bin/env python3
"""Size of a report, seconds to write it, and to open it in headless Chromium.

    python benchmarks/report.py --photos ../shared/data/coco128 --images 5000 --each 100 --models 1

Predictions and labels are those of ``work.py``; images are photos, one of those given for each image in turn,
so that pictures compress as photos do. Seconds to open are from the navigation to the page being drawn, with
counts and gallery, in a browser that has just started; the median of the rounds is printed.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright
from work import HEIGHT, WIDTH, make_work

from anydet.cli import main


def write_photos(photos: Path, folder: Path, images: int) -> None:
    """One file for each image of the work: photos of its size, which are linked to under its names."""
    folder.mkdir()
    originals = []
    for path in sorted(photos.rglob("*.jpg"))[:64]:
        with Image.open(path) as photo:
            originals.append(folder / f"photo_{len(originals)}.jpg")
            photo.convert("RGB").resize((WIDTH, HEIGHT)).save(originals[-1], quality=90)
    for i in range(images):
        (folder / f"{i:012}.jpg").symlink_to(originals[i % len(originals)].name)


def open_seconds(page: Path, chromium: str, rounds: int) -> list[float]:
    """Seconds from the navigation to the drawn page, each in a new browser."""
    found = []
    with sync_playwright() as playwright:
        for _ in range(rounds):
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            tab = browser.new_page()
            start = time.perf_counter()
            tab.goto(page.as_uri(), wait_until="commit")
            tab.wait_for_selector("html[data-ready]")
            tab.wait_for_selector("#cards image")
            found.append(time.perf_counter() - start)
            browser.close()
    return found


def run() -> None:
    """Print one line a figure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, required=True, help="folder with photos (*.jpg)")
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--each", type=int, default=100, help="detections of an image")
    parser.add_argument("--models", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--chromium", default=shutil.which("chromium"), help="the browser")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        work = make_work(
            folder / "work", arguments.images, 7 * arguments.images, arguments.each * arguments.images
        )
        write_photos(arguments.photos, folder / "work/val", arguments.images)
        files = [str(work.results[0])] * arguments.models
        page, start = folder / "report.html", time.perf_counter()
        status = main(
            ["report", *files, "--dataset", str(work.truth), "--output", str(page)], standalone_mode=False
        )
        wrote = time.perf_counter() - start
        if status:
            sys.exit(status)
        print(f"{page.stat().st_size / 1e6:.1f} MB, written in {wrote:.1f} s")
        opened = open_seconds(page, arguments.chromium, arguments.rounds)
        print(f"opens in {statistics.median(opened):.2f} s ({min(opened):.2f} to {max(opened):.2f})")


if __name__ == "__main__":
    run()
