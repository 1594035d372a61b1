#!/usr/bin/env python3
"""What a network on painted defects would bring: the rule's answer, and what real defects say of it afterwards.

    python tests/bench/results_net.py                   the tiles and one camera of a simulated plant; prints a table
    python tests/bench/results_net.py tiles --steps 50  one set, and networks taught less

Needs torch (`pip install '.[train]'`), and some minutes for each set. Run by hand: of the networks that the rule leaves
out nothing else remains. Both networks that the rule decides by are shown, each in NetDecision's share of the score.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from vision_figures import Floats, Told, told
from vision_sets import PictureSet, Shot, frames_of, plant, split, tiles
from written_table import machine

from vision.eye.scales import fit_scales
from vision.network import train as net_train
from vision.network.eyes import FRAMES_MAX, Held, Tried, hold, try_halves
from vision.network.model import TrainedNet
from vision.network.rule import HALVES, SHARE
from vision.network.trial import net_graph, net_map, net_score
from vision.training.folds import assign_folds
from vision.training.held_out import HeldOutEyes, learn_held_out
from vision.training.options import PIXELS_MAX
from vision.training.pictures import TrainingPictures

PLANT_CAMERA = "plant face"
SEED = 0


@dataclass(frozen=True, slots=True)
class Judged:
    """Scores of frames that trained nothing: by the eye, and by each of the two networks."""

    eye: Floats
    nets: Sequence[Floats]


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="What a network would bring.")
    parser.add_argument("sets", nargs="*", help="beginnings of the names of sets; all without")
    parser.add_argument("--steps", type=int, help="of training; fewer are quicker and teach less")
    asked = parser.parse_args(arguments)
    if asked.steps:
        net_train.STEPS = net_train._STEPS_MIN = asked.steps
    net_train.require_torch()
    with tempfile.TemporaryDirectory() as scratch:
        lines = [line for one in _sets(asked.sets, Path(scratch)) for line in measure(one)]
    print("| set | network taught on | AUROC eye / with it / it alone | recall at 2 % false alarms | ms a frame |")
    print("|---|---|---|---|---|")
    print("\n".join(lines))
    print(f"\nWith it: {SHARE:.0%} of the score. Measured on {machine()}.")
    return 0


def _sets(asked: Sequence[str], scratch: Path) -> list[PictureSet]:
    """Those asked for, all without; the plant is simulated only when it is among them."""
    wanted = {name for name in ("tiles", PLANT_CAMERA) if not asked or any(name.startswith(begin) for begin in asked)}
    found = [*([tiles()] if "tiles" in wanted else []), *(plant(scratch / "plant") if PLANT_CAMERA in wanted else [])]
    return [one for one in found if one is not None and one.name in wanted]


def measure(pictures: PictureSet) -> list[str]:
    """The rows of one set's table; the rule's sentence is printed at once."""
    parts = split(pictures, SEED)
    frames = frames_of(parts.train)
    good = [True] * len(frames)
    loader = TrainingPictures.of(frames, good, PIXELS_MAX)
    assert loader is not None
    folds, number = assign_folds(frames, good)
    loader = loader.posed(frames, good, folds)
    eyes = learn_held_out(frames, good, folds, number, loader)
    assert eyes is not None
    began = time.process_time()
    shown = hold(eyes, frames, range(len(frames)), FRAMES_MAX, folds, loader)
    tried = try_halves(eyes, shown, [], lambda line: print(f"{pictures.name}: {line}", file=sys.stderr))
    spent = time.process_time() - began
    kept = "keeps" if tried.decision.kept else "leaves out"
    print(f"{pictures.name}: the rule {kept} the network: {tried.decision.why} ({spent:.0f} s CPU)\n", flush=True)
    judged = [_held_of(eyes, loader, shots) for shots in (parts.good, parts.bad)]
    return _rows(pictures.name, tried, *(_judge(eyes, shown, tried.nets, held) for held in judged), judged[0])


def _held_of(eyes: HeldOutEyes, loader: TrainingPictures, shots: Sequence[Shot]) -> list[Held]:
    """Of frames that no fold has seen, every fold's eye may be asked: the first is."""
    frames = frames_of(shots)
    return hold(eyes, frames, range(len(frames)), len(frames), [0] * len(frames), loader)


def _judge(eyes: HeldOutEyes, shown: Sequence[Held], nets: Sequence[TrainedNet], held: Sequence[Held]) -> Judged:
    scales = fit_scales([eyes.tops(one.fold, one.feed) for one in shown], detail=False)
    rows, columns = held[0].feed.frame.shape
    graphs = [net_graph(net, (rows, columns)) for net in nets]
    scored = [np.array([net_score(net_map(graph, one.feed.frame)) for one in held]) for graph in graphs]
    return Judged(np.array([scales.score(eyes.tops(one.fold, one.feed)) for one in held]), scored)


def _rows(name: str, tried: Tried, good: Judged, bad: Judged, held: Sequence[Held]) -> list[str]:
    lines = []
    for half, kinds in enumerate(HALVES):
        eye = [_spreads(one.eye, good.eye) for one in (good, bad)]
        net = [_spreads(one.nets[half], good.nets[half]) for one in (good, bad)]
        both = [(1 - SHARE) * a + SHARE * b for a, b in zip(eye, net, strict=True)]
        ways: list[Told] = [told(*pair) for pair in (eye, both, net)]
        areas, found = _cells([one.auroc for one in ways]), _cells([one.recall for one in ways])
        lines.append(f"| {name} | {', '.join(kinds)} | {areas} | {found} | {_ms(tried.nets[half], held):.1f} |")
    return lines


def _cells(shares: Sequence[float]) -> str:
    return " / ".join(f"{100 * share:.1f}" for share in shares)


def _spreads(scores: Floats, good: Floats) -> Floats:
    return (scores - good.mean()) / good.std()


def _ms(net: TrainedNet, held: Sequence[Held]) -> float:
    """CPU of the network alone, median."""
    rows, columns = held[0].feed.frame.shape
    graph, taken = net_graph(net, (rows, columns)), []
    for one in held[:60]:
        began = time.process_time()
        net_map(graph, one.feed.frame)
        taken.append(time.process_time() - began)
    return 1000 * float(np.median(taken))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
