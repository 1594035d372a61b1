"""Features that training proposes and keeps only where lots it has not seen say that they help.

What every part has (statistics of channels, golden cycles, cameras, attributes, history) stands. What is made from it
is proposed family by family. Differences and products of two channels' means (physics is made of them) stand unless
unseen lots are told better without; their ratios and phases of the cycle come in where unseen lots are told better with
them. Better is a log-loss that falls beyond luck, by the rule that also chooses between models.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import msgspec
import numpy as np
import numpy.typing as npt

from fusion.risk.features import PHASE, FeatureSpec, Floats, RowBuilder, derived_columns, pair_sign
from fusion.risk.fit import Examples, held_out_losses, is_better
from fusion.risk.fit_features import fit_fill
from fusion.risk.subsets import Sources

Progress = Callable[[str], None]
Kept = npt.NDArray[np.bool_]


#: Families in the order in which they are proposed, each judged beside what came in before it: does a derived column,
#: by its name and the sign of its pair ("" for none), belong to it?
PROPOSALS: Mapping[str, Callable[[str, str], bool]] = {
    "differences and products": lambda name, sign: sign in ("-", "*"),
    "ratios": lambda name, sign: sign == "/",
    "phases of the cycle": lambda name, sign: not sign and name.rsplit(":", 1)[-1] in PHASE,
}
STANDING = ("differences and products",)


def whole_examples(
    builder: RowBuilder,
    raw: Floats,
    usable: Sequence[Sources],
    defect: npt.NDArray[np.float64],
    groups: npt.NDArray[np.intp],
) -> Examples:
    """The labelled cases that came with every source, filled. `raw`: float32[n, raw columns]; `defect`: float64[n],
    NaN without a label; `groups`: int[n] lots."""
    features = builder.derive(raw)
    every = frozenset(builder.spec.sources)
    rows = np.array([every <= sources for sources in usable], dtype=np.bool_) & ~np.isnan(defect)
    filled = np.where(np.isnan(features), fit_fill(features), features)[rows]
    return Examples(filled, defect[rows] == 1.0, groups[rows])


def keep_helpful(spec: FeatureSpec, examples: Examples, progress: Progress) -> FeatureSpec:
    """The spec without the proposals that do not help. `examples`: labelled rows of the spec's features, filled.
    Where labels are too few to tell, all stay."""
    names = [column.name for column in derived_columns(spec)]
    families = {
        family: np.array([belongs(names[at], pair_sign(spec, at)) for at in spec.kept], dtype=np.bool_)
        for family, belongs in PROPOSALS.items()
    }
    families = {family: members for family, members in families.items() if members.any()}
    kept = np.ones(len(spec.kept), dtype=np.bool_)
    for family, members in families.items():
        kept &= ~members if family not in STANDING else True
    if not families or not kept.any() or not examples.learnable:
        return spec
    standing = held_out_losses(_only(examples, kept))
    for family, members in families.items():
        other = kept ^ members
        tried = held_out_losses(_only(examples, other)) if other.any() else standing
        if is_better(tried, standing, examples.groups):
            kept, standing = other, tried
        here = bool(np.any(kept & members))
        progress(f"  {family}: {int(members.sum())} proposed, {'kept' if here else 'no help on unseen lots'}")
    return msgspec.structs.replace(spec, kept=tuple(at for at, keep in zip(spec.kept, kept, strict=True) if keep))


def _only(examples: Examples, kept: Kept) -> Examples:
    features: Floats = examples.features[:, kept]
    return replace(examples, features=features)
