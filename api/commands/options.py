"""What the commands share: reading the settings, times, progress on stderr."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ingest.messages import Instant
from ingest.settings import Settings, read_settings


class TimeParameter(click.ParamType[Instant]):
    """An RFC 3339 time with a zone."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Instant:
        try:
            return value if isinstance(value, Instant) else Instant.parse(str(value))
        except ValueError as error:
            self.fail(f"{error}; write it like 2026-11-23T08:26:00.000Z", param, ctx)


TIME = TimeParameter()
FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)


def progress(sentence: str) -> None:
    """One line of progress, on stderr so that stdout stays the command's result."""
    click.echo(sentence, err=True)


def with_settings(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--config` and, as its first argument, the settings read from it and the environment."""

    @click.option("--config", type=click.Path(dir_okay=False), help="TOML file with settings.")
    @functools.wraps(command)
    def reading_settings(config: str | None, **arguments: Any) -> Any:
        context = click.get_current_context()
        chosen = config or context.find_root().obj
        settings: Settings = read_settings(config=Path(chosen) if chosen else None)
        return command(settings, **arguments)

    return reading_settings
