"""Settings: read once, in the entry point, frozen, handed down; each with its unit, a default and a sentence.

Order of precedence: environment `QCFUSE_<NAME>`, then the TOML file of `--config`, then the default.
"""

from __future__ import annotations

import dataclasses
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ingest.errors import BadInput


def _setting(default: Any, sentence: str, unit: str = "") -> Any:
    return field(default=default, metadata={"sentence": sentence, "unit": unit})


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting of qcfuse. Empty `plan`, `log`, `store`, `blobs`, `shelf` mean: under `home`."""

    home: str = _setting("./.qcfuse", "Folder of everything this installation keeps.", "folder")
    plan: str = _setting("", "The control plan.", "file")
    log: str = _setting("", "`embedded:FOLDER` or `kafka://HOST:PORT[,HOST:PORT]`.", "URL")
    topic_prefix: str = _setting("qc.", "Put before each topic's name.")
    store: str = _setting("", "SQLAlchemy URL of the verdict store.", "URL")
    blobs: str = _setting("", "Folder or fsspec URL of frames, heatmaps and evidence.", "URL")
    shelf: str = _setting("", "Folder of the models.", "folder")
    host: str = _setting("127.0.0.1", "Address the screen and the API listen on.")
    port: int = _setting(8400, "Port the screen and the API listen on.")
    opcua_port: int = _setting(4840, "Port of the OPC UA server.")
    partitions: int = _setting(12, "Partitions of each topic when it is created.")
    log_disk_gib_max: float = _setting(20.0, "Embedded log: producers wait when its files reach this size.", "GiB")
    log_retention_h: float = _setting(24.0, "Embedded log: what every group has read is kept this long.", "h")
    log_wait_s: float = _setting(60.0, "How long a role waits for the log before it stops with nothing committed.", "s")
    session_timeout_ms: int = _setting(6000, "A worker silent for this long loses its partitions.", "ms")
    record_bytes_max: int = _setting(16 * 1024 * 1024, "Largest record accepted on any topic.", "bytes")
    image_pixels_max: int = _setting(100_000_000, "Largest image decoded.", "pixels")
    samples_per_record_max: int = _setting(200_000, "Most samples (times x channels) in one sensor record.")
    clock_earliest: str = _setting("2000-01-01T00:00:00.000Z", "A time before this is a broken clock.", "RFC 3339")
    clock_ahead_ms: int = _setting(86_400_000, "A time further than this ahead of the log is a broken clock.", "ms")
    clock_correct_ms: float = _setting(2000.0, "Largest clock offset of a source that is corrected.", "ms")
    wip_ms_max: int = _setting(86_400_000, "A part not heard of for this long is forgotten.", "ms")
    wip_parts_max: int = _setting(200_000, "Most parts remembered by one worker; the oldest go first.")
    samples_keep_ms: int = _setting(600_000, "Samples that no visit has claimed are kept this long.", "ms")
    samples_station_max: int = _setting(400_000, "Most unclaimed samples kept of one station.")
    language: str = _setting("", "Language of the screens for who asks for none of ours; empty: English.", "tag")
    time_zone: str = _setting("", "The plant's time zone; empty: the machine's.", "IANA")
    login_h_max: float = _setting(12.0, "A log-in ends after this long: a shift and its handover.", "h")
    login_idle_h: float = _setting(1.0, "A log-in ends when its owner did nothing for this long.", "h")
    oidc_issuer: str = _setting("", "People log in by this OpenID Connect provider too; empty: by none.", "URL")
    oidc_client_id: str = _setting("", "By which name the provider knows qcfuse.")
    oidc_secret_file: str = _setting("", "File with that name's secret; empty: it needs none.", "file")
    oidc_scopes: str = _setting("openid profile email", "What is asked of the provider.")
    oidc_title: str = _setting("", "What people call the provider; empty: the plant's directory.")
    oidc_name_claim: str = _setting("preferred_username", "Claim of the ID token that is the account's name.")
    oidc_role_claim: str = _setting("groups", "Claim that says what somebody may do; `a.b`: claim b within claim a.")
    oidc_roles: str = _setting("", "Its values, the first that fits counts: `VALUE=ROLE;…`; `*=ROLE`: anybody else.")
    oidc_group_claim: str = _setting("", "Claim that is the account's group; empty: admins say it.")
    oidc_redirect_url: str = _setting("", "Our `/oidc/callback` as browsers see it; empty: as they asked.", "URL")
    oidc_ca_file: str = _setting("", "Certificates that sign the provider's; empty: those of the machine.", "file")
    person_requests_s_max: float = _setting(200.0, "Most requests of one person, ten seconds' worth at once.", "1/s")
    address_requests_s_max: float = _setting(2000.0, "Most requests of one address, as above.", "1/s")
    stale_ms: int = _setting(5000, "No sign of life for this long makes the road stale (readyz, PLC hold).", "ms")

    def __post_init__(self) -> None:
        home = Path(self.home)
        for name, value in (
            ("plan", str(home / "plan.yaml")),
            ("log", f"embedded:{home / 'log'}"),
            ("store", f"sqlite:///{home / 'store.db'}"),
            ("blobs", str(home / "blobs")),
            ("shelf", str(home / "shelf")),
        ):
            if not getattr(self, name):
                object.__setattr__(self, name, value)

    def topic(self, name: str) -> str:
        """Full name of a topic: `topic("verdicts")` is `qc.verdicts` with the default prefix."""
        return self.topic_prefix + name


def read_settings(environ: Mapping[str, str] | None = None, config: Path | None = None, **overrides: Any) -> Settings:
    """Settings from the environment and an optional TOML file. Raises BadInput naming the setting that is wrong."""
    environ = os.environ if environ is None else environ
    fields = {f.name: f for f in dataclasses.fields(Settings)}
    values: dict[str, Any] = {}
    for key, raw in _read_toml(config).items():
        name = key.lower().removeprefix("qcfuse_")
        if name not in fields:
            raise BadInput(f"{config}: unknown setting {key!r}; `qcfuse settings` lists them")
        values[name] = _convert(name, raw, fields[name].default, str(config))
    for name, spec in fields.items():
        raw = environ.get(f"QCFUSE_{name.upper()}")
        if raw is not None and raw != "":
            values[name] = _convert(name, raw, spec.default, f"QCFUSE_{name.upper()}")
    return Settings(**(values | {k: v for k, v in overrides.items() if v is not None}))


def _read_toml(config: Path | None) -> dict[str, Any]:
    if config is None:
        return {}
    try:
        return tomllib.loads(config.read_text("utf-8"))
    except OSError as error:
        raise BadInput(f"{config}: cannot read the settings file ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{config}: not a TOML file: {error}") from error


def _convert(name: str, raw: Any, default: Any, where: str) -> Any:
    try:
        value = type(default)(raw)
    except (TypeError, ValueError) as error:
        raise BadInput(f"{where}: {name} wants {type(default).__name__}, got {raw!r}") from error
    if isinstance(value, int | float) and not isinstance(value, bool) and value <= 0:
        raise BadInput(f"{where}: {name} must be greater than 0, got {raw!r}")
    return value
