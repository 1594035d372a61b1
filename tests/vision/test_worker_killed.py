"""The vision worker killed while it keeps pictures, before its commit and after it: each frame has one finding."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from ingest.blobs import Blobs
from ingest.errors import LogUnavailable
from ingest.log.opening import open_log
from ingest.log.seam import Batch, Log, Member, Outgoing
from ingest.messages import Instant
from ingest.plan.plan import Plan
from ingest.role import wall_ms
from ingest.settings import Settings
from ingest.topics import create_topics
from tests.fusion.conftest import make_plan
from tests.killed import Killed, dying_at
from tests.vision.conftest import draw, encode
from vision.inspect import Eyes
from vision.worker import VisionWorker

FRAMES = 9


class Road:
    """A log with frames on two partitions, some of them twice; and one worker after another."""

    def __init__(self, home: Path) -> None:
        self.settings = Settings(home=str(home), partitions=2, session_timeout_ms=2000)
        self.plan: Plan = make_plan()
        self.log: Log = open_log(self.settings)
        create_topics(self.log, self.settings)
        producer = self.log.producer()
        for number in range(FRAMES):
            headers = {
                "part_id": f"P{number}", "line_id": "L1", "camera_id": "top", "content-type": "image/png",
                "captured_at": Instant(wall_ms() + number).isoformat(),
            }  # fmt: skip
            named = tuple((name, value.encode()) for name, value in headers.items())
            frame = Outgoing(self.settings.topic("frames"), f"P{number}".encode(), encode(draw(number)), named)
            producer.append(frame)
        producer.close()

    def work(self, harm: Callable[[VisionWorker, Member], None] = lambda worker, member: None) -> None:
        """One worker until all is read, or until it is killed."""
        worker = VisionWorker(self.plan, self.settings, Eyes.open(Path(self.settings.shelf), ["top"]))
        member = self.log.member("vision", [self.settings.topic("frames")])
        harm(worker, member)
        try:
            with ThreadPoolExecutor(2) as pool:
                for _ in range(6):
                    worker.cycle(member, pool)
        finally:
            member.close()

    def found(self) -> Counter[str]:
        reader = self.log.reader([self.settings.topic("findings")], "beginning")
        ends, told = reader.ends(), Counter[str]()
        while any(reader.positions()[place] < end for place, end in ends.items()):
            told.update(msgspec.json.decode(record.body or b"")["part_id"] for record in reader.poll(0.1))
        reader.close()
        return told


@pytest.fixture
def road(tmp_path: Path) -> Iterator[Road]:
    made = Road(tmp_path)
    yield made
    made.log.close()


def killed_at_picture(place: int) -> Callable[[VisionWorker, Member], None]:
    def harm(worker: VisionWorker, member: Member) -> None:
        worker._blobs.put = dying_at(place, worker._blobs.put)  # type: ignore[method-assign]

    return harm


def killed_at_commit(after: bool) -> Callable[[VisionWorker, Member], None]:
    def harm(worker: VisionWorker, member: Member) -> None:
        commit = member.commit_lanes

        def dying(batches: Mapping[int, Batch]) -> set[int]:
            if after:
                commit(batches)
            if batches:
                raise Killed
            return set()

        member.commit_lanes = dying  # type: ignore[method-assign]

    return harm


@pytest.mark.parametrize(
    "harm", [killed_at_picture(0), killed_at_picture(4), killed_at_commit(after=False), killed_at_commit(after=True)]
)
def test_a_worker_that_is_killed_loses_no_frame_and_doubles_none(
    road: Road, harm: Callable[[VisionWorker, Member], None]
) -> None:
    with pytest.raises(Killed):
        road.work(harm)
    road.work()
    assert road.found() == {f"P{number}": 1 for number in range(FRAMES)}


def test_frames_wait_for_a_store_that_is_away_and_are_no_dead_letters(
    road: Road, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pictures are in the plant's store, and it does not answer for a while."""
    Blobs(road.settings.blobs).put("plant/one.png", encode(draw(50)))
    headers = {
        "part_id": "P50", "line_id": "L1", "camera_id": "top", "content-type": "image/png", "ref": "plant/one.png",
        "captured_at": Instant(wall_ms()).isoformat(),
    }  # fmt: skip
    producer = road.log.producer()
    named = tuple((name, value.encode()) for name, value in headers.items())
    producer.append(Outgoing(road.settings.topic("frames"), b"P50", b"", named))
    producer.close()
    read = Path.read_bytes

    def away(path: Path) -> bytes:
        if path.name == "one.png":
            raise OSError(errno.ESTALE, "stale file handle")
        return read(path)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", away)
        with pytest.raises(LogUnavailable, match="away"):
            road.work()
    road.work()
    assert road.found()["P50"] == 1


def test_one_name_written_by_several_at_once_is_whole(tmp_path: Path) -> None:
    """A frame that comes twice is kept twice at the same moment."""
    blobs, body = Blobs(str(tmp_path)), b"x" * 1_000_000
    with ThreadPoolExecutor(8) as pool:
        done = [pool.submit(blobs.put, "frames/aa/one.png", body) for _ in range(64)]
    assert [one.exception() for one in done] == [None] * 64
    assert blobs.get("frames/aa/one.png") == body
    assert len(list((tmp_path / "frames" / "aa").iterdir())) == 1
