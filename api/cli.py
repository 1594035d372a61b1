"""The command line: `qcfuse COMMAND`. A thin door: each command reads its arguments and calls its room.

Exit codes (CONTRACT section 4): 0 success, 2 a person gave something wrong (one sentence on stderr), 1 failure.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from api.commands import batch, folder, look, marks, person, plant, roles
from ingest.errors import BadInput, QcfuseError

EXIT_FAILURE = 1
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells expect


class InListedOrder(click.Group):
    """Lists commands in the order a newcomer meets them instead of alphabetically."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=InListedOrder, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--config", type=click.Path(dir_okay=False), help="TOML file with settings.")
@click.version_option(package_name="qcfuse")
@click.pass_context
def qcfuse(context: click.Context, config: str | None) -> None:
    """Joins frames, machine logs, production and defect records per part; says which parts a person must look at."""
    context.obj = config


for _commands in (
    roles.SERVICE,
    folder.COMMANDS,
    roles.ROLES,
    plant.COMMANDS,
    person.COMMANDS,
    batch.COMMANDS,
    marks.COMMANDS,
    look.COMMANDS,
):
    for _command in _commands:
        qcfuse.add_command(_command)


def _fail(sentence: str, code: int) -> int:
    click.echo(f"qcfuse: {' '.join(sentence.split())}", err=True)
    return code


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    try:
        # Not `qcfuse.main`: that would turn a closed pipe into exit status 1.
        with qcfuse.make_context("qcfuse", list(sys.argv[1:] if arguments is None else arguments)) as started:
            qcfuse.invoke(started)
        sys.stdout.flush()
        return 0
    except click.exceptions.Exit as error:
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        where = f" (see `{context.command_path} --help`)" if context else ""
        return _fail(error.format_message() + where, EXIT_BAD_INPUT)
    except BadInput as error:
        return _fail(str(error), EXIT_BAD_INPUT)
    except QcfuseError as error:
        return _fail(str(error), EXIT_FAILURE)
    except BrokenPipeError:
        # The reader of our output (`| head`) has gone: nothing is wrong, and nobody is left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return _fail(f"{error.filename or 'system'}: {error.strerror or error}", EXIT_FAILURE)


def main() -> None:
    """Entry point of the `qcfuse` script."""
    sys.exit(run())


if __name__ == "__main__":
    main()
