"""Commands that run: the whole service on one machine, or one role of it."""

from __future__ import annotations

import click

from api.commands.options import with_settings
from ingest.settings import Settings


@click.command()
@with_settings
def demo(settings: Settings) -> None:
    """Everything on this machine with a simulated plant; prints the address of the screen."""
    from api.demo import run_demo

    run_demo(settings)


@click.command()
@with_settings
def up(settings: Settings) -> None:
    """The service on one machine: all roles, the embedded log and store, or Kafka and PostgreSQL where set."""
    from api.up import run_up

    run_up(settings)


@click.command()
@with_settings
def vision(settings: Settings) -> None:
    """The role that looks: frames in, findings out."""
    from vision.worker import run

    run(settings)


@click.command()
@with_settings
def fusion(settings: Settings) -> None:
    """The role that judges: findings, samples, visits and defect records in, verdicts out."""
    from fusion.worker import run

    run(settings)


@click.command()
@with_settings
def api(settings: Settings) -> None:
    """The role that shows: collects verdicts into the store, serves the screen and the API."""
    from api.app import run

    run(settings, lambda sentence: click.echo(f"qcfuse: {sentence}", err=True))


@click.command()
@with_settings
def plc(settings: Settings) -> None:
    """The role that tells the line: an OPC UA server with the verdict of each gate."""
    from api.plc.role import run

    run(settings)


SERVICE = (demo, up)
ROLES = (vision, fusion, api, plc)
