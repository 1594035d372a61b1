"""What the screens say: in the reader's language, complete, with the same places for names, never past a dictionary."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.wording import vocabulary, words
from api.wording.languages import ENGLISH, PRODUCT, Language, load_languages, read_language
from api.wording.plurals import FORMS, form_of
from api.wording.reader import Reader, reading
from ingest.errors import BadInput
from ingest.settings import Settings
from tests.api.conftest import Live
from tests.api.screen_texts import keys, unsaid

PLACE = re.compile(r"\{(\w+)\}")
GERMAN = load_languages("no home").spoken["de"]
#: What is the same in every language: names, signs, examples of ids.
SAME_EVERYWHERE = re.compile(
    r"·? ?qcfuse ?·?|qcf_…|CSV|tool_id=T7, camera:top|Jan Feb Mar .*|Enter|Escape"
    r"|API · qcfuse|API|body|\(prefers-.*"
)


def test_every_text_of_the_screens_goes_through_the_dictionary() -> None:
    left = [one for one in unsaid() if not SAME_EVERYWHERE.fullmatch(one.partition(": ")[2])]
    assert left == []


def test_german_has_every_text_of_the_screens_and_none_that_is_gone() -> None:
    assert sorted(keys() - set(GERMAN.texts)) == []
    assert sorted(set(GERMAN.texts) - keys()) == []


def test_the_english_plurals_belong_to_texts_of_the_screens() -> None:
    assert sorted(set(ENGLISH.texts) - keys()) == []


def test_a_plural_has_its_singular_in_both_languages() -> None:
    counted = {key for key in keys() if re.search(r"\{count\} (?:\w+ )?(?!characters)(?:\w+s|people)\b", key)}
    assert sorted(key for key in counted if isinstance(GERMAN.texts.get(key), str)) == []
    assert sorted(counted - set(ENGLISH.texts)) == []


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ("{", "not a JSON file"),
        ("[]", "one JSON object"),
        ('{"Part {part} is not known here": "{teil} fehlt"}', "there is no {teil}"),
        ('{"Part {part} is not known here": "fehlt"}', "{part} of the English text is missing"),
        ('{"Batches": ""}', "Batches"),
        ('{"Batches": 3}', "Batches"),
        ('{"{count} parts": {"one": "ein Teil"}}', "other is always there"),
        ('{"{count} parts": {"other": "{count} Teile", "two": "zwei"}}', "plural forms"),
        ('{"@months": "Jan"}', "twelve months"),
        ('{"@day": "{tag}"}', "{tag}"),
        ('{"@colour": "x"}', "@colour"),
    ],
)
def test_a_plants_file_that_is_wrong_is_named_with_its_text(tmp_path: Path, body: str, named: str) -> None:
    (tmp_path / "languages").mkdir()
    path = tmp_path / "languages" / "pl.json"
    path.write_text(body, "utf-8")
    with pytest.raises(BadInput) as refused:
        load_languages(tmp_path)
    assert str(path) in str(refused.value)
    assert named in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_plants_file_adds_a_language_and_corrects_one_of_ours(tmp_path: Path) -> None:
    folder = tmp_path / "languages"
    folder.mkdir()
    (folder / "pl.json").write_text('{"@name": "Polski", "Batches": "Partie"}', "utf-8")
    (folder / "de.json").write_text('{"Batches": "Chargen"}', "utf-8")
    found = load_languages(tmp_path, "pl")
    assert found.pick("", "").say("Batches", {}) == "Partie"
    assert found.pick("", "").say("People", {}) == "People"  # what is missing is English
    assert found.spoken["de"].say("Batches", {}) == "Chargen"
    assert found.spoken["de"].say("People", {}) == GERMAN.say("People", {})


@pytest.mark.parametrize("name", ["german.json", "d.json", "de_AT.json"])
def test_a_file_that_is_not_named_by_a_tag_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "languages").mkdir()
    (tmp_path / "languages" / name).write_text("{}", "utf-8")
    with pytest.raises(BadInput, match="tag"):
        load_languages(tmp_path)


def test_a_language_that_there_is_not_is_refused_at_start(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="QCFUSE_LANGUAGE"):
        load_languages(tmp_path, "xx")


@pytest.mark.parametrize(
    ("chosen", "accepted", "spoken"),
    [
        ("", "", "en"),
        ("", "de", "de"),
        ("", "de-AT,de;q=0.9,en;q=0.8", "de"),
        ("", "fr;q=1, de;q=0.4, en;q=0.5", "en"),
        ("", "fr, *;q=0.1", "en"),
        ("", "de;q=0", "en"),
        ("en", "de", "en"),
        ("de", "en", "de"),
        ("xx", "de", "de"),
        ("", ";;;q=,,de;q=abc", "en"),
    ],
)
def test_the_account_chooses_then_the_browser_then_the_setting(chosen: str, accepted: str, spoken: str) -> None:
    assert load_languages("no home").pick(chosen, accepted).code == spoken


@given(st.text(max_size=300), st.text(max_size=20))
def test_no_header_breaks_the_choice(accepted: str, chosen: str) -> None:
    assert load_languages("no home").pick(chosen, accepted).code in ("en", "de")


@given(st.sampled_from(["en", "de", "fr", "pl", "cs", "ru", "ja", "pt-br"]), st.integers(0, 10**6))
def test_every_number_has_a_form(language: str, count: int) -> None:
    assert form_of(language, count) in FORMS


def test_forms_are_those_of_unicode() -> None:
    assert [form_of("pl", n) for n in (1, 2, 5, 12, 22, 25)] == ["one", "few", "many", "many", "few", "many"]
    assert [form_of("ru", n) for n in (1, 3, 5, 11, 21, 111)] == ["one", "few", "many", "many", "one", "many"]
    assert [form_of("fr", n) for n in (0, 1, 2)] == ["one", "one", "other"]
    assert form_of("ja", 1) == "other"


def test_a_value_is_put_in_as_it_is_whatever_it_holds() -> None:
    text = Language("xx", {"{name} came": "es kam {name}"})
    assert text.say("{name} came", {"name": "{name} {0.__class__}"}) == "es kam {name} {0.__class__}"
    assert text.say("{lost}", {"name": 1}) == "{lost}"


def test_numbers_are_written_in_the_readers_form() -> None:
    with reading(Reader(GERMAN)):
        assert words.say_percent(0.005) == "0,5 %"
        assert words.say_percent(0.0001) == "< 0,1 %"
        assert words.say_percent(0.83) == "83 %"
    assert words.say_percent(0.005) == "0.5 %"


def test_the_systems_words_are_said_in_german() -> None:
    with reading(Reader(GERMAN)):
        for table in vocabulary.TABLES:
            for text in table.values():
                assert GERMAN.texts[text]
        assert words.say_cause("camera:top") != "what camera top saw"
        assert words.say_reason("a_new_reason") == "a new reason"


def test_a_page_and_its_scripts_speak_the_browsers_language(live: Live) -> None:
    with live.client("admin") as client:
        page = client.get("/batches", headers={"Accept-Language": "de"}).text
        assert '<html lang="de"' in page
        (address,) = re.findall(r'src="(/texts/de\.js\?v=\w+)"', page)
        script = client.get(address)
        assert script.headers["cache-control"].endswith("immutable")
        told = json.loads(script.text.partition("globalThis.language = ")[2].rstrip(";\n"))
        assert told["texts"]["Pass"] == GERMAN.texts["Pass"]
        assert len(told["texts"]) < len(GERMAN.texts)  # only what a script says
        again = client.get("/texts/de.js", headers={"If-None-Match": script.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert client.get("/texts/xx.js").status_code == 404
        assert '<html lang="en"' in client.get("/batches").text


def test_files_of_the_product_are_read_as_a_plants_would_be() -> None:
    for path in PRODUCT.glob("*.json"):
        assert read_language(path)


def test_a_bad_language_or_zone_stops_the_start_with_one_sentence(settings: Settings) -> None:
    from dataclasses import replace

    from api.wording.reader import usual_reader

    for changed in (replace(settings, language="klingon"), replace(settings, time_zone="Mars/Olympus")):
        with pytest.raises(BadInput, match="QCFUSE_"):
            usual_reader(changed)
