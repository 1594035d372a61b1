"""Sessions: how they end, and what a browser must send along so that no other site can use them."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import alembic.command
import alembic.config
import httpx
import pytest
from fastapi.routing import APIRoute

from api.access import gatekeeper
from api.access.csrf import FORM_BYTES_MAX, UNSAFE, csrf_token
from api.access.gatekeeper import COOKIE, OPEN_PATHS
from api.access.people import add_person
from api.access.remembered import REMEMBER_S
from api.access.tokens import HOUR_MS, issue_token, sha256_of
from api.routers import ROUTERS
from api.store.database import MIGRATIONS, migrate, open_engine
from api.store.desk import Desk
from api.store.people import Account, PeopleStore
from api.store.rows import Person
from ingest.messages import Instant
from tests.api.conftest import Live, serve
from tests.api.factory import make_verdict, publish, settings_at

MARKS = ("Origin", "Sec-Fetch-Site", "Referer")
ORDER = {"mode": "auto"}
HOUR = float(HOUR_MS)


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with serve(settings_at(tmp_path_factory.mktemp("sessions") / "home")) as live:
        yield live


@pytest.fixture
def client(plant: Live) -> Iterator[httpx.Client]:
    """Somebody with a session, begun with a token."""
    with httpx.Client(base_url=plant.base, timeout=20) as client:
        token = issue_token(plant.settings, "ann", "qa")
        assert client.post("/api/login", json={"token": token}).status_code == 200
        yield client


def marked(plant: Live, mark: str) -> dict[str, str]:
    return {mark: "same-origin" if mark == "Sec-Fetch-Site" else plant.base}


def token_of(client: httpx.Client) -> str:
    return csrf_token(client.cookies[COOKIE])


@pytest.mark.parametrize("mark", MARKS)
def test_a_browser_sends_the_sessions_token_or_is_refused(plant: Live, client: httpx.Client, mark: str) -> None:
    marks = marked(plant, mark)
    for sent in ({}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": csrf_token("another session")}, {"X-CSRF-Token": "\xff"}):
        headers = [(name, value.encode("latin-1")) for name, value in (marks | sent).items()]
        answer = client.post("/api/control/mode", json=ORDER, headers=headers)
        assert answer.status_code == 403
        assert "load it again" in answer.json()["error"]["message"]
    good = marks | {"X-CSRF-Token": token_of(client)}
    assert client.post("/api/control/mode", json=ORDER, headers=good).status_code == 202
    assert client.get("/api/me", headers=marks).status_code == 200, "reading takes none"


def test_every_route_that_changes_anything_asks_browsers_for_the_token(plant: Live, client: httpx.Client) -> None:
    asked = 0
    for router in ROUTERS:
        for route in router.routes:
            methods = route.methods & set(UNSAFE) if isinstance(route, APIRoute) else set()
            for method in methods:
                path = re.sub(r"\{[^}]+\}", "x", route.path) if isinstance(route, APIRoute) else ""
                if path in OPEN_PATHS:
                    continue
                answer = client.request(method, path, headers={"Origin": plant.base})
                assert (answer.status_code, "load it again" in answer.text) == (403, True), (method, path)
                asked += 1
    assert asked >= 10


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_sites_request_is_refused_whatever_it_carries(plant: Live, client: httpx.Client, site: str) -> None:
    headers = {"Sec-Fetch-Site": site, "X-CSRF-Token": token_of(client)}
    assert client.post("/api/control/mode", json=ORDER, headers=headers).status_code == 403


def test_scripts_with_the_cookie_and_machines_with_a_token_need_none(plant: Live, client: httpx.Client) -> None:
    assert client.post("/api/control/mode", json=ORDER).status_code == 202
    with plant.client("qa") as machine:
        answer = machine.post("/api/control/mode", json=ORDER, headers={"Origin": plant.base})
        assert answer.status_code == 202


def test_the_pages_carry_the_token_and_a_form_without_it_does_nothing(plant: Live, client: httpx.Client) -> None:
    page = client.get("/batches").text
    assert f'data-csrf="{token_of(client)}"' in page
    assert f'name="csrf" value="{token_of(client)}"' in page
    assert client.cookies[COOKIE] not in page
    marks = marked(plant, "Origin")
    for form in ({}, {"csrf": "x"}, {"else": token_of(client)}):
        assert client.post("/api/logout", data=form, headers=marks).status_code == 403
    too_long = {"csrf": token_of(client), "else": "x" * FORM_BYTES_MAX}
    assert client.post("/api/logout", data=too_long, headers=marks).status_code == 413
    assert client.get("/api/me").status_code == 200
    assert client.post("/api/logout", data={"csrf": token_of(client)}, headers=marks).status_code == 303


def test_a_one_time_password_does_not_stop_somebody_else_from_logging_in(plant: Live) -> None:
    secrets = {name: add_person(plant.settings, name, "qa", by="test") for name in ("eva", "ulf")}
    with httpx.Client(base_url=plant.base, timeout=20) as client:
        marks = marked(plant, "Origin")
        client.post("/login", data={"name": "eva", "password": secrets["eva"]}, headers=marks)
        first = client.cookies[COOKIE]
        assert client.get("/login").status_code == 200
        answer = client.post("/login", data={"name": "ulf", "password": secrets["ulf"]}, headers=marks)
        assert answer.status_code == 303
        assert client.get("/api/me").json()["name"] == "ulf"
        with httpx.Client(base_url=plant.base, cookies={COOKIE: first}) as earlier:
            assert earlier.get("/api/me").status_code == 401, "a browser has one session"
        assert client.get("/texts/de.js").status_code == 200, "the page that asks for the change speaks too"
        token = issue_token(plant.settings, "gil", "qa")
        assert client.get("/", params={"token": token}).headers["location"] == "/"
        assert client.get("/api/me").json()["name"] == "gil"


def test_log_out_stands_in_the_audit(plant: Live, client: httpx.Client) -> None:
    with plant.client("admin") as admin:
        client.post("/api/logout")
        newest = admin.get("/api/audit?limit=1").json()["items"][0]
    assert (newest["action"], newest["by"]) == ("logout", "ann")


def test_what_an_open_page_asks_by_itself_does_not_keep_a_session(
    plant: Live, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gatekeeper, "TELL_USE_MS", -1.0)
    people, digest = PeopleStore(plant.settings.store), sha256_of(client.cookies[COOKIE])

    def seen_at() -> Instant:
        session = people.session(digest, Instant(time.time() * 1000), HOUR)
        assert session is not None
        return session.seen_at

    begun = seen_at()
    asked = ("/api/overview", "/api/queue", "/api/queue/mine", "/api/queue/standing?part_id=P1", "/api/views")
    for path in (*asked, "/api/incidents"):
        assert client.get(path, headers=marked(plant, "Referer")).status_code == 200
    assert seen_at() == begun
    assert client.get("/api/verdicts", headers=marked(plant, "Referer")).status_code == 200
    used = seen_at()
    assert used > begun
    assert client.get("/api/overview").status_code == 200
    assert seen_at() > used, "a script that asks is at work"
    people.close()


def test_a_live_stream_ends_with_the_session(
    plant: Live, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gatekeeper, "STREAM_ASKS_S", 0.0)
    number = iter(range(100))

    def another() -> None:
        publish(plant.log, plant.settings, verdicts=[make_verdict(f"S{next(number)}")])

    with client.stream("GET", "/api/verdicts/stream") as stream:
        lines = stream.iter_lines()
        assert next(lines).startswith("retry")
        another()
        assert any(line.startswith("data:") for line in lines)
        httpx.post(f"{plant.base}/api/logout", cookies=dict(client.cookies))
        time.sleep(REMEMBER_S * 1.1)
        another()
        assert not [line for line in lines if line.startswith("data:")]


@pytest.fixture
def people(store_url: str) -> Iterator[PeopleStore]:
    store = PeopleStore(store_url)
    yield store
    store.close()


def account(name: str, role: str = "admin") -> Account:
    return Account(name, role, "hash", must_change=False, disabled=False, made_at=Instant(0))


def test_a_session_ends_when_its_time_is_over_or_nobody_uses_it(people: PeopleStore) -> None:
    people.add(account("ann"))
    people.begin_session("s", Instant(0), Instant(12 * HOUR), account="ann")

    def good(at: float) -> bool:
        return people.session("s", Instant(at), HOUR) is not None

    assert [good(at) for at in (0, HOUR - 1, HOUR)] == [True, True, False]
    for hour in range(1, 12):
        people.use_session("s", Instant(hour * HOUR - 1))
    assert [good(at) for at in (11.9 * HOUR, 12 * HOUR - 2)] == [True, True]
    people.use_session("s", Instant(12 * HOUR - 1))
    assert not good(12 * HOUR)


def test_a_display_opened_with_a_token_needs_nobody_before_it(store_url: str, people: PeopleStore) -> None:
    desk = Desk(store_url)
    assert desk.add_token("t", Person("wall", "inspector"), Instant(0), Instant(20 * HOUR))
    people.begin_session("s", Instant(0), Instant(12 * HOUR), token_sha256="t")
    assert people.session("s", Instant(12 * HOUR - 1), HOUR) is not None
    assert people.session("s", Instant(12 * HOUR), HOUR) is None
    desk.revoke_tokens("wall")
    assert people.session("s", Instant(1), HOUR) is None
    desk.close()


@pytest.mark.parametrize("changes", [{"role": "qa"}, {"disabled": True}, {"password_hash": "another"}])
def test_a_session_ends_with_what_it_rests_on(people: PeopleStore, changes: dict[str, object]) -> None:
    people.add(account("ann"))
    people.add(account("bea"))
    people.begin_session("s", Instant(0), Instant(HOUR), account="ann")
    people.change("ann", display_name="Ann", group_name="late", language="de")
    kept = people.session("s", Instant(1), HOUR)
    assert kept is not None
    assert (kept.person.group, kept.person.language) == ("late", "de")
    assert people.change("ann", **changes) == "changed"
    assert people.session("s", Instant(1), HOUR) is None


def test_the_last_admin_stays_one_also_when_two_take_it_from_each_other_at_once(people: PeopleStore) -> None:
    names = ["ann", "bea", "cat", "dot"]
    for name in names:
        people.add(account(name))
    people.add(account("eve", "qa"))
    people.change("dot", disabled=True)
    said: list[str] = []
    start = threading.Barrier(3)

    def take(name: str) -> None:
        start.wait()
        said.append(people.change(name, role="qa"))

    threads = [threading.Thread(target=take, args=(name,)) for name in names[:3]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said) == ["changed", "changed", "last_admin"]
    (admin,) = (one.name for one in people.every() if one.role == "admin" and not one.disabled)
    assert people.change(admin, disabled=True) == "last_admin"
    assert people.change(admin, display_name="the last") == "changed"
    assert people.change("nobody", role="qa") == "unknown"


def test_accounts_go_back_and_forward_and_those_without_a_password_go(store_url: str, people: PeopleStore) -> None:
    people.add(account("ann"))
    people.add(replace(account("bea"), directory_id="https://x 0001"))
    people.begin_session("s", Instant(0), Instant(HOUR), account="ann")
    engine = open_engine(store_url, writing=True)
    with engine.connect() as connection:
        config = alembic.config.Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        alembic.command.downgrade(config, "0006")
        connection.commit()
    engine.dispose()
    migrate(store_url)
    assert [one.name for one in people.every()] == ["ann"]
    assert people.session("s", Instant(HOUR - 1), HOUR) is not None, "whoever was logged in is"
