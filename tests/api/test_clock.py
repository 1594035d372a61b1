"""The plant's clock: its day, its zone, and a time as a person reads it."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.wording.clock import day_start, local, say_moment, say_offset, zone_named
from api.wording.languages import ENGLISH, load_languages
from ingest.errors import BadInput
from ingest.messages import Instant

BERLIN = ZoneInfo("Europe/Berlin")
#: Zones whose clocks change at midnight, by half hours, or twice a year the other way round.
ZONES = (
    *("UTC", "Europe/Berlin", "America/Havana", "Africa/Cairo", "America/Sao_Paulo"),
    *("Australia/Lord_Howe", "Asia/Kolkata"),
)


def at(text: str) -> Instant:
    return Instant.parse(text)


@given(st.integers(0, 4_102_444_800_000), st.sampled_from(ZONES))
def test_a_day_begins_on_its_date_and_the_moment_before_is_another(now_ms: int, name: str) -> None:
    zone = ZoneInfo(name)
    begun = day_start(now_ms, zone)
    today = local(Instant(now_ms), zone).date()
    assert begun <= now_ms
    assert local(Instant(begun), zone).date() == today
    assert local(Instant(begun - 1), zone).date() < today
    assert day_start(begun, zone) == begun


def test_the_plants_day_is_not_that_of_universal_time() -> None:
    begun = day_start(int(at("2026-07-01T23:30:00Z")), BERLIN)
    assert datetime.fromtimestamp(begun / 1000, UTC).isoformat() == "2026-07-01T22:00:00+00:00"


def test_a_moment_is_told_by_the_plants_clock_in_the_readers_language() -> None:
    then, now = at("2026-03-29T00:59:59Z"), at("2026-11-25T10:00:00Z")
    german = load_languages("no home").spoken["de"]
    assert say_moment(then, now, BERLIN, ENGLISH) == "29 Mar, 01:59:59"
    assert say_moment(Instant(then + 1000), now, BERLIN, ENGLISH) == "29 Mar, 03:00:00"
    assert say_moment(then, now, BERLIN, german) == "29. März, 01:59:59"
    assert say_moment(then, at("2027-01-01T00:00:00Z"), BERLIN, german) == "29. März 2026, 01:59:59"
    assert say_offset(then, BERLIN) == "UTC+01:00"
    assert say_offset(now, ZoneInfo("UTC")) == "UTC"
    assert say_offset(now, ZoneInfo("America/St_Johns")) == "UTC-03:30"


@pytest.mark.parametrize("name", ["Mars/Olympus", "../etc/passwd", "/etc/localtime", "Europe", "Europe/Berlin\0"])
def test_a_zone_that_is_none_is_refused_by_its_setting(name: str) -> None:
    with pytest.raises(BadInput, match="QCFUSE_TIME_ZONE"):
        zone_named(name)


def test_without_a_setting_the_machines_zone_is_the_plants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    assert zone_named("").key == "Europe/Berlin"
    monkeypatch.setenv("TZ", "nonsense")
    assert zone_named("").key  # whatever the machine has, at least UTC
