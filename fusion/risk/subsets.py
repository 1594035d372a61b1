"""Which sets of sources get a model of their own, and which model speaks for the set a part came with.

A whole source is never imputed: measured, an image-only part scored by an imputing model has AUC .60 instead of .90.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

Sources = frozenset[str]

SUBSETS_MAX = 14  # models of one gate; each costs seconds of training and 1 to 3 MB
FREQUENT_SHARE = 0.02  # a set this frequent in history is worth its own model


def wanted_subsets(sources: Sequence[str], seen: Sequence[Sources]) -> list[Sources]:
    """The sets to train on, most important first: all sources, none, each kind missing, each source missing, and
    whatever history shows often. `seen`: the set each training part came with."""
    full = frozenset(sources)
    wanted = [full, frozenset[str]()]
    kinds = sorted({kind_of(source) for source in sources})
    wanted += [frozenset(s for s in sources if kind_of(s) != kind) for kind in kinds]
    common = [s for s, n in Counter(seen).most_common(SUBSETS_MAX) if n >= FREQUENT_SHARE * len(seen)]
    wanted += [s & full for s in sorted(common, key=lambda s: (-len(s), sorted(s)))]
    wanted += [full - {source} for source in sources]
    return list(dict.fromkeys(wanted))[:SUBSETS_MAX]


def speaking_subset(usable: Sources, trained: Sequence[Sources]) -> int | None:
    """Index of the largest trained set whose sources are all usable, the first of equals; None when there is none."""
    fitting = [i for i, sources in enumerate(trained) if sources <= usable]
    return max(fitting, key=lambda i: (len(trained[i]), -i), default=None)


def kind_of(source: str) -> str:
    """`camera` or `sensors`."""
    return source.split(":", 1)[0]
