"""The command of the QA lead: the batch report."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from api.commands.options import FILE, with_settings
from ingest.errors import BadInput
from ingest.settings import Settings

FORMATS = ("html", "json", "csv", "pdf", "xlsx")


@click.command()
@click.argument("batch")
@click.option("--format", "report_format", type=click.Choice(FORMATS), help="Default: by the ending of --out, or html.")
@click.option("--out", type=FILE, help="File to write; default: standard output.")
@with_settings
def report(settings: Settings, batch: str, report_format: str | None, out: Path | None) -> None:
    """The batch report: parts made against verdicts given, decisions, reviews, escapes, causes, models, plan."""
    from api.reports import render_batch

    ending = out.suffix.lstrip(".").lower() if out else ""
    chosen = report_format or (ending if ending in FORMATS else "html")
    if chosen in ("pdf", "xlsx"):
        raise BadInput(f"--format {chosen}: not there yet; html prints well on paper, csv opens in a spreadsheet")
    body = render_batch(settings, batch, chosen)
    if out is None:
        sys.stdout.buffer.write(body)
        return
    out.write_bytes(body)
    click.echo(f"{out}: {len(body)} bytes")


COMMANDS = (report,)
