"""Which form of a sentence a number takes: the cardinal rules of Unicode CLDR 48 for whole numbers.

The browser has the same rules in `Intl.PluralRules`; a language that is not listed here has the two forms of English.
"""

from __future__ import annotations

FORMS = ("one", "few", "many", "other")

_NONE = frozenset({"id", "ja", "ko", "ms", "th", "vi", "zh"})
_BELOW_TWO = frozenset({"fr", "hy", "pt"})
_EAST_SLAVIC = frozenset({"be", "ru", "uk"})
_WEST_SLAVIC = frozenset({"cs", "sk"})


def form_of(language: str, count: int) -> str:
    """`form_of("de", 1)` -> `one`; `form_of("pl", 3)` -> `few`. `language`: a tag, of which the first part counts."""
    first = language.partition("-")[0]
    if first in _NONE:
        return "other"
    if first in _BELOW_TWO:
        return "one" if count in (0, 1) else "other"
    if first in _WEST_SLAVIC:
        return "one" if count == 1 else "few" if 2 <= count <= 4 else "other"
    few = count % 10 in (2, 3, 4) and count % 100 not in (12, 13, 14)
    if first == "pl":
        return "one" if count == 1 else "few" if few else "many"
    if first in _EAST_SLAVIC:
        one = count % 10 == 1 and count % 100 != 11
        return "one" if one else "few" if few else "many"
    return "one" if count == 1 else "other"
