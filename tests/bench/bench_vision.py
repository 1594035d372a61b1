#!/usr/bin/env python3
"""How fast an eye looks: CPU of each step of a 256 x 256 frame on one thread, two processes, and the same by Anomalib.

    python tests/bench/bench_vision.py            prints the table and rewrites it in deploy/measured.md
    python tests/bench/bench_vision.py --print    leaves the document alone

Everything is measured in one run, in turns, on the same drawn frames (a drilled plate of brushed metal, as JPEG). With
Anomalib installed its exported models do the same task: an encoded frame in, a score and a heatmap as PNG out.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from anomalib_models import Task, tasks
from written_table import MarkersMissing, machine, markdown_table, write_table

from ingest.errors import BadInput
from ingest.messages import Frame, Instant
from models.open import OpenModel
from vision.eye.notes import EYE_FILE, EyeNotes, open_eye
from vision.feed import feed_of
from vision.image import decode
from vision.inspect import Eyes, blank_findings, eye_feed, report, see
from vision.network.train import train_net
from vision.network.trial import net_graph, net_map
from vision.regions import heatmap_png
from vision.train import train_eyes
from vision.training.folds import TrainingFrame
from vision.training.options import PIXELS_MAX

SIDE = 256
CAMERA = "eye"
_TRAINED, _LOOKED = 32, 10
_ROUNDS = 9
_FRAMES_EACH = 100  # by each process, to see what a second one adds
WHOLE = "all: an encoded frame in, findings and heatmap out"


@dataclass(frozen=True, slots=True)
class Pace:
    """Frames a second by wall clock of one process and of two at once."""

    one: float
    two: float


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="How fast an eye looks.")
    parser.add_argument("--print", action="store_true", help="leave the document alone")
    asked = parser.parse_args(arguments)
    bodies = [drawn(seed) for seed in range(_TRAINED + _LOOKED)]
    with tempfile.TemporaryDirectory() as scratch:
        shelf = Path(scratch)
        train_eyes([_frame(number, body) for number, body in enumerate(bodies[:_TRAINED])], shelf, lambda _: None)
        model, notes = open_eye(shelf, CAMERA)
        print("the eye is trained", flush=True)
        others = tasks(bodies)
        if others is None:
            print("Anomalib is not installed: measured without it")
        text = _table(_steps(model, notes, bodies), bodies[_TRAINED:], shelf, others)
    print(text)
    if not asked.print:
        try:
            write_table("bench-vision", text)
        except MarkersMissing as error:
            print(error, file=sys.stderr)
            return 2
    return 0


def drawn(seed: int) -> bytes:
    """A good part, JPEG: grain, light and place vary."""
    rng = np.random.default_rng(seed)
    grain = cv2.GaussianBlur(rng.normal(0, 30, (SIDE, SIDE)), (0, 0), sigmaX=0.8, sigmaY=4)
    pixels = np.clip(120 * rng.uniform(0.9, 1.1) + 2 * grain + np.linspace(-10, 10, SIDE), 0, 255).astype(np.uint8)
    cv2.circle(pixels, (SIDE // 4 + int(rng.integers(-3, 4)), SIDE // 2), SIDE // 8, 40, -1)
    return cv2.imencode(".jpg", pixels)[1].tobytes()


def _frame(number: int, body: bytes) -> TrainingFrame:
    moment = Instant(1_700_000_000_000 + 1000 * number)
    return TrainingFrame(
        f"{number}", "L", "S", CAMERA, f"P{number}", f"B{number % 6}", "plate", moment, lambda: body, True
    )


def _served(body: bytes) -> Frame:
    return Frame("P", "L", CAMERA, Instant(1_700_000_000_000), "image/jpeg", body, "S")


Look = Callable[[bytes, dict[str, float]], None]


def _steps(model: OpenModel, notes: EyeNotes, bodies: Sequence[bytes]) -> list[Look]:
    """What adds its CPU seconds of one frame to a dictionary, step by step."""

    def eye(body: bytes, spent: dict[str, float]) -> None:
        moments = [time.process_time()]
        picture = decode(body, PIXELS_MAX, notes.colour)
        moments.append(time.process_time())
        feed = eye_feed(picture, model, notes)
        moments.append(time.process_time())
        outputs = model.run(EYE_FILE, feed.inputs)
        moments.append(time.process_time())
        sight = see(picture, feed, outputs)
        moments.append(time.process_time())
        frame = _served(body)
        report(blank_findings(frame, frame.captured_at), sight, notes, model.model_name)
        heatmap_png(sight.odd, notes.box_cut)
        moments.append(time.process_time())
        decoded, fitted, run, measured, reported = np.diff(moments)
        spent["decode"] += decoded
        spent["fit to the eye, fitness"] += fitted + measured
        spent["graph"] += run
        spent["boxes, heatmap"] += reported
        spent[WHOLE] += moments[-1] - moments[0]

    return [eye, *_network(notes, bodies)]


def _network(notes: EyeNotes, bodies: Sequence[bytes]) -> list[Look]:
    """The optional network (`train --net`) alone, where torch is there to make one; its weights do not matter."""
    frames = [feed_of(decode(body, PIXELS_MAX), notes.optics).frame for body in bodies[:8]]
    try:
        graph = net_graph(train_net(frames, 0, lambda _: None, steps=2), (notes.rows, notes.columns))
    except BadInput:
        print("torch is not installed: the optional network is not measured")
        return []

    def network(_: bytes, spent: dict[str, float]) -> None:
        began = time.process_time()
        net_map(graph, frames[0])
        spent["the optional network, beside the graph"] += time.process_time() - began

    return [network]


def _other(name: str, task: Task) -> Look:
    def look(body: bytes, spent: dict[str, float]) -> None:
        began = time.process_time()
        task(body)
        spent[name] += time.process_time() - began

    return look


def _table(
    steps: list[Look], bodies: Sequence[bytes], shelf: Path, others: dict[str, Callable[[bytes], bytes]] | None
) -> str:
    named = {f"Anomalib {name}, the same": task for name, task in (others or {}).items()}
    print("measuring", flush=True)
    rounds = _in_turns([*steps, *(_other(name, task) for name, task in named.items())], bodies)
    lines = [[name, f"{1000 * float(np.median(spent)) / len(bodies):.2f}"] for name, spent in rounds.items()]
    if named:
        fastest = min(named, key=lambda name: float(np.median(rounds[name])))
        ratio = np.median(np.asarray(rounds[WHOLE]) / np.asarray(rounds[fastest]))
        lines.append([f"ratio to the fastest of them ({fastest.split(',')[0]})", f"{ratio:.2f}"])
    pace = _pace(shelf, list(bodies))
    lines.append(["frames a second, one process; two", f"{pace.one:.0f}; {pace.two:.0f}"])
    said = "" if named else " Anomalib was not installed."
    return f"{markdown_table(['a 256 x 256 frame, one thread', 'CPU ms'], lines)}\n\nMeasured on {machine()}.{said}"


def _in_turns(looks: Sequence[Look], bodies: Sequence[bytes]) -> dict[str, list[float]]:
    """Name -> CPU seconds of all frames, round by round; the first round warms up and is left out."""
    rounds: dict[str, list[float]] = defaultdict(list)
    for number in range(_ROUNDS + 1):
        spent: dict[str, float] = defaultdict(float)
        for look in looks:
            for body in bodies:
                look(body, spent)
        for name, seconds in spent.items() if number else ():
            rounds[name].append(seconds)
    return rounds


def _pace(shelf: Path, bodies: list[bytes]) -> Pace:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        list(pool.map(_many, [(shelf, bodies, 1)] * 2))  # both are up
        began = time.perf_counter()
        pool.submit(_many, (shelf, bodies, _FRAMES_EACH)).result()
        one = time.perf_counter() - began
        began = time.perf_counter()
        list(pool.map(_many, [(shelf, bodies, _FRAMES_EACH)] * 2))
        two = time.perf_counter() - began
    return Pace(_FRAMES_EACH / one, 2 * _FRAMES_EACH / two)


def _many(job: tuple[Path, list[bytes], int]) -> None:
    shelf, bodies, count = job
    eyes = Eyes.open(shelf, [CAMERA])
    for number in range(count):
        frame = _served(bodies[number % len(bodies)])
        eyes.inspect(frame, frame.captured_at)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
