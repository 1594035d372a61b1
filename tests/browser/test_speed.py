"""No page is heavy, asks another host, or has anything in it that the content policy forbids. Nothing is timed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from selenium import webdriver

from api.access.tokens import issue_token
from api.routers import ROUTERS
from tests.api.conftest import Live, serve, until
from tests.api.factory import keep_evidence, make_findings, make_verdict, make_visit, publish, settings_at

pytestmark = pytest.mark.browser

PAGES = (
    *(
        "/",
        "/parts/A1",
        "/parts/none",
        "/batches",
        "/plant",
        "/exposed?cause=tool_id=T7",
        "/api/batches/B77/report?format=html",
    ),
    *("/quality", "/rules", "/audit", "/people", "/account", "/docs", "/login"),
)
NO_PAGES = ("/api/", "/oidc/", "/texts/", "/healthz", "/readyz", "/metrics", "/audit.csv")
PAGE_BYTES_MAX = 300_000  # without images
POLICY = {"default-src": "'self'", "frame-ancestors": "'none'"}
WATCH = """window.refused = [];
    addEventListener("securitypolicyviolation", (told) => refused.push(told.violatedDirective, told.blockedURI));"""
LOADED = """return document.readyState === "complete" && performance.getEntriesByType("resource").concat(
    performance.getEntriesByType("navigation")).map((one) => [one.name, one.initiatorType, one.decodedBodySize])"""


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A part with everything a part may have."""
    with serve(settings_at(tmp_path_factory.mktemp("speed") / "home")) as served:
        frame_ref, heatmap_ref, evidence_ref = keep_evidence(served.settings, "A1")
        seen = make_findings("A1", frame_ref=frame_ref, heatmap_ref=heatmap_ref)
        judged = make_verdict("A1", evidence_ref=evidence_ref)
        publish(served.log, served.settings, production=[make_visit("A1")], findings=[seen], verdicts=[judged])
        served.collected(1)
        yield served


@pytest.fixture(scope="module")
def opened(browser: webdriver.Chrome, live: Live) -> webdriver.Chrome:
    """A browser that keeps nothing and notes what the content policy refuses."""
    browser.get(f"{live.base}/?token={issue_token(live.settings, 'anna', 'admin')}")
    browser.execute_cdp_cmd("Network.enable", {})
    browser.execute_cdp_cmd("Network.setCacheDisabled", {"cacheDisabled": True})
    browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCH})
    return browser


def loaded(browser: webdriver.Chrome, address: str) -> list[list[Any]]:
    """Name, kind and bytes of all that this page fetched, the page first or last among them."""
    browser.get(address)
    found: list[list[Any]] = []

    def complete() -> bool:
        found[:] = browser.execute_script(LOADED) or []
        return bool(found)

    until(complete, "the page")
    return found


def test_every_page_is_looked_at() -> None:
    routes = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    found = {route.path for route in routes if "GET" in (route.methods or ()) and not route.path.startswith(NO_PAGES)}
    known = {page.partition("?")[0].replace("A1", "{part_id:path}") for page in PAGES}
    assert found <= known


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_light_without_its_pictures(opened: webdriver.Chrome, live: Live, page: str) -> None:
    parts = [bytes_ for _, kind, bytes_ in loaded(opened, live.base + page) if kind not in ("img", "fetch", "other")]
    assert 0 < sum(parts) < PAGE_BYTES_MAX


@pytest.mark.parametrize("page", PAGES)
def test_a_page_asks_no_other_host(opened: webdriver.Chrome, live: Live, page: str) -> None:
    names = [name for name, _, _ in loaded(opened, live.base + page)]
    assert not [name for name in names if not name.startswith((live.base + "/", "data:", "blob:"))]


@pytest.mark.parametrize("page", PAGES)
def test_the_content_policy_forbids_other_hosts_and_refuses_nothing_of_ours(
    opened: webdriver.Chrome, live: Live, page: str
) -> None:
    loaded(opened, live.base + page)
    assert opened.execute_script("return window.refused") == []
    with httpx.Client(headers={"Accept": "text/html"}) as plain:
        told = plain.get(live.base + page).headers["content-security-policy"]
    policy = dict(rule.strip().split(" ", 1) for rule in told.split(";"))
    assert {name: policy.get(name) for name in POLICY} == POLICY
    assert "unsafe-inline" not in policy.get("script-src", policy["default-src"])
    assert not [source for sources in policy.values() for source in sources.split() if "." in source or "*" in source]
