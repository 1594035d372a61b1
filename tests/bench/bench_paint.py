#!/usr/bin/env python3
"""How soon a page can be read: the browser's own first contentful paint of every page, with many parts that wait.

    python tests/bench/bench_paint.py [--waiting N] [--print]

The API runs as a process of its own, the browser is a real Chromium on loopback; cold: its cache is empty, warm: it has
been on the page before. `list`: when the first row of a list stood there.
Rewrites its table in deploy/measured.md unless `--print`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from tests.api.conftest import until  # noqa: E402
from tests.api.factory import keep_evidence, make_findings, make_verdict, make_visit, publish, settings_at  # noqa: E402
from tests.bench.bench_store import fill  # noqa: E402
from tests.bench.written_table import machine, markdown_table, write_table  # noqa: E402
from tests.browser.pictures_plant import Plant, at_work  # noqa: E402
from tests.browser.pictures_scene import Scene  # noqa: E402

PAGES = {
    "the queue": "/",
    "a part, two cameras": "/parts/A1",
    "batches": "/batches",
    "exposed parts": "/exposed?cause=tool_id=T7",
    "quality": "/quality",
    "audit": "/audit",
    "people": "/people",
    "my account": "/account",
    "log in": "/login",
}
TURNS = 7
SEEN = "new MutationObserver(() => { if (!window.firstRow && document.querySelector('.row, tbody tr'))"
SEEN += " window.firstRow = performance.now(); }).observe(document, {childList: true, subtree: true});"
PAINTED = "const seen = performance.getEntriesByName('first-contentful-paint')[0]; return seen && seen.startTime"


@dataclass(frozen=True)
class Painted:
    """Milliseconds of one opening of a page: to its first contentful paint, to the first row of a list."""

    paint_ms: float
    row_ms: float | None


def open_page(scene: Scene, path: str, cold: bool) -> Painted:
    """Open a page, with an empty cache or with what the browser has."""
    if cold:
        scene.browser.execute_cdp_cmd("Network.clearBrowserCache", {})
    scene.open(path)
    until(lambda: scene.browser.execute_script(PAINTED), "the first paint")
    scene.settle()
    if path == "/":
        until(lambda: scene.browser.execute_script("return window.firstRow"), "the first row")
    row = scene.browser.execute_script("return window.firstRow")
    return Painted(float(scene.browser.execute_script(PAINTED)), None if row is None else float(row))


def row_of(scene: Scene, name: str, path: str) -> list[str]:
    """One row of the table: medians, and the slowest."""
    cold = [open_page(scene, path, cold=True) for _ in range(TURNS)]
    warm = [open_page(scene, path, cold=False) for _ in range(TURNS)]
    rows = [one.row_ms for one in warm if one.row_ms is not None]
    paints = [[one.paint_ms for one in turns] for turns in (cold, warm)]
    figures = [float(np.median(paints[0])), float(np.median(paints[1])), max(paints[0] + paints[1])]
    return [name, *(f"{figure:.0f}" for figure in figures), f"{np.median(rows):.0f}" if rows else "–"]


def add_a_full_part(plant: Plant) -> None:
    """A part that two cameras saw, with curves and causes, before all others."""
    frame_ref, heatmap_ref, evidence_ref = keep_evidence(plant.settings, "A1")
    seen = [
        make_findings("A1", camera_id=camera, frame_id=f"{camera}@1", frame_ref=frame_ref, heatmap_ref=heatmap_ref)
        for camera in ("top", "side")
    ]
    judged = make_verdict("A1", risk=0.999, evidence_ref=evidence_ref)
    with plant.log() as log, plant.asked_by("bench", "machine") as asking:
        publish(log, plant.settings, production=[make_visit("A1")], findings=seen, verdicts=[judged])
        until(lambda: asking.get("/api/parts/A1").status_code == 200, "the part in the store")


def measure(plant: Plant) -> list[list[str]]:
    """Every page, cold and warm."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    browser = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver") or ""))
    try:
        scene = Scene(browser, plant)
        scene.log_in("admin")
        browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": SEEN})
        return [row_of(scene, name, path) for name, path in PAGES.items()]
    finally:
        browser.quit()


def main() -> int:
    """Fill, open, print, write. Returns the exit status."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--waiting", type=int, default=100_000)
    asked.add_argument("--print", action="store_true", dest="only_print")
    given = asked.parse_args()
    with tempfile.TemporaryDirectory(prefix="qcfuse-bench-paint-") as folder:
        settings = settings_at(Path(folder) / "home")
        fill(settings.store, given.waiting, 0)
        with at_work(settings, "api") as plant:
            add_a_full_part(plant)
            table = markdown_table(("page", "cold, ms", "warm, ms", "slowest, ms", "first row, ms"), measure(plant))
        busy = f"load {os.getloadavg()[0]:.1f}"
        note = (
            f"First contentful paint, median of {TURNS} openings, while {given.waiting} parts wait; `first row`: of "
            f"the list, cache warm. {machine()}, {busy}."
        )
        print(f"{table}\n\n{note}")
        if not given.only_print:
            write_table("bench-paint", f"{table}\n\n{note}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
