"""The demonstration: a simulated plant on this machine, from nothing to flagged parts on the screen."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import click

from api.access.tokens import issue_token
from api.demo_stream import CUT_FILE
from api.up import Supervisor, absolute, environment, prepare, wait_until_served
from fusion.judge import Judge
from ingest.errors import QcfuseError
from ingest.folder.replay_folder import Folder
from ingest.plan.file import load_plan
from ingest.settings import Settings

PARTS = 4500  # of the plant: its past, and a quarter of an hour of what comes after
PAST_PARTS = 1200  # some forty defects with their labels: enough to learn from in a minute
SEED = 77  # its past holds every mechanism, and on both lines the labelled defects that learning needs


def run_demo(settings: Settings) -> None:
    """Simulate, train if needed, serve, stream until told to stop. Prints one line with the address."""
    settings = absolute(settings)
    home = Path(settings.home)
    began = time.monotonic()
    _learn(settings, home)
    prepare(settings)
    token = issue_token(settings, f"demo-{time.time_ns() // 1_000_000}", "admin", by="demo")  # no first admin
    supervisor = Supervisor(settings)
    stream: subprocess.Popen[bytes] | None = None
    try:
        supervisor.start()
        if not wait_until_served(supervisor):
            return
        click.echo(f"http://{settings.host}:{settings.port}/?token={token}")
        click.echo(
            f"ready after {time.monotonic() - began:.0f} s, parts are running; Ctrl-C stops everything", err=True
        )
        while not supervisor.stopping:
            supervisor.tick()
            if stream is None or stream.poll() is not None:
                stream = _start_stream(settings)
            time.sleep(0.2)
    finally:
        if stream is not None and stream.poll() is None:
            stream.terminate()
            stream.wait()
        supervisor.stop()
        click.echo(f"stopped; what was learned and judged stays in {home}", err=True)


def _start_stream(settings: Settings) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "api.demo_stream"]
    return subprocess.Popen(command, env=environment(settings), start_new_session=True)


def _learn(settings: Settings, home: Path) -> None:
    """Draw the plant's past and learn from it, unless that was done before."""
    from ingest.simulate import write_plant

    plan, plant = Path(settings.plan), home / "plant"
    if plan.is_file() and not (problem := Judge.open(Path(settings.shelf), load_plan(plan)).problem):
        return
    if plan.is_file():
        click.echo(f"the model cannot be used ({problem}); learning anew", err=True)
    home.mkdir(parents=True, exist_ok=True)

    def say(sentence: str) -> None:
        click.echo(sentence, err=True)

    if not (plant / "plan.yaml").is_file():
        say(f"1/3 simulating a plant: {PARTS} parts, the first {PAST_PARTS} of them its past")
        write_plant(plant, PARTS, SEED, progress=say)
    cut = sorted(part.started_at for part in Folder(plant, settings).parts().values())[PAST_PARTS]
    (home / CUT_FILE).write_text(cut.isoformat())
    say("2/3 training its first models")
    command = [sys.executable, "-m", "api.cli", "train", str(plant), "--until", cut.isoformat()]
    trained = subprocess.run(command, env=environment(settings), check=False)
    if trained.returncode:
        raise QcfuseError("the training above did not succeed")
    half = plan.with_suffix(".half")
    half.write_bytes((plant / "plan.yaml").read_bytes())
    half.replace(plan)
    say("3/3 starting the service")
