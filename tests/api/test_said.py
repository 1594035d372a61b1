"""Every sentence that a judge, a model or the collector can send to a screen has a form, and so a German."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest

from api.road import Heartbeat, model_missing, notices_of_roles
from api.wording import vocabulary
from api.wording.forms import MEASURES, PHRASES
from api.wording.languages import load_languages
from api.wording.phrases import say_sentence, say_sentences
from api.wording.reader import Reader, reading
from api.wording.words import say_certificate
from fusion.calibration.counts import Counts
from fusion.calibration.gate import _incident, _of_groups
from fusion.certificate.fit import _promise, _refusal
from fusion.drift.watched import Watched, say_watched
from fusion.novelty.gate import _SAID
from ingest.messages import Defect, Instant, Verdict

ROOT = Path(__file__).resolve().parents[2]
GERMAN = load_languages("no home").spoken["de"]
WORDS_MIN = 3  # of a piece of text that is a sentence's
SINCE = 1_767_225_600_000

#: Whose sentences reach a screen: all of them have a form.
SPEAK = (
    "fusion/calibration/gate.py",
    "fusion/cameras/words.py",
    "fusion/causes/good_only.py",
    "fusion/causes/ranking.py",
    "fusion/causes/suspects.py",
    "fusion/causes/witness.py",
    "fusion/certificate/fit.py",
    "fusion/certificate/standing.py",
    "fusion/decide.py",
    "fusion/drift/watched.py",
    "fusion/drift/words.py",
    "fusion/gate.py",
    "fusion/novelty/gate.py",
    "fusion/novelty/reading.py",
    "fusion/novelty/values.py",
    "fusion/scan/words.py",
    "models/open.py",
    "models/places.py",
    "vision/eye/notes.py",
)
#: Pieces of these that reach none.
NOT_SHOWN = (
    ": no escape rate is certified: ", "escapes of made parts (", "a graph in training", "a live version of",
    "has no version",
)  # fmt: skip
#: Who says nothing to a screen, and to whom it speaks instead.
SILENT = {
    "cards that lie beside a model": ("fusion/*/card.py", "vision/training/card.py", "vision/training/weak_spots.py",
                                      "fusion/certificate/promise.py", "vision/network/eyes.py",
                                      "vision/training/products.py", "vision/network/rule.py"),
    "what a command prints": ("fusion/train.py", "fusion/teach.py", "fusion/replay.py", "fusion/evaluate.py",
                              "fusion/cold_start/fit.py", "fusion/training/*.py", "vision/train.py", "vision/teach.py",
                              "vision/guests/*.py", "vision/network/train.py", "vision/network/model.py",
                              "vision/training/*.py", "vision/marks.py", "vision/overlay.py", "vision/tables.py"),
    "names of families of features, in the card": ("fusion/risk/proposals.py", "fusion/risk/families.py"),
}  # fmt: skip


def speakers() -> list[str]:
    """Every file of the rooms that write what is shown."""
    return sorted(
        str(path.relative_to(ROOT)) for room in ("fusion", "vision", "models") for path in (ROOT / room).rglob("*.py")
    )


def pieces(name: str) -> Iterator[str]:
    """Pieces of sentences that a file puts together, without its docstrings and what only a log reads."""
    tree = ast.parse((ROOT / name).read_text("utf-8"))
    told = {id(node.body[0].value) for node in ast.walk(tree) if _has_docstring(node)}  # type: ignore[attr-defined]
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and "ModelRefused" not in ast.unparse(node):
            told |= {id(one) for one in ast.walk(node)}  # an error of ours, or of the command line
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or id(node) in told:
            continue
        if len(re.findall(r"\b[a-z]{2,}\b", node.value)) >= WORDS_MIN and " " in node.value.strip():
            yield node.value


def _has_docstring(node: ast.AST) -> bool:
    body = getattr(node, "body", None)
    return (
        isinstance(body, list)
        and bool(body)
        and isinstance(body[0], ast.Expr)
        and isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
    )


def has_form(piece: str) -> bool:
    """Is it a piece of a form? What a format puts in its places does not matter."""
    bare = [one.strip(" ;:,(") for one in re.split(r"\{\w*\}", piece)]
    known = [re.sub(r"\{\w+\}", "\0", phrase) for phrase in (*PHRASES, *MEASURES)]
    return all(any(one in phrase for phrase in known) for one in bare if one)


@pytest.mark.parametrize("name", SPEAK)
def test_every_piece_of_a_sentence_that_is_shown_stands_in_a_form(name: str) -> None:
    lacking = [one for one in pieces(name) if not has_form(one) and not any(word in one for word in NOT_SHOWN)]
    assert lacking == []


def test_whoever_writes_sentences_is_known_to_be_shown_or_not() -> None:
    silent = [glob for globs in SILENT.values() for glob in globs]
    unknown = [
        name
        for name in speakers()
        if name not in SPEAK and not any(Path(name).match(glob) for glob in silent) and list(pieces(name))
    ]
    assert unknown == [], "its sentences need a form (api/wording/forms.py), or it a line in SILENT"


def in_german(sentence: str) -> str:
    with reading(Reader(GERMAN)):
        return say_sentence(sentence)


def is_german(told: str, said: str) -> bool:
    """Said in German, with every figure of the record?"""
    figures = [one for one in re.findall(r"\d+", re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "", told)) if one not in said]
    return said != told and not figures and not re.search(r"\b(the|of|would|than|most|parts)\b", said)


def correction(**changes: Any) -> Any:
    told: dict[str, Any] = {"tilt": 0.0, "offsets": {}, "labels": 420, "lots": 31, "shift": 0.7, "since": SINCE}
    return SimpleNamespace(**(told | changes))


def miscalibrated(**changes: Any) -> str:
    memory: Any = SimpleNamespace(since=SINCE, corrections=[correction(**changes)])
    counts: Any = SimpleNamespace(
        parts=np.array([[300.0, 120.0]]), defects=np.array([[9.0, 21.0]]), own=np.array([-3.0, -2.0]), at=[1, 2, 3]
    )
    assert {"parts", "defects", "own", "at"} <= set(dir(Counts)) | set(get_type_hints(Counts))
    return str(_incident(memory, counts, "L1", "EOL").what)


@pytest.mark.parametrize("tilt", [0.0, -0.3, 0.3])
@pytest.mark.parametrize("group", ["", "without=", "without=camera:top", "product=HSG-4"])
def test_risks_that_do_not_mean_what_they_say_are_told(tilt: float, group: str) -> None:
    told = miscalibrated(tilt=tilt, offsets={group: (0.4, 0.1)} if group else {})
    assert _of_groups(correction()) == ""
    said = in_german(told)
    assert is_german(told, said), said
    assert ("Teilen ohne Kamera top" in said) == (group == "without=camera:top")


def bound(upper: float) -> Any:
    lots: Any = SimpleNamespace(
        sizes=np.full(30, 100.0), upper=np.full(9, upper), spread=SimpleNamespace(sd=0.4, high=0.5)
    )
    lots.lots_of_escapes = np.zeros(9, dtype=np.int64)
    return lots


@pytest.mark.parametrize(("at", "upper", "base"), [(2, 0.012, 0.3), (2, 0.012, 0.001), (90, 0.5, 0.9), (0, 0.009, 0.2)])
def test_why_nothing_is_certified_is_told(at: int, upper: float, base: float) -> None:
    lots = bound(upper)
    lots.upper = np.full(at + 1, upper)
    lots.lots_of_escapes = np.zeros(at + 1, dtype=np.int64)
    _, _, told = _promise(lots, at, 0.008, base)
    said = in_german(told)
    assert is_german(told, said), said


def test_a_reason_that_holds_a_semicolon_is_one_sentence() -> None:
    few = _refusal(SimpleNamespace(share=1.0, defect=np.ones(1)), 14)  # type: ignore[arg-type]
    assert "; " in few
    with reading(Reader(GERMAN)):
        said = say_certificate({"standing": "cannot_certify", "why": few})
        assert said.startswith("Nicht zertifiziert: 14 Lose sind zu wenige")
        joined = say_sentences(f"the line is in manual mode; {few}; a camera is frozen; none of our words")
    assert joined.startswith("die Linie ist im Handbetrieb; 14 Lose")
    assert joined.endswith("; none of our words")
    with reading(Reader(GERMAN)):
        first, second = say_sentences("risks are not what labels say (gate_id=MID); dirt on a lens (camera top)").split(
            "; "
        )
    assert first == "die Risiken stimmen nicht mit den Befunden überein (Prüfpunkt MID)"
    assert second == "Schmutz auf einem Objektiv (Kamera top)"
    assert say_sentences(few) == few, "English readers read the record's own words"


def test_why_there_is_no_model_is_told_without_a_path() -> None:
    told = ("/srv/shelf/fusion/live: no live version of fusion; train or promote",
            "/srv/shelf/fusion/3: sha256 differs from the manifest; restore or retrain",
            "/srv/shelf/fusion/3: its features differ from those asked for (only in the model: ['a'], only asked: []); "
            "retrain",
            "fusion 3: learned from operator_id, not allowed by the plan; retrain")  # fmt: skip
    for one in told:
        beats = [Heartbeat("fusion", Instant(SINCE), {"problem": one})]
        with reading(Reader(GERMAN)):
            said = model_missing(beats)
            assert said.endswith(("lassen", "freigeben"))
            assert said in notices_of_roles(beats)[0]
            assert "/srv" not in said


def test_a_value_in_standard_deviations_is_told() -> None:
    usual = (
        "OP20.torque_nm: distance from the golden cycle 2.31 standard deviations; with the rest of the part as it is, "
    )
    assert "2,31 Standardabweichungen; bei sonst" in in_german(f"{usual}0.9 standard deviations would be usual")
    for measure in _SAID.values():
        told = f"camera:top: {measure} 2.3 standard deviations, beyond 0.1..1.5 standard deviations, farther than "
        said = in_german(f"{told}training ever saw")
        assert measure not in said.replace("Kamera", "")
        assert said.endswith("jenseits von 0,1 bis 1,5 Standardabweichungen, weiter als beim Lernen je gesehen")


@pytest.mark.parametrize("shift_sd", [0.0, 2.3])
def test_what_charts_cannot_show_yet_is_told(shift_sd: float) -> None:
    told = Watched(parts=500, signals=9, not_yet=4, shift_sd=shift_sd, again_parts=800)
    said = in_german(say_watched(told))
    assert is_german(say_watched(told).replace(".", ","), said), said


def words_of(struct: type, field: str) -> set[str]:
    (told,) = (get_type_hints(struct)[field],)
    return {word for word in get_args(told) if isinstance(word, str)}


def test_every_word_that_a_record_may_hold_has_one_of_ours() -> None:
    tables: Mapping[str, tuple[Mapping[str, str], set[str]]] = {
        "decision": (vocabulary.DECISIONS, words_of(Verdict, "decision")),
        "outcome": (vocabulary.OUTCOMES, words_of(Defect, "outcome")),
        "source": (vocabulary.SOURCES, words_of(Defect, "source")),
    }
    for name, (table, words) in tables.items():
        assert words, name
        assert words - set(table) == set(), name


def test_every_action_that_is_written_down_has_its_words() -> None:
    written = set()
    for path in (ROOT / "api").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith((".audit", ".audit_line")):
                written |= {one.value for one in node.args[1:2] if isinstance(one, ast.Constant)}
    assert len(written) > 5
    assert written - set(vocabulary.ACTIONS) == set()
