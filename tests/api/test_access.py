"""Who may do what: every route asks for a token, and every role has exactly its rights."""

from __future__ import annotations

import re

import httpx
import pytest
from fastapi.routing import APIRoute

from api.access.csrf import csrf_token
from api.access.gatekeeper import COOKIE
from api.access.tokens import RIGHTS, ROLES, issue_token
from api.routers import ROUTERS
from api.store.desk import Desk
from ingest.errors import BadInput
from ingest.settings import Settings
from tests.api.conftest import Live
from tests.api.factory import make_verdict, publish

OPEN = {("GET", "/healthz"), ("GET", "/readyz"), ("POST", "/api/login"), ("GET", "/login"), ("POST", "/login"),
        ("GET", "/oidc/login"), ("GET", "/oidc/callback")}  # fmt: skip
#: What anybody with a token or a session may do; of the stream, which has no end, test_stream.py asks.
ANYBODY = {
    ("POST", "/api/logout"), ("GET", "/api/me"), ("POST", "/api/account"), ("GET", "/account"),
    ("POST", "/api/account/language"),
    ("GET", "/api/verdicts/stream"), ("GET", "/texts/en.js"),
}  # fmt: skip
#: Rights that depend on what is asked: `test_each_role_has_exactly_its_rights` asks for both modes.
BY_BODY = {("POST", "/api/control/mode")}

#: route -> the right it takes.
GUARDED = {
    ("GET", "/metrics"): "read",
    ("GET", "/api/verdicts"): "read",
    ("GET", "/api/parts/P1"): "read",
    ("GET", "/api/batches"): "read",
    ("GET", "/api/models"): "read",
    ("GET", "/api/oversight"): "read",
    ("GET", "/api/incidents"): "read",
    ("GET", "/api/containment?cause=tool_id=T7"): "read",
    ("GET", "/api/control/mode"): "read",
    ("GET", "/api/overview"): "read",
    ("GET", "/api/audit"): "audit",
    ("GET", "/api/quality"): "quality",
    ("GET", "/api/known"): "quality",
    ("POST", "/api/known"): "quality",
    ("DELETE", "/api/known/P1"): "quality",
    ("GET", "/quality"): "quality",
    ("GET", "/rules"): "read",
    ("GET", "/api/queue"): "read",
    ("GET", "/api/next"): "review",
    ("POST", "/api/parts/P1/hold"): "review",
    ("POST", "/api/parts/P1/missed"): "review",
    ("DELETE", "/api/parts/P1/hold"): "review",
    ("GET", "/api/queue/standing?part_id=P1"): "read",
    ("GET", "/api/queue/mine"): "read",
    ("GET", "/api/queue/settled"): "read",
    ("POST", "/api/queue/begin"): "read",
    ("GET", "/api/views"): "read",
    ("POST", "/api/views"): "read",
    ("DELETE", "/api/views/x"): "read",
    ("POST", "/api/reviews/x/undo"): "review",
    ("GET", "/api/people"): "people",
    ("POST", "/api/people"): "people",
    ("POST", "/api/people/x"): "people",
    ("GET", "/people"): "people",
    ("GET", "/audit"): "audit",
    ("GET", "/audit.csv"): "audit",
    ("GET", "/"): "read",
    ("GET", "/parts/P1"): "read",
    ("GET", "/batches"): "read",
    ("GET", "/plant"): "read",
    ("GET", "/docs"): "read",
    ("GET", "/exposed?cause=tool_id=T7"): "read",
    ("GET", "/api/parts/P1/frames/f"): "read",
    ("GET", "/api/parts/P1/frames/f/heatmap"): "read",
    ("HEAD", "/api/parts/P1/frames/f"): "read",
    ("HEAD", "/api/parts/P1/frames/f/heatmap"): "read",
    ("GET", "/api/thumbnails/P1"): "read",
    ("HEAD", "/api/thumbnails/P1"): "read",
    ("GET", "/api/batches/B/report"): "read",
    ("GET", "/api/marks"): "read",
    ("POST", "/api/parts/P1/reviews"): "review",
    ("POST", "/api/models/fusion/1/promote"): "promote",
}
BODIES: dict[str, dict[str, object]] = {
    "/api/parts/P1/reviews": {"outcome": "unsure"},
    "/api/parts/P1/missed": {},
    "/api/known": {"part_id": "P1", "reason": "teardown"},
    "/api/views": {"name": "x", "query": ""},
    "/api/queue/begin": {"query": None},
    "/api/people": {"name": "zoe", "role": "qa"},
    "/api/people/x": {"reset": True},
}


@pytest.fixture(scope="module")
def one_part(live: Live) -> Live:
    publish(live.log, live.settings, verdicts=[make_verdict("P1")])
    live.collected(1)
    return live


def test_no_route_but_the_open_ones_answers_without_a_token(one_part: Live) -> None:
    with one_part.client("admin") as client:
        paths = client.get("/api/openapi.json").json()["paths"]
    asked = 0
    with one_part.client(None) as client:
        for path, methods in paths.items():
            for method in methods:
                if (method.upper(), path) in OPEN:
                    continue
                answer = client.request(method, re.sub(r"\{\w+\}", "x", path), json={})
                assert answer.status_code == 401, (method, path)
                assert answer.json()["error"]["code"] == "unauthorized"
                asked += 1
        for path in ("/", "/parts/P1", "/batches", "/api/overview", "/api/nothing", "/api/openapi.json", "/docs"):
            assert client.get(path).status_code == 401, path
    assert asked >= 18


def test_every_route_stands_in_the_tables_of_who_may() -> None:
    """A new route fails here until it is said, above, who may use it."""
    asked = [(method, path.partition("?")[0]) for method, path in {*GUARDED, *OPEN, *ANYBODY, *BY_BODY}]
    missing = [
        (method, route.path)
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in route.methods
        if not any(method == one and route.path_regex.match(path) for one, path in asked)
    ]
    assert missing == []


@pytest.mark.parametrize(
    "bad", ["", "Bearer", "Bearer wrong", "Basic cXE6cXE=", "Bearer qcf_" + "0" * 64, "Bearer \xff"]
)
def test_a_token_that_is_none_of_ours_opens_nothing(one_part: Live, bad: str) -> None:
    answer = httpx.get(f"{one_part.base}/api/verdicts", headers={"Authorization": bad.encode("latin-1")})  # type: ignore[dict-item]
    assert answer.status_code == 401


@pytest.mark.parametrize("role", ROLES)
def test_each_role_has_exactly_its_rights(one_part: Live, role: str) -> None:
    with one_part.client(role) as client:
        for (method, path), right in GUARDED.items():
            status = client.request(method, path, json=BODIES.get(path)).status_code
            assert (status == 403) == (right not in RIGHTS[role]), (method, path, status)
        for mode, right in (("manual", "stop"), ("auto", "resume")):
            status = client.post("/api/control/mode", json={"mode": mode}).status_code
            assert status == (202 if right in RIGHTS[role] else 403)
        assert client.get("/api/me").json()["role"] == role


def test_opening_the_address_with_the_token_starts_a_session_and_hides_the_token(one_part: Live) -> None:
    token = issue_token(one_part.settings, "anna", "inspector")
    with one_part.client(None) as client:
        answer = client.get("/", params={"token": token})
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        assert token not in cookie
        assert client.get("/").status_code == 200
        assert client.get("/api/me").json() == {
            "name": "anna",
            "role": "inspector",
            "rights": ["read", "review", "stop"],
        }
        assert client.get("/api/verdicts").status_code == 200
        assert client.post("/api/logout").headers["location"] == "/login"
    with one_part.client(None) as client:
        assert client.get("/", params={"token": "qcf_wrong"}).status_code == 401


def test_login_answers_who_it_is_and_refuses_what_is_none(one_part: Live) -> None:
    token = issue_token(one_part.settings, "bo", "qa")
    with one_part.client(None) as client:
        assert client.post("/api/login", json={"token": "no"}).json()["error"]["code"] == "unauthorized"
        assert client.post("/api/login", json={"token": token}).json()["name"] == "bo"
        assert client.get("/api/me").json()["name"] == "bo"


def test_logging_out_ends_the_session_itself(one_part: Live) -> None:
    token = issue_token(one_part.settings, "cy", "qa")
    with one_part.client(None) as client:
        client.post("/api/login", json={"token": token})
        stolen = dict(client.cookies)
        client.post("/api/logout")
    import time

    time.sleep(1.1)  # the gatekeeper may remember a session for a second
    assert httpx.get(f"{one_part.base}/api/me", cookies=stolen).status_code == 401


def test_another_sites_page_cannot_use_a_session(one_part: Live) -> None:
    token = issue_token(one_part.settings, "di", "qa")
    with one_part.client(None) as client:
        client.post("/api/login", json={"token": token})
        answer = client.post(
            "/api/control/mode", json={"mode": "manual"}, headers={"Origin": "https://elsewhere.example"}
        )
        assert answer.status_code == 403
        csrf = csrf_token(client.cookies[COOKIE])
        own = {"Origin": one_part.base, "X-CSRF-Token": csrf}
        assert client.post("/api/control/mode", json={"mode": "auto"}, headers=own).status_code == 202


def test_a_revoked_or_ended_token_opens_nothing(one_part: Live) -> None:
    settings = one_part.settings
    ended = issue_token(settings, "eva", "qa", days=1e-9)
    revoked = issue_token(settings, "fay", "qa")
    desk = Desk(settings.store)
    assert desk.revoke_tokens("fay") == 1
    desk.close()
    for token in (ended, revoked):
        answer = httpx.get(f"{one_part.base}/api/me", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 401


def test_a_token_is_kept_only_as_a_hash(settings: Settings) -> None:
    from pathlib import Path

    token = issue_token(settings, "gus", "admin")
    files = [path.read_bytes() for path in Path(settings.home).glob("store.db*")]
    assert files
    assert not any(token.encode() in content for content in files)


@pytest.mark.parametrize(("name", "role"), [("", "qa"), ("x" * 81, "qa"), ("a\nb", "qa"), ("ok", "boss")])
def test_a_name_or_role_that_cannot_be_is_refused(settings: Settings, name: str, role: str) -> None:
    with pytest.raises(BadInput):
        issue_token(settings, name, role)
