"""The scan's incidents in plain words, with the figures behind them."""

from __future__ import annotations

from collections.abc import Sequence

from fusion.causes.origins import PAIR

_COUNTED = {"defects": "defects among {parts} labelled parts", "flags": "flags among {parts} parts"}


def name_of(cause: Sequence[str]) -> str:
    """A cause in CONTRACT's words; "" for an excess of all parts alike."""
    return PAIR.join(sorted(cause))


def say_excess(cause: Sequence[str], ties: Sequence[Sequence[str]], counts: dict[str, tuple[int, int, float]]) -> str:
    """`counts`: signal -> (observed, parts, expected)."""
    whose = f"Parts with {name_of(cause)}" if cause else "All parts alike"
    figures = " and ".join(
        f"{observed} {_COUNTED[signal].format(parts=parts)} where {expected:.1f} are usual of such parts "
        f"({observed / max(expected, 1e-9):.1f} times)"
        for signal, (observed, parts, expected) in counts.items()
    )
    told = f"{whose}: {figures}."
    if ties:
        others = ", ".join(name_of(tie) or "all parts" for tie in ties)
        told += f" On these parts it cannot be told apart from {others}."
    if not cause:
        return told + " No single attribute explains it: look for what changed for the whole line."
    return told + " Look there first, and hold the parts exposed to it."
