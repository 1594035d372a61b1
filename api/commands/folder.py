"""Commands on replay folders: simulate, train, replay, evaluate, bench."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from api.commands.options import FILE, FOLDER, TIME, progress, with_settings
from ingest.errors import BadInput
from ingest.messages import Instant
from ingest.settings import Settings

if TYPE_CHECKING:
    from vision.training.options import EyeOptions


def _existing(folder: Path) -> Path:
    if not folder.is_dir():
        raise BadInput(f"{folder}: no such folder")
    return folder


@click.command()
@click.argument("directory", metavar="DIR", type=FOLDER)
@click.option("--parts", default=2000, show_default=True, type=click.IntRange(1), help="Parts that enter the plant.")
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0), help="The same seed, the same bytes.")
@click.option("--disorder", is_flag=True, help="Records come late, repeated, missing, shuffled, with skewed clocks.")
def simulate(directory: Path, parts: int, seed: int, disorder: bool) -> None:
    """Write a replay folder of a simulated plant, with the truth in truth.csv."""
    from ingest.simulate import Disorder, write_plant

    write_plant(directory, parts, seed, Disorder() if disorder else None, progress)


@click.command()
@click.argument("directory", metavar="DIR", type=FOLDER)
@click.option("--out", "shelf", type=FOLDER, help="The shelf to write to; default: the installation's.")
@click.option("--until", type=TIME, help="Only parts that began before this time.")
@click.option("--labels-until", type=TIME, help="Only labels that had come by this time.")
@click.option("--eye-plugins", "plugins", type=FOLDER, help="Own backbones and models; default: plugins in the home.")
@click.option("--net", is_flag=True, help="Also try a network on painted defects (needs torch: qcfuse[train]).")
@with_settings
def train(
    settings: Settings,
    directory: Path,
    shelf: Path | None,
    until: Instant | None,
    labels_until: Instant | None,
    plugins: Path | None,
    net: bool,
) -> None:
    """Learn vision and fusion models from a replay folder and write them, with their cards, to the shelf."""
    _existing(directory)  # before the learning libraries are loaded: a typo is told at once
    from fusion.train import train_folder

    shelf = shelf or Path(settings.shelf)
    train_folder(directory, shelf, until, labels_until, settings, progress, eye_options(settings, plugins, net))


@click.command()
@click.argument("directory", metavar="DIR", type=FOLDER)
@click.option("--marks", "marks", type=FOLDER, help="A folder of marks beside it, as `qcfuse marks --out` writes it.")
@click.option("--camera", "cameras", multiple=True, help="Only this camera; may be given several times.")
@click.option("--until", type=TIME, help="Only parts that began before this time.")
@click.option("--eye-plugins", "plugins", type=FOLDER, help="Own backbones and models; default: plugins in the home.")
@click.option("--net", is_flag=True, help="Also try a network on painted defects (needs torch: qcfuse[train]).")
@with_settings
def teach(
    settings: Settings,
    directory: Path,
    marks: Path | None,
    cameras: tuple[str, ...],
    until: Instant | None,
    plugins: Path | None,
    net: bool,
) -> None:
    """Teach the eyes from marks: train those cameras' eyes anew, and use them where they find more at equal alarms."""
    _existing(directory)
    from fusion.teach import teach_folder

    shelf = Path(settings.shelf)
    options = eye_options(settings, plugins, net)
    found = teach_folder(directory, marks, cameras, shelf, until, settings, progress, options)
    for sentence in found:
        click.echo(sentence)


def eye_options(settings: Settings, plugins: Path | None, net: bool) -> EyeOptions:
    """Raises BadInput when the folder of plug-ins that was named is not there, or torch for a network."""
    from vision.training.options import EyeOptions

    if net:
        from vision.network.train import require_torch

        require_torch()

    usual = Path(settings.home) / "plugins"
    folder = _existing(plugins) if plugins is not None else usual if usual.is_dir() else None
    return EyeOptions(settings.image_pixels_max, folder, net)


@click.command()
@click.argument("directory", metavar="DIR", type=FOLDER)
@click.option("--since", type=TIME, help="Only parts that began at or after this time.")
@click.option("--speed", default=None, type=click.FloatRange(0), help="0: as fast as it goes; 1: as recorded.")
@click.option("--out", type=FILE, help="File that gets one verdict a line, all revisions.")
@click.option("--publish", is_flag=True, help="Only publish the folder's records to the log of a running service.")
@with_settings
def replay(
    settings: Settings, directory: Path, since: Instant | None, speed: float | None, out: Path | None, publish: bool
) -> None:
    """Judge a replay folder's parts through the whole road in one go."""
    if publish:
        if since is not None or out is not None:
            raise BadInput("--publish only publishes: --since and --out do not go with it")
        return _publish(settings, _existing(directory), 1.0 if speed is None else speed)
    _existing(directory)
    from fusion.replay import replay_folder

    replay_folder(directory, settings, since, speed or 0.0, out, progress)
    return None


def _publish(settings: Settings, directory: Path, speed: float) -> None:
    from ingest.folder.replay_folder import Folder
    from ingest.log.opening import open_log
    from ingest.publish import publish_folder
    from ingest.topics import create_topics

    log = open_log(settings)
    try:
        create_topics(log, settings)
        publish_folder(Folder(directory), log, settings, speed, progress)
    finally:
        log.close()


@click.command()
@click.argument("directory", metavar="DIR", type=FOLDER)
@click.option("--verdicts", required=True, type=FILE, help="The file that `qcfuse replay --out` wrote.")
@click.option("--since", type=TIME, help="Only parts that began at or after this time.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def evaluate(directory: Path, verdicts: Path, since: Instant | None, as_json: bool) -> None:
    """Compare final verdicts with the defect records, or with truth.csv."""
    _existing(directory)
    if not verdicts.is_file():
        raise BadInput(f"{verdicts}: no such file")
    from fusion.evaluate import evaluate as evaluate_verdicts

    evaluation = evaluate_verdicts(directory, verdicts, since)
    if as_json:
        click.echo(msgspec.json.encode(evaluation).decode())
        return
    figures: dict[str, float | None] = msgspec.to_builtins(evaluation)
    for name, figure in figures.items():
        shown = "-" if figure is None else f"{figure:.4f}" if isinstance(figure, float) else str(figure)
        click.echo(f"{name:20s} {shown:>12s}")


@click.command()
@click.option("--parts", default=2000, show_default=True, type=click.IntRange(1), help="Parts to push through.")
@click.option("--table", is_flag=True, help="Print a table instead of JSON.")
@with_settings
def bench(settings: Settings, parts: int, table: bool) -> None:
    """Measure this machine: parts/s, latency, CPU per stage, ratio to the floor."""
    from api.bench.measure import run

    click.echo(run(settings, parts, table, progress))


COMMANDS = (simulate, train, teach, replay, evaluate, bench)
