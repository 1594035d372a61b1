"""The plant's clock: its zone, its days, and a time as a person reads it."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from api.wording.languages import Language
from ingest.errors import BadInput
from ingest.messages import Instant

UNIVERSAL = ZoneInfo("UTC")
_ZONES = "zoneinfo/"


def zone_named(name: str) -> ZoneInfo:
    """The zone of the setting `time_zone`; empty: the machine's. Raises BadInput when there is none of this name."""
    if not name:
        return _machine_zone()
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:  # no such file, not a zone's name, a folder of zones
        raise BadInput(f"QCFUSE_TIME_ZONE: {name!r} is no time zone; write it like Europe/Berlin (IANA)") from error


def _machine_zone() -> ZoneInfo:
    """What this machine's clock shows; UTC where it does not tell a zone by its name."""
    linked = os.path.realpath("/etc/localtime")
    told = Path("/etc/timezone")
    names = (
        os.environ.get("TZ", "").removeprefix(":"),
        linked.rpartition(_ZONES)[2] if _ZONES in linked else "",
        told.read_text("utf-8").strip() if told.is_file() else "",
    )
    for name in filter(None, names):
        try:
            return ZoneInfo(name)
        except (KeyError, ValueError, OSError):
            continue
    return UNIVERSAL


def local(at: Instant, zone: ZoneInfo) -> datetime:
    """This moment by the plant's clock."""
    return datetime.fromtimestamp(at / 1000, UTC).astimezone(zone)


def day_start(now_ms: int, zone: ZoneInfo) -> int:
    """When the plant's day began, in milliseconds since 1970: "done today" counts from here. Where midnight is left out
    as clocks go forward, that is when they do; where it comes twice, it is the first."""
    now = datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(zone)
    return int(now.replace(hour=0, minute=0, second=0, microsecond=0, fold=0).timestamp() * 1000)


def say_offset(at: Instant, zone: ZoneInfo) -> str:
    """`UTC+01:00`: how far the plant's clock was from universal time then."""
    offset = local(at, zone).strftime("%z")
    return "UTC" if offset == "+0000" else f"UTC{offset[:3]}:{offset[3:5]}"


def say_moment(at: Instant, now: Instant, zone: ZoneInfo, language: Language) -> str:
    """`23 Nov, 09:26:00`, with the year where it is another one than now's."""
    then = local(at, zone)
    pattern = language.manners["@day" if then.year == local(now, zone).year else "@date"]
    month = language.manners["@months"].split()[then.month - 1]
    day = pattern.replace("{day}", str(then.day)).replace("{month}", month).replace("{year}", str(then.year))
    return f"{day}, {then:%H:%M:%S}"
