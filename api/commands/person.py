"""The command that makes and changes accounts, on the machine itself: the way back in when every admin is shut out."""

from __future__ import annotations

import getpass

import click

from api.commands.options import with_settings
from ingest.errors import BadInput
from ingest.settings import Settings

ROLES = ("inspector", "qa", "engineer", "admin")


@click.command()
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), help="What it may do.")
@click.option("--display-name", help="As people say the name.")
@click.option("--group", help="Among whom its decisions are counted; empty: none.")
@click.option("--language", help="Language of its screens, a tag like `de`; empty: the browser's own.")
@click.option("--change", is_flag=True, help="Instead: change the account that is there.")
@click.option("--reset", is_flag=True, help="With --change: a new one-time password.")
@click.option("--shut/--open", "shut", default=None, help="With --change: may log in no more, or again.")
@click.option("--by-directory", is_flag=True, help="With --change: is whoever of that name logs in by it next.")
@with_settings
def person(
    settings: Settings,
    name: str,
    role: str | None,
    display_name: str | None,
    group: str | None,
    language: str | None,
    change: bool,
    reset: bool,
    shut: bool | None,
    by_directory: bool,
) -> None:
    """Add somebody who logs in with a password, and print a one-time password: this is the one time it can be read."""
    from api.access.people import Wish, add_person, change_person
    from api.wording.languages import load_languages

    by = f"cli:{getpass.getuser()}"
    spoken = load_languages(settings.home, settings.language).spoken
    if language and language not in spoken:
        raise BadInput(f"--language {language}: there are {', '.join(sorted(spoken))}")
    if by_directory and not settings.oidc_issuer:
        raise BadInput("--by-directory: no directory is set: QCFUSE_OIDC_ISSUER")
    wish = Wish(role, shut, reset, display_name, group, language, by_directory)
    if change:
        secret = change_person(settings, name, by, wish)
        click.echo(secret if secret is not None else f"{name} is changed")
        return
    if role is None:
        raise BadInput("person: give --role, to add somebody, or --change")
    if reset or by_directory or shut is not None:
        raise BadInput("person: --reset, --shut, --open and --by-directory go with --change")
    click.echo(add_person(settings, name, role, by, wish))


COMMANDS = (person,)
