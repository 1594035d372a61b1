"""The API role: one process with the collector, the stream, the HTTP API and the screens."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import uvicorn
from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

from api.access.gatekeeper import Gatekeeper
from api.access.limits import Limits
from api.access.oidc import open_directory
from api.access.people import FIRST_ADMIN, first_admin
from api.agreement.draw import Draw
from api.collect import Collector, wall_clock
from api.harvest import Harvester
from api.http.errors import answer_errors
from api.http.lanes import keep_to_usual
from api.http.openapi import describe
from api.installation import Installation
from api.metrics import Measured, Metrics
from api.publish import Publisher
from api.road import heartbeats
from api.routers import ROUTERS
from api.screens.pages import STATIC
from api.store.database import migrate
from api.store.desk import Desk
from api.store.exercises import ExerciseStore
from api.store.people import PeopleStore
from api.store.quality import QualityStore
from api.store.queue import QueueStore
from api.store.read import StoreReader
from api.store.repeats import RepeatStore
from api.store.views import ViewStore
from api.store.write import StoreWriter
from api.stream import Broadcaster
from api.urgency import Ranking
from api.wording.clock import zone_named
from api.wording.languages import load_languages
from api.wording.reader import Reading
from ingest.blobs import Blobs
from ingest.errors import BadInput
from ingest.log.opening import open_log
from ingest.log.seam import Log
from ingest.plan.file import load_plan
from ingest.plan.plan import Plan
from ingest.role import BEAT_S, Role
from ingest.settings import Settings
from ingest.topics import create_topics

GRACE_S = 2  # open streams are let go at once; a request that takes longer than this is cut


@dataclass(frozen=True, slots=True)
class Service:
    """An installation, the collector's hand on its store, and whom to tell when the collector crashes (our bug)."""

    here: Installation
    writer: StoreWriter
    on_crash: Callable[[BaseException], None]


def open_installation(
    settings: Settings, plan: Plan, open_the_log: Callable[[], Log]
) -> tuple[Installation, StoreWriter]:
    """Open the store and all that a route may need. The store must be migrated."""
    reader = StoreReader(settings.store)
    holder = f"{socket.gethostname()}-{os.getpid()}-{time.time_ns()}"
    exercises = ExerciseStore(settings.store)
    draw = Draw(exercises.drawing_key(), plan.reviews)
    writer = StoreWriter(settings.store, holder, draw, Ranking(plan))
    broadcaster = Broadcaster(reader, draw)
    collector = Collector(open_the_log, writer, Harvester(settings, plan), broadcaster.wake_from_thread)
    metrics = Metrics()
    metrics.watch(lambda: collector.state, lambda: collector.left_out, lambda: heartbeats(settings))
    here = Installation(
        settings=settings,
        plan=plan,
        reader=reader,
        desk=Desk(settings.store),
        blobs=Blobs(settings.blobs),
        publisher=Publisher(settings, open_the_log),
        queue=QueueStore(settings.store),
        views=ViewStore(settings.store),
        repeats=RepeatStore(settings.store),
        people=PeopleStore(settings.store),
        collector=collector,
        broadcaster=broadcaster,
        quality=QualityStore(settings.store),
        exercises=exercises,
        draw=draw,
        metrics=metrics,
        directory=open_directory(settings, wall_clock),
        languages=load_languages(settings.home, settings.language),
        zone=zone_named(settings.time_zone),
    )
    return here, writer


def build_app(service: Service, beat: Callable[[], object] = lambda: None) -> FastAPI:
    """The web application around a service. `beat` is called every second while it runs."""
    here = service.here

    @contextlib.asynccontextmanager
    async def life(_app: FastAPI) -> AsyncIterator[None]:
        keep_to_usual()
        here.broadcaster.live_in(asyncio.get_running_loop())
        stop = threading.Event()
        collecting = asyncio.create_task(asyncio.to_thread(here.collector.run, stop))
        collecting.add_done_callback(lambda task: _tell_crash(task, service))
        beating = asyncio.create_task(_beat(beat))
        streaming = asyncio.create_task(here.broadcaster.run())
        yield
        stop.set()
        beating.cancel()
        await here.broadcaster.close()
        await asyncio.gather(collecting, beating, streaming, return_exceptions=True)
        _close(service)

    app = FastAPI(
        title="qcfuse", version="1", lifespan=life, openapi_url="/api/openapi.json", docs_url=None, redoc_url=None
    )
    app.state.installation = here
    answer_errors(app)
    for router in ROUTERS:
        app.include_router(router)
    describe(app)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.add_middleware(Reading)
    app.add_middleware(Gatekeeper, limits=Limits(here.settings), here=here)
    app.add_middleware(Measured, metrics=here.metrics)
    return app


def _close(service: Service) -> None:
    here = service.here
    stores = (here.queue, here.views, here.repeats, here.people, here.quality, here.exercises, here.desk, here.reader)
    for opened in (here.publisher, service.writer, *stores):
        opened.close()
    if here.directory:
        here.directory.close()


def _tell_crash(task: asyncio.Task[None], service: Service) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None:
        service.on_crash(error)


async def _beat(beat: Callable[[], object]) -> None:
    while True:
        beat()
        await asyncio.sleep(BEAT_S / 4)


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # Named TCP: only then asyncio sends what is written at once, and an answer's body waits 40 ms for nobody's receipt.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
    except OSError as error:
        listening.close()
        where = f"{settings.host}:{settings.port}"
        raise BadInput(f"QCFUSE_HOST, QCFUSE_PORT: cannot listen on {where} ({error.strerror})") from error
    return listening


def run(settings: Settings, tell: Callable[[str], None]) -> None:
    """Serve until told to stop. `tell`: says a sentence to whoever started it, the first admin's one-time password.
    Raises BadInput (plan, store, port), LogUnavailable, StoreUnavailable."""
    plan = load_plan(settings.plan)
    migrate(settings.store)
    log = open_log(settings)
    try:
        create_topics(log, settings)
    finally:
        log.close()
    with Role("api", settings.home) as role, _listen(settings) as listening:
        if secret := first_admin(settings):
            tell(f"first start: log in as {FIRST_ADMIN} with the one-time password {secret}; it is not shown again")
        here, writer = open_installation(settings, plan, lambda: open_log(settings))
        crashes: list[BaseException] = []
        service = Service(here, writer, crashes.append)
        app = build_app(service, lambda: role.beat(lambda: {"collected": here.collector.state.collected}))
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=GRACE_S,
            ws="none",
            server_header=False,
        )
        _serve(ApiServer(config, here.broadcaster), listening, role, crashes)


class ApiServer(uvicorn.Server):
    """Lets the clients of the stream go before it waits for open requests: a stream has no end of its own."""

    def __init__(self, config: uvicorn.Config, broadcaster: Broadcaster) -> None:
        super().__init__(config)
        self._broadcaster = broadcaster

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._broadcaster.close()
        await super().shutdown(sockets)


def _serve(server: uvicorn.Server, listening: socket.socket, role: Role, crashes: list[BaseException]) -> None:
    """Serve until told to stop, or until a thread of ours has crashed: then the process ends with that error."""

    async def watch() -> None:
        while not (crashes or role.stopping or server.should_exit):
            await asyncio.sleep(BEAT_S / 4)
        server.should_exit = True

    async def serve() -> None:
        watching = asyncio.create_task(watch())
        await server.serve(sockets=[listening])
        await watching

    asyncio.run(serve())
    if crashes:
        raise crashes[0]
