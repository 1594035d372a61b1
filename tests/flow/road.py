"""A whole road for tests: a home with a trained shelf, roles as real processes, a folder published on the log."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ingest.folder.replay_folder import Folder
from ingest.log.opening import open_log
from ingest.log.seam import Log
from ingest.messages import Verdict, json_decoder
from ingest.publish import publish_folder
from ingest.settings import Settings
from ingest.topics import create_topics, tail

ROOT = Path(__file__).resolve().parents[2]
SESSION_TIMEOUT_MS = 2000
VERDICT = json_decoder(Verdict)
HAIR = 0.05  # of the threshold

Decided = tuple[str, str, str, int]  # line, gate, part, attempt


@dataclass
class Road:
    """Roles on one log. `spawn` starts a role as a process; `verdicts` reads what was committed."""

    settings: Settings
    log: Log
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @classmethod
    def build(cls, home: Path, shelf: Path, plan: Path, **settings: str | int) -> Road:
        home.mkdir(parents=True, exist_ok=True)
        shutil.copy(plan, home / "plan.yaml")
        if not (home / "shelf").exists():
            shutil.copytree(shelf, home / "shelf")
        chosen = Settings(home=str(home), session_timeout_ms=SESSION_TIMEOUT_MS, **settings)  # type: ignore[arg-type]
        log = open_log(chosen)
        create_topics(log, chosen)
        return cls(chosen, log)

    def spawn(self, role: str) -> subprocess.Popen[bytes]:
        s = self.settings
        chosen = {
            "QCFUSE_HOME": s.home, "QCFUSE_LOG": s.log, "QCFUSE_TOPIC_PREFIX": s.topic_prefix,
            "QCFUSE_SESSION_TIMEOUT_MS": str(s.session_timeout_ms), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        process = subprocess.Popen([sys.executable, "-m", "api.cli", role], env={**os.environ, **chosen})
        self.running.append(process)
        return process

    def publish(self, folder: Path, speed: float = 0.0) -> int:
        return publish_folder(Folder(folder, self.settings), self.log, self.settings, speed, lambda _: None).total

    def verdicts(self) -> list[Verdict]:
        return [VERDICT.decode(record.body or b"") for record in tail(self.log, self.settings, "verdicts")]

    def wait_for(self, enough: Callable[[list[Verdict]], bool], limit_s: float = 90.0) -> list[Verdict]:
        """The verdicts as soon as they are enough; fails with what there was after `limit_s`."""
        end = time.monotonic() + limit_s
        while True:
            found = self.verdicts()
            if enough(found):
                return found
            if time.monotonic() > end:
                raise AssertionError(f"only {len(found)} verdicts within {limit_s} s\n{self._account(found)}")
            time.sleep(0.25)

    def _account(self, verdicts: list[Verdict]) -> str:
        """What there is to look at when verdicts stay away: how many of each kind, who waits for what, who lives."""
        counted = Counter((v.line_id, v.gate_id, v.decision) for v in verdicts)
        waiting = [
            f"{v.verdict_id} without {v.evidence.missing}" for v in final(verdicts).values() if v.evidence.missing
        ]
        beats = [path.read_text("utf-8") for path in sorted(Path(self.settings.home, "run").glob("*.json"))]
        ended = [f"{process.args} ended {process.returncode}" for process in self.running if process.poll() is not None]
        return "\n".join([str(counted), *waiting, *beats, *ended])

    def close(self) -> None:
        for process in self.running:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        for process in self.running:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.log.close()


def final(verdicts: list[Verdict]) -> dict[Decided, Verdict]:
    """The last revision for each (line, gate, part, attempt)."""
    return {(v.line_id, v.gate_id, v.part_id, v.attempt): v for v in sorted(verdicts, key=lambda v: v.revision)}


def assert_decided_alike(verdicts: list[Verdict], calm: Mapping[Decided, Verdict]) -> None:
    """The final decisions are those of a run that nobody disturbed.

    History counts a part by what was known at its first look. Under load, or after a crash, a deadline passes first and
    a frame is missing then; later parts' risks move by a hair, which may lie on either side of the threshold."""
    last = final(verdicts)
    assert last.keys() == calm.keys()
    for key, verdict in last.items():
        alike = verdict.decision == calm[key].decision
        assert alike or (near_threshold(verdict) and near_threshold(calm[key])), (key, verdict, calm[key])


def near_threshold(verdict: Verdict) -> bool:
    risk, threshold = verdict.risk, verdict.threshold
    return risk is not None and threshold is not None and abs(risk - threshold) <= HAIR * threshold


def complete(parts: set[tuple[str, str]]) -> Callable[[list[Verdict]], bool]:
    """Has every part at the end of its line a final verdict on complete evidence?"""

    def enough(verdicts: list[Verdict]) -> bool:
        done = {(v.line_id, v.part_id) for v in final(verdicts).values() if v.gate_id == "EOL" and v.evidence.complete}
        return parts <= done

    return enough


def assert_exactly_once(verdicts: list[Verdict]) -> None:
    """Revisions are 1, 2, ... once each; a line and gate's sequence has no gap and no repeat."""
    revisions: dict[tuple[str, str, str, int], list[int]] = defaultdict(list)
    sequences: dict[tuple[str, str], list[int]] = defaultdict(list)
    for verdict in verdicts:
        revisions[(verdict.line_id, verdict.gate_id, verdict.part_id, verdict.attempt)].append(verdict.revision)
        sequences[(verdict.line_id, verdict.gate_id)].append(verdict.sequence)
    for key, numbers in revisions.items():
        assert numbers == list(range(1, len(numbers) + 1)), key
    for gate, found in sequences.items():
        assert found == list(range(1, len(found) + 1)), gate
