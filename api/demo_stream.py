"""The simulated plant at work: what came after its past, then shift after shift, published until told to stop."""

from __future__ import annotations

import multiprocessing
import shutil
import signal
import sys
from pathlib import Path

from ingest.errors import QcfuseError
from ingest.folder.replay_folder import Folder
from ingest.log.opening import open_log
from ingest.messages import Instant
from ingest.publish import publish_folder
from ingest.settings import Settings, read_settings
from ingest.simulate import write_plant

SHIFT_PARTS = 300  # parts of one later shift; the next is drawn while this one runs
FIRST_SEED = 1001
SPEED = 6.0  # times the plant's own pace: a flagged part every few seconds
CUT_FILE = "until"  # beside the plant's folder: what began before this time is its past


def stream(settings: Settings) -> None:
    """Publish for ever. Nothing is published twice, also after a restart: a part comes once."""
    home = Path(settings.home)
    progress_file = home / "stream.seed"
    log = open_log(settings)
    try:
        if not progress_file.is_file():
            progress_file.write_text(str(FIRST_SEED - 1))
            cut = Instant.parse((home / CUT_FILE).read_text())
            plant = Folder(home / "plant", settings)
            publish_folder(plant, log, settings, SPEED, lambda _: None, since=cut)
        while True:
            seed = int(progress_file.read_text()) + 1
            folder = home / "stream" / str(seed)
            _draw(folder, seed)
            progress_file.write_text(str(seed))
            following = multiprocessing.Process(
                target=_draw, args=(folder.with_name(str(seed + 1)), seed + 1), daemon=True
            )
            following.start()
            publish_folder(Folder(folder, settings), log, settings, SPEED, lambda _: None)
            following.join()
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        log.close()


def _draw(folder: Path, seed: int) -> None:
    if not (folder / "plan.yaml").is_file():
        write_plant(folder, SHIFT_PARTS, seed)


def _leave(_number: int, _frame: object) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _leave)
    try:
        stream(read_settings())
    except QcfuseError as trouble:
        sys.exit(str(trouble))
