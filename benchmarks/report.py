#!/usr/bin/env python3
"""Size of a report, seconds to write it, and to open it in headless Chromium; the same of what browse serves.

    python benchmarks/report.py --photos ../shared/data/coco128 --images 5000 --each 100 --models 1
    python benchmarks/report.py --photos ../shared/data/coco128 --browse

Predictions and labels are those of ``work.py``; images are photos, one of those given for each image in turn,
so that pictures compress as photos do. Seconds to open are from the navigation to the page being drawn, with
counts and gallery, in a browser that has just started; the median of the rounds is printed. With ``--browse``
the page comes from ``anydet browse``: seconds from its start to its address, to open it, to a page of the
gallery that was not looked at before and to an image as a whole, and the most memory of the server.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright
from work import HEIGHT, WIDTH, make_work

from anydet.cli import main

IDLE_S = 0.5
"""How long a tab must have been without requests for Playwright to call it idle."""


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


def open_seconds(url: str, chromium: str, rounds: int) -> list[float]:
    """Seconds from the navigation to the drawn page, each in a new browser."""
    found = []
    with sync_playwright() as playwright:
        for _ in range(rounds):
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            tab = browser.new_page()
            start = time.perf_counter()
            tab.goto(url, wait_until="commit")
            tab.wait_for_selector("html[data-ready]")
            tab.wait_for_selector("#cards image")
            found.append(time.perf_counter() - start)
            browser.close()
    return found


def turn_seconds(url: str, chromium: str, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds to pages of the gallery that were not asked for before, and to images as a whole."""
    pages, wholes = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page()
        tab.goto(f"{url}#kind=all&step=0")
        tab.wait_for_selector("#cards image")
        for i in range(rounds):
            start = time.perf_counter()
            tab.get_by_label("Page", exact=True).fill(str(1000 * (i + 1)))
            tab.get_by_label("Page", exact=True).press("Enter")
            tab.wait_for_selector("#cards .waiting")
            tab.wait_for_function("() => !document.querySelector('#cards .waiting')")
            tab.wait_for_load_state("networkidle")
            pages.append(time.perf_counter() - start - IDLE_S)
            tab.locator("#cards button").first.click()
            start = time.perf_counter()
            tab.get_by_role("button", name="whole image").click()
            tab.wait_for_selector("dialog.whole svg image")
            tab.wait_for_load_state("networkidle")
            wholes.append(time.perf_counter() - start - IDLE_S)
            tab.keyboard.press("Escape")
        browser.close()
    return pages, wholes


def summarized(seconds: list[float]) -> str:
    """Median and range."""
    return f"{statistics.median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"


def cpu_seconds(pid: int) -> float:
    """What a process has used, by itself and in the kernel."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def browse(words: list[str], arguments: argparse.Namespace) -> None:
    """Serve, open, and print what that takes."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "anydet.cli", "browse", *words, "--no-open"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        try:
            print(f"serves after {time.perf_counter() - start:.1f} s, {cpu_seconds(server.pid):.1f} s of CPU")
            print(f"opens in {summarized(open_seconds(url, arguments.chromium, arguments.rounds))}")
            pages, wholes = turn_seconds(url, arguments.chromium, arguments.rounds)
            print(
                f"a page of the gallery in {summarized(pages)}, an image as a whole in {summarized(wholes)}"
            )
            (most,) = re.findall(r"VmHWM:\s+(\d+)", Path(f"/proc/{server.pid}/status").read_text())
            print(f"memory: {int(most) / 1e6:.2f} GB at most")
        finally:
            server.terminate()


def run() -> None:
    """Print one line a figure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, required=True, help="folder with photos (*.jpg)")
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--each", type=int, default=100, help="detections of an image")
    parser.add_argument("--models", type=int, default=1)
    parser.add_argument("--browse", action="store_true", help="serve the page instead of writing it")
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
        words = [*files, "--dataset", str(work.truth)]
        if arguments.browse:
            browse(words, arguments)
            return
        page, start = folder / "report.html", time.perf_counter()
        status = main(["report", *words, "--output", str(page)], standalone_mode=False)
        wrote = time.perf_counter() - start
        if status:
            sys.exit(status)
        print(f"{page.stat().st_size / 1e6:.1f} MB, written in {wrote:.1f} s")
        print(f"opens in {summarized(open_seconds(page.as_uri(), arguments.chromium, arguments.rounds))}")


if __name__ == "__main__":
    run()
