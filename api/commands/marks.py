"""The command that brings what people marked on the screen to training."""

from __future__ import annotations

from pathlib import Path

import click

from api.commands.options import FOLDER, progress, with_settings
from ingest.settings import Settings


@click.command()
@click.option("--camera", "camera_id", default="", help="Only marks of this camera; default: of all.")
@click.option("--out", required=True, type=FOLDER, help="Folder to write: new, or empty.")
@with_settings
def marks(settings: Settings, camera_id: str, out: Path) -> None:
    """Write what people marked on the screen, with its frames, as a replay folder to teach an eye from."""
    from api.teach import export_marks

    export_marks(settings, camera_id, out, progress)


COMMANDS = (marks,)
