"""What the judge wrote into a record is said in the reader's language, with the record's own figures."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fusion.causes.witness
from api.wording.forms import PHRASES
from api.wording.languages import load_languages
from api.wording.phrases import form_of, say_sentence
from api.wording.reader import Reader, reading
from api.wording.words import say_certificate
from fusion.cameras.false_alarms import Tally
from fusion.cameras.lens_dirt import Mark
from fusion.cameras.moved import CameraPose
from fusion.cameras.words import say_dirt, say_false_alarms, say_frozen, say_moved
from fusion.certificate.standing import WORDS
from fusion.decide import ThresholdChoice
from fusion.drift.words import SAID, say_shift, say_structure, say_unlike
from fusion.incidents import Incident
from fusion.scan.words import say_excess
from ingest.plan.file import load_plan
from tests.api.factory import PLAN

BERLIN = ZoneInfo("Europe/Berlin")
TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC")
GERMAN = load_languages("no home").spoken["de"]
ROOT = Path(fusion.causes.witness.__file__).parent
ONE = Incident(line_id="L1", incident="frozen", camera_id="top", since=0, parts_count=12)
SINCE = 1_767_225_600_000


def in_german(sentence: str) -> str:
    with reading(Reader(GERMAN, BERLIN)):
        return say_sentence(sentence)


def incidents() -> Iterator[str]:
    yield say_frozen(ONE).what
    yield say_dirt(ONE, [Mark(1.0, 2.0, 30.0, 40.0)]).what
    yield say_dirt(ONE, [Mark(1.0, 2.0, 30.0, 40.0), Mark(9.0, 9.0, 9.0, 9.0)]).what
    for x, y in ((3.0, 4.0), (-3.0, -4.0)):
        yield say_moved(ONE, CameraPose(has_moved=True, off_x=x, off_y=y)).what
    for labelled in (True, False):
        yield say_false_alarms(ONE, Tally(alarms=9, parts=100, labelled=labelled, promised=0.01)).what
    both = {"defects": (9, 120, 2.5), "flags": (30, 200, 11.0)}
    for counts in (both, {"defects": both["defects"]}, {"flags": both["flags"]}):
        yield say_excess(["tool_id=T7"], [], counts)
        yield say_excess(["tool_id=T7"], [["shift=B"]], counts)
        yield say_excess([], [], counts)
    for spreads in (1.25, -1.25):
        yield say_shift("OP20.torque_nm", spreads, 0.4, 12.0, 500, SINCE)
    yield say_unlike(["OP20.torque_nm", "camera:top"], 400, 0.83, 0.6, SINCE)
    for more in (True, False):
        yield say_structure(["OP20.torque_nm", "camera:top"], 400, more, 2.1, 1.3, SINCE)


@pytest.mark.parametrize("told", list(incidents()))
def test_every_incident_has_its_phrase_and_keeps_its_figures(told: str) -> None:
    said = in_german(told)
    assert said != told
    assert " the " not in said
    figures = re.findall(r"\d+", TIME.sub("", told))
    assert [one for one in figures if one not in re.findall(r"\d+", said)] == []


@pytest.mark.parametrize("measure", SAID.values())
def test_a_drifted_channel_is_told_by_its_measure(measure: str) -> None:
    told = (
        f"OP10.coolant_c: {measure} 4.6 C since 2020-01-05 23:32 UTC, 3.9 to 4.2 C in training (means of 50 parts). "
        "What models learned from is no longer what they see here."
    )
    said = in_german(told)
    assert "4,6 C seit 6. Jan. 2020, 00:32, beim Lernen 3,9 bis 4,2 C" in said
    assert measure not in said or measure == "mean"


def written(name: str) -> Iterator[str]:
    """The sentences that a file of the judge puts together, with something in every place."""
    for node in ast.walk(ast.parse((ROOT / name).read_text("utf-8"))):
        if isinstance(node, ast.JoinedStr) and len(re.findall(r"[a-z]{2,}", "".join(_words(node)))) >= 3:
            yield re.sub(r"(\d) ?$", r"\1", "".join(_filled(node)))


def _words(node: ast.JoinedStr) -> Iterator[str]:
    yield from (str(part.value) for part in node.values if isinstance(part, ast.Constant))


def _filled(node: ast.JoinedStr) -> Iterator[str]:
    for part in node.values:
        if isinstance(part, ast.Constant):
            yield str(part.value)
        elif isinstance(part, ast.FormattedValue):
            form = ast.unparse(part.format_spec).strip("f'\"") if part.format_spec else ""
            named = ast.unparse(part.value)
            yield "7%" if form.endswith("%") else "7" if form else _text(named)


def _text(named: str) -> str:
    """What stands there when it is no figure: by the name of the variable."""
    texts = {"side": "over", "said": "mean risk of its parts", "counted": "", "unit": " A", "against": "", "kind": "",
             "band": "1..2 A", "slot.entity": "OP20.torque_nm", "entity": "OP20.torque_nm", "named": "tool_id=T7",
             "worst.frame_id": "face@1", "slot.unit": "A"}  # fmt: skip
    return texts.get(named, "mean" if "COLUMNS" in named else "7")


@pytest.mark.parametrize("name", ["witness.py", "ranking.py", "good_only.py", "suspects.py"])
def test_every_sentence_of_a_cause_has_its_phrase(name: str) -> None:
    sentences = [one for one in written(name) if not one.startswith(" (")]
    assert sentences
    assert [one for one in sentences if in_german(one) == one and not re.fullmatch(r"[\d.]+ of .*", one)] == []


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("tool_id=T9 at OP20 is new; the risk does not depend on it",
         "Werkzeug T9 an OP20 ist neu; das Risiko hängt nicht davon ab"),
        ("shift=N is new; the ones that were learned would make the odds 0.5 to 2.1 times what they are",
         "Schicht N ist neu; mit den gelernten wäre die Wahrscheinlichkeit 0,5- bis 2,1-mal so hoch (als Chance)"),
        ("OP20.torque_nm: mean 4.61 N.m, beyond 3.9..4.2 N.m, farther than training ever saw",
         "OP20 · torque nm: Mittel 4,61 N.m, jenseits von 3,9 bis 4,2 N.m, weiter als beim Lernen je gesehen"),
        ("OP20.torque_nm: mean 4.61 N.m; with the rest of the part as it is, 4.1 N.m would be usual",
         "OP20 · torque nm: Mittel 4,61 N.m; bei sonst gleichem Teil wären 4,1 N.m üblich"),
        ("product X1 is none of those learned: HSG-4, HSG-6", "Produkt X1 ist keines der gelernten: HSG-4, HSG-6"),
    ],
)  # fmt: skip
def test_what_training_never_saw_is_said(told: str, said: str) -> None:
    assert in_german(told) == said


@pytest.mark.parametrize("cost", [1.0, 9.0])
def test_limits_that_cannot_both_be_held_are_said(tmp_path: Path, cost: float) -> None:
    (tmp_path / "plan.yaml").write_text(PLAN)
    plan = load_plan(tmp_path / "plan.yaml")
    choice = ThresholdChoice(0.1, 0.008, 0.19, cost, conflict=True, escape_rate_at_share=0.014)
    told = choice.say_conflict(plan)
    said = in_german(told)
    assert ("To review" in told, "Jedes Teil zu prüfen" in said) == (cost > 2.5, cost > 2.5)
    assert "19 % Prüfungen" in said
    assert " the " not in said


@pytest.mark.parametrize("word", [*WORDS.values(), *(f"{word} (tool_id=T7)" for word in WORDS.values())])
def test_every_doubt_of_a_certificate_has_its_phrase(word: str) -> None:
    said = in_german(word)
    assert said != word or word == "drift"
    assert "tool_id" not in said
    with reading(Reader(GERMAN)):
        told = {"standing": "void", "why": f"the line is in manual mode; {word}", "promise": None}
        assert say_certificate(told) == f"Ungültig: die Linie ist im Handbetrieb; {said}"


def test_english_readers_read_the_records_own_words_but_for_the_clock() -> None:
    for told in incidents():
        assert TIME.sub("…", told) == re.sub(r"\d+ \w{3}(?: \d{4})?, \d\d:\d\d", "…", say_sentence(told))


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("drift since 2020-06-30 22:30 UTC (x)", "drift since 1 Jul 2020, 00:30 (x)"),
        ("incident since 2020-01-05T14:02:03.000Z: 3", "incident since 5 Jan 2020, 15:02:03: 3"),
        ("frame face@2020-06-30T18:09:57.000Z: score 3", "frame face@2020-06-30T18:09:57.000Z: score 3"),
        ("lot 2020-13-45 99:99 UTC is a name", "lot 2020-13-45 99:99 UTC is a name"),
        ("supplier_lot=2020-06-30 is another", "supplier_lot=2020-06-30 is another"),
    ],
)
def test_a_time_within_a_sentence_is_the_plants(told: str, said: str) -> None:
    with reading(Reader(zone=BERLIN)):
        assert say_sentence(told) == said


def test_a_sentence_of_no_known_form_stays_as_it_was_written() -> None:
    assert in_german("Something else happened at 3.5 bar.") == "Something else happened at 3.5 bar."


@given(st.text(max_size=200))
def test_any_text_that_has_no_known_form_stays_as_it_was_written(text: str) -> None:
    assert in_german(text) == text or any(form_of(phrase).fullmatch(text) for phrase in PHRASES)


def test_phrases_hold_each_form_once() -> None:
    assert len(PHRASES) == len(set(PHRASES))
