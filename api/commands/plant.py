"""Commands of a running plant: settings, topics, tail, mode, token."""

from __future__ import annotations

import dataclasses
import getpass
import time

import click

from api.commands.options import with_settings
from ingest.errors import BadInput
from ingest.messages import Instant, Order, encode
from ingest.settings import Settings

TOPICS = ("frames", "findings", "sensors", "production", "defects", "verdicts", "control", "state", "deadletter")
TAIL_POLL_S = 0.25


@click.command("settings")
@with_settings
def show_settings(settings: Settings) -> None:
    """Print each setting with its value, its unit and one sentence."""
    for field in dataclasses.fields(settings):
        unit = f" [{field.metadata['unit']}]" if field.metadata["unit"] else ""
        click.echo(f"QCFUSE_{field.name.upper()} = {getattr(settings, field.name)}{unit}")
        click.echo(f"    {field.metadata['sentence']}")


@click.command()
@with_settings
def topics(settings: Settings) -> None:
    """Create the topics on the log of the settings; say what is there."""
    from ingest.log.opening import open_log
    from ingest.topics import create_topics, topic_specs

    log = open_log(settings)
    try:
        created = set(create_topics(log, settings))
        for spec in topic_specs(settings):
            made = "created" if spec.name in created else "there"
            kind = ", compacted" if spec.compacted else ""
            click.echo(f"{spec.name:24s} {log.partitions(spec.name):3d} partitions{kind}  {made}")
    finally:
        log.close()


@click.command()
@click.argument("topic")
@click.option("--from", "start", type=click.Choice(["beginning", "end"]), default="beginning", show_default=True)
@click.option("--follow", is_flag=True, help="Go on with what comes.")
@with_settings
def tail(settings: Settings, topic: str, start: str, follow: bool) -> None:
    """Print a topic's bodies, one a line (`qcfuse tail verdicts`)."""
    from ingest.log.opening import open_log

    name = topic.removeprefix(settings.topic_prefix)
    if name not in TOPICS:
        raise BadInput(f"{topic}: no such topic; there are {', '.join(TOPICS)}")
    log = open_log(settings)
    try:
        full_name = settings.topic(name)
        if log.partitions(full_name) == 0:
            raise BadInput(f"{full_name}: the log has no such topic yet; `qcfuse topics` creates it")
        reader = log.reader([full_name], start)
        ends = reader.ends()
        while follow or any(reader.positions().get(place, 0) < end for place, end in ends.items()):
            for record in reader.poll(TAIL_POLL_S):
                _print_body(record.body)
        reader.close()
    finally:
        log.close()


def _print_body(body: bytes | None) -> None:
    """One line per body; what is not one line of text is shown as its size."""
    if body is None:
        click.echo("(tombstone)")
        return
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        click.echo(f"({len(body)} bytes)")
        return
    click.echo(text.replace("\r", "\\r").replace("\n", "\\n"))


@click.command()
@click.argument("mode", type=click.Choice(["manual", "auto"]))
@click.option("--line", "line_id", default="*", help="Only this line; default: every line.")
@click.option("--reason", default="", help="Why; kept in the record.")
@with_settings
def mode(settings: Settings, mode: str, line_id: str, reason: str) -> None:
    """Order the mode: manual makes every verdict `cannot_tell` until auto is ordered."""
    from api.control import publish_order
    from ingest.log.opening import open_log
    from ingest.plan.file import load_plan
    from ingest.topics import create_topics

    plan = load_plan(settings.plan)
    if line_id != "*" and plan.line(line_id) is None:
        lines = ", ".join(line.line_id for line in plan.lines)
        raise BadInput(f"--line {line_id}: the plan has no such line; it has {lines}")
    now = Instant(time.time() * 1000)
    order = Order(
        order="mode",
        mode="manual" if mode == "manual" else "auto",
        line_id=line_id,
        by=f"cli:{getpass.getuser()}",
        reason=reason,
        at=now,
    )
    log = open_log(settings)
    try:
        create_topics(log, settings)
        publish_order(log, settings, order)
    finally:
        log.close()
    click.echo(encode(order).decode())


@click.command()
@click.argument("name")
@click.option("--role", type=click.Choice(["inspector", "qa", "engineer", "machine", "admin"]), help="What it may do.")
@click.option("--days", default=None, type=click.FloatRange(min=0, min_open=True), help="Ends after so many days.")
@click.option("--revoke", is_flag=True, help="Instead: make every token of this name worthless.")
@with_settings
def token(settings: Settings, name: str, role: str | None, days: float | None, revoke: bool) -> None:
    """Make a token and print it. It is kept only as a hash: this is the one time it can be read."""
    from api.access.tokens import issue_token, revoke_tokens

    by = f"cli:{getpass.getuser()}"
    if revoke == (role is not None):
        raise BadInput("token: give either --role, to make one, or --revoke")
    if role is None:
        click.echo(f"{revoke_tokens(settings, name, by)} tokens of {name} revoked")
    else:
        click.echo(issue_token(settings, name, role, by=by, days=days))


COMMANDS = (show_settings, topics, tail, mode, token)
