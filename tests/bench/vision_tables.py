"""The measured eyes as tables: per set, per kind of defect, per scorer, and the thresholds' promise."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from vision_figures import RESPLITS, Run, Told
from written_table import markdown_table


def tables(runs: Sequence[Run]) -> str:
    """Markdown, every table with a line above it that says how to read it."""
    sets = {run.pictures: [other for other in runs if other.pictures == run.pictures] for run in runs}
    seeds = len(next(iter(sets.values())))
    return "\n\n".join(
        (
            f"Per set: mean of {seeds} splits (lowest to highest). *recall*: of defects above what 2 % of the judged "
            "good frames exceed; *at its cut*: above the eye's own threshold, which knows none of them. *ms a frame*: "
            "CPU of one thread, with decoding.",
            _sets(sets),
            "Per kind of defect, against all good frames: AUROC of frames, recall at 2 % false alarms, AUROC of pixels "
            "where there are masks.",
            _kinds(sets),
            "Each scorer alone, and the score they make together: AUROC, recall at 2 % false alarms.",
            _scorers(sets),
            f"The threshold's promise: a cut from the good frames of half of the groups, measured on the other half, "
            f"{RESPLITS} times a split. *possible*: what so few frames allow; mean (90th percentile).",
            _promise(sets),
        )
    )


Sets = dict[str, list[Run]]


def _sets(sets: Sets) -> str:
    head = ["set", "learned from", "judged good, defect", "AUROC", "recall", "false alarms asked", "measured"]
    head += ["recall at its cut", "train CPU s", "ms a frame", "KB"]
    lines = []
    for name, runs in sets.items():
        first = runs[0]
        lines.append(
            [
                name,
                str(round(_mean(run.trained for run in runs))),
                f"{round(_mean(run.good for run in runs))}, {first.bad}",
                _ranged([run.all.auroc for run in runs], 3),
                _ranged([run.all.recall for run in runs], 2),
                f"{_mean(max(run.asked, run.promised) for run in runs):.1%}",
                _shares([run.flagged for run in runs]),
                f"{_mean(run.caught for run in runs):.2f}",
                f"{_mean(run.train_s for run in runs):.0f}",
                f"{_mean(run.look_ms for run in runs):.1f}",
                f"{_mean(run.kilobytes for run in runs):.0f}",
            ]
        )
    return markdown_table(head, lines)


def _kinds(sets: Sets) -> str:
    lines = []
    for name, runs in sets.items():
        for kind, count in runs[0].counts.items():
            both = _both([run.kinds[kind] for run in runs])
            pixels = _mean(run.pixels.get(kind, math.nan) for run in runs)
            lines.append([f"{name}: {kind}", str(count), *both, "-" if math.isnan(pixels) else f"{pixels:.3f}"])
    return markdown_table(["kind", "frames", "AUROC", "recall", "pixel AUROC"], lines)


def _scorers(sets: Sets) -> str:
    names = list(dict.fromkeys(name for runs in sets.values() for name in runs[0].scorers))
    lines = []
    for name, runs in sets.items():
        every = [[run.scorers.get(scorer) for run in runs] for scorer in names]
        alone = [" / ".join(_both([one for one in of if one is not None])) if None not in of else "-" for of in every]
        lines.append([name, *alone, " / ".join(_both([run.all for run in runs]))])
    return markdown_table(["set", *names, "together"], lines)


def _promise(sets: Sets) -> str:
    asked = [kept.asked for kept in next(iter(sets.values()))[0].promise]
    lines = []
    for name, runs in sets.items():
        line = [name]
        for place in range(len(asked)):
            of = [run.promise[place] for run in runs]
            possible, mean, high = (
                _mean(getattr(one, what) for one in of) for what in ("possible", "mean", "percentile_90")
            )
            line += [f"{possible:.1%}", f"{mean:.1%} ({high:.1%})"]
        lines.append(line)
    head = [text for share in asked for text in (f"asked {share:.0%}: possible", "measured")]
    return markdown_table(["set", *head], lines)


def _both(every: Sequence[Told]) -> list[str]:
    return [f"{_mean(one.auroc for one in every):.3f}", f"{_mean(one.recall for one in every):.2f}"]


def _mean(values: Iterable[float]) -> float:
    every = list(values)
    return sum(every) / len(every)


def _ranged(values: Sequence[float], digits: int) -> str:
    return f"{_mean(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def _shares(values: Sequence[float]) -> str:
    return f"{_mean(values):.1%} ({min(values):.1%} to {max(values):.1%})"
