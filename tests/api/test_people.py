"""People: log-in by name and password, one-time secrets, patience with guessers, and what admins may do to accounts."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from argon2 import PasswordHasher
from hypothesis import given
from hypothesis import strategies as st

from api.access import passwords
from api.access.passwords import FREE_FAILURES, Patience, Strangers, is_password, one_time_secret
from api.access.people import Wish, add_person, change_person, first_admin
from api.access.tokens import issue_token, revoke_tokens
from api.store.people import PeopleStore
from ingest.errors import BadInput
from ingest.settings import Settings
from tests.api.conftest import Live, serve
from tests.api.factory import settings_at

GOOD = "a password of my own"


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with serve(settings_at(tmp_path_factory.mktemp("people") / "home")) as live:
        yield live


def browser(live: Live) -> httpx.Client:
    """A client without a token, which keeps cookies."""
    return httpx.Client(base_url=live.base, timeout=20)


def log_in(client: httpx.Client, name: str, password: str) -> httpx.Response:
    return client.post("/api/login", json={"name": name, "password": password})


@contextmanager
def known(live: Live, name: str, role: str = "inspector") -> Iterator[httpx.Client]:
    """Somebody logged in who has chosen a password."""
    secret = add_person(live.settings, name, role, by="test")
    with browser(live) as client:
        assert log_in(client, name, secret).status_code == 200
        assert client.post("/api/account", json={"password": secret, "new_password": GOOD}).status_code == 204
        yield client


def test_a_one_time_password_opens_nothing_but_its_own_change(plant: Live) -> None:
    secret = add_person(plant.settings, "eve", "qa", by="test")
    with browser(plant) as client:
        assert log_in(client, "eve", secret).json()["must_change"]
        for path in ("/api/verdicts", "/api/queue", "/metrics", "/api/people"):
            assert client.get(path).status_code == 403
        page = client.get("/", headers={"Accept": "text/html"})
        assert (page.status_code, page.headers["location"]) == (303, "/account")
        assert "made for one time" in client.get("/account").text
        for wrong, status in ((("nonsense", GOOD), 403), ((secret, "short"), 422), ((secret, secret), 422)):
            asked = {"password": wrong[0], "new_password": wrong[1]}
            assert client.post("/api/account", json=asked).status_code == status
        assert client.post("/api/account", json={"password": secret, "new_password": GOOD}).status_code == 204
        assert client.get("/api/queue").status_code == 200
        assert client.get("/api/me").json()["role"] == "qa"
    with browser(plant) as client:
        assert log_in(client, "eve", secret).status_code == 401
        assert log_in(client, "eve", GOOD).status_code == 200


def test_changing_the_password_ends_every_other_session(plant: Live) -> None:
    with known(plant, "frank") as here, browser(plant) as elsewhere:
        assert log_in(elsewhere, "frank", GOOD).status_code == 200
        another = "another password"
        assert here.post("/api/account", json={"password": GOOD, "new_password": another}).status_code == 204
        assert here.get("/api/me").status_code == 200
        wait_for_forgetting()
        assert elsewhere.get("/api/me").status_code == 401


def wait_for_forgetting() -> None:
    import time

    from api.access.remembered import REMEMBER_S

    time.sleep(REMEMBER_S * 1.1)


def test_the_log_in_page_works_without_scripts_and_says_the_same_of_every_failure(plant: Live) -> None:
    with known(plant, "gina") as client:
        client.post("/api/logout")
        said = set()
        for name, password in (("gina", "wrong"), ("nobody", "wrong"), ("", "")):
            page = client.post("/login", data={"name": name, "password": password})
            assert page.status_code == 401
            said.add(page.text[page.text.index('role="alert"') :].split("</p>")[0])
        assert len(said) == 1
        opened = client.post("/login", data={"name": "gina", "password": GOOD})
        assert (opened.status_code, opened.headers["location"]) == (303, "/")
        cookie = opened.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie


def test_a_form_of_another_site_logs_nobody_in(plant: Live) -> None:
    with browser(plant) as client:
        answer = client.post("/login", data={"name": "x", "password": "y"}, headers={"Origin": "http://evil.example"})
        assert answer.status_code == 403


def test_whoever_guesses_must_wait_longer_each_time_and_the_right_password_waits_too(tmp_path: Any) -> None:
    with serve(settings_at(tmp_path / "home")) as live, browser(live) as client:
        secret = add_person(live.settings, "hugo", "inspector", by="test")
        codes = [log_in(client, "hugo", "wrong").status_code for _ in range(FREE_FAILURES + 1)]
        assert codes == [401] * FREE_FAILURES + [429]
        late = log_in(client, "hugo", secret)
        assert late.status_code == 429
        assert int(late.headers["retry-after"]) >= 1


def test_guesses_at_once_are_counted_each(tmp_path: Any) -> None:
    with serve(settings_at(tmp_path / "home")) as live, browser(live) as client, ThreadPoolExecutor(20) as pool:
        add_person(live.settings, "iris", "inspector", by="test")
        codes = list(pool.map(lambda _: log_in(client, "iris", "wrong").status_code, range(20)))
        assert set(codes) == {401, 429}
        assert codes.count(401) <= FREE_FAILURES + 2
        for name in ("x" * 300, "a\0b"):
            assert client.post("/login", data={"name": name, "password": "x"}).status_code == 401


def test_a_flood_of_log_ins_takes_neither_the_memory_nor_the_threads_of_a_stop(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(settings_at(tmp_path / "home")) as live, live.client("qa") as qa, browser(live) as client:
        secret = add_person(live.settings, "jule", "inspector", by="test")
        monkeypatch.setattr(passwords, "_IN_LINE", full := threading.Semaphore(0))
        for _ in range(FREE_FAILURES + 1):
            busy = log_in(client, "jule", secret)
            assert (busy.status_code, busy.headers["retry-after"]) == (429, "2")
            assert "at once" in busy.json()["error"]["message"]
        page = client.post("/login", data={"name": "jule", "password": secret})
        assert (page.status_code, "Too many log in at once" in page.text) == (429, True)
        assert qa.post("/api/control/mode", json={"mode": "manual"}).status_code == 202
        full.release()
        assert log_in(client, "jule", secret).status_code == 200, "what was not looked at is no failure"


def test_refused_log_ins_stand_in_the_audit_and_names_that_nobody_has_are_only_counted(tmp_path: Any) -> None:
    with serve(settings_at(tmp_path / "home")) as live, live.client("admin") as admin, browser(live) as client:
        secret = add_person(live.settings, "hans", "inspector", by="test")
        for name in ("hans", *(f"nobody {number}" for number in range(20))):
            assert log_in(client, name, "my other password").status_code == 401
        client.post("/api/login", json={"token": "qcf_wrong"})
        admin.post("/api/people/hans", json={"disabled": True})
        assert log_in(client, "hans", secret).status_code == 401
        trail = [one for one in admin.get("/api/audit").json()["items"] if one["action"] == "login_refused"]
        assert [(one["subject"], one["detail"]) for one in trail] == [
            ("hans", "the account is shut, from 127.0.0.1"),
            ("", "1 with names, tokens or answers that are none of ours"),
            ("hans", "wrong password, from 127.0.0.1"),
        ]
        assert "my other password" not in admin.get("/api/audit").text
        counted = re.search(r'qcfuse_refused_total\{reason="bad_password"\} (\d+)', admin.get("/metrics").text)
        assert counted
        assert int(counted[1]) == 22


def test_strangers_are_told_once_an_hour_with_how_many_there_were() -> None:
    now = 0.0
    strangers = Strangers(clock=lambda: now)
    assert [strangers.one_more() for _ in range(3)] == [1, 0, 0]
    now = 3600.0
    assert [strangers.one_more() for _ in range(2)] == [3, 0]


def test_a_hash_with_yesterdays_parameters_is_made_anew_at_log_in(plant: Live) -> None:
    with known(plant, "nora") as client:
        people = PeopleStore(plant.settings.store)
        weak = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(GOOD)
        people.rehash("nora", "not the hash that is there", weak)
        account = people.account("nora")
        assert account is not None
        assert account.password_hash != weak
        people.rehash("nora", account.password_hash, weak)
        with browser(plant) as elsewhere:
            assert log_in(elsewhere, "nora", GOOD).status_code == 200
        account = people.account("nora")
        people.close()
        assert account is not None
        assert account.password_hash != weak
        assert is_password(GOOD, account.password_hash)
        wait_for_forgetting()
        assert client.get("/api/me").status_code == 200, "the same password: nobody is logged out"


@given(st.integers(0, 40))
def test_each_failure_doubles_the_wait_up_to_a_quarter_of_an_hour(failures: int) -> None:
    patience = Patience()
    for _ in range(failures):
        patience.failed("who")
    wait_s = patience.wait_s("who", "somebody else")
    if failures < FREE_FAILURES:
        assert wait_s == 0
    else:
        assert wait_s == pytest.approx(min(900.0, 2.0 ** (failures - FREE_FAILURES)), abs=0.5)
    patience.forgive("who")
    assert patience.wait_s("who") == 0


def test_names_that_are_guessed_fill_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "NAMES_MAX", 10)
    patience = Patience()
    for number in range(100):
        patience.failed(f"n{number}")
    assert len(patience._failures) == 10


def test_admins_add_change_shut_and_reset_and_all_of_it_is_in_the_audit(plant: Live) -> None:
    with plant.client("admin") as admin, browser(plant) as client:
        made = admin.post("/api/people", json={"name": "ida", "role": "inspector"}).json()
        assert made["person"]["must_change"]
        assert log_in(client, "ida", made["one_time_password"]).status_code == 200
        asked = {"password": made["one_time_password"], "new_password": GOOD}
        assert client.post("/api/account", json=asked).status_code == 204
        assert admin.post("/api/people/ida", json={"role": "qa"}).json()["person"]["role"] == "qa"
        wait_for_forgetting()
        assert client.get("/api/me").status_code == 401, "another role is another log-in"
        assert admin.post("/api/people/ida", json={"disabled": True}).json()["person"]["disabled"]
        assert log_in(client, "ida", GOOD).status_code == 401
        admin.post("/api/people/ida", json={"disabled": False})
        again = admin.post("/api/people/ida", json={"reset": True}).json()["one_time_password"]
        assert log_in(client, "ida", GOOD).status_code == 401
        assert log_in(client, "ida", again).json()["must_change"]
        said = [
            (one["action"], one["detail"]) for one in admin.get("/api/audit").json()["items"] if one["subject"] == "ida"
        ]
        for action, detail in (
            ("person_added", "role inspector"), ("person_changed", "role qa"), ("person_changed", "disabled True"),
            ("person_changed", "one-time password"), ("password_changed", ""),
        ):  # fmt: skip
            assert (action, detail) in said
        trail = admin.get("/api/audit?limit=1000").text
        assert GOOD not in trail
        assert again not in trail


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/api/people", {"name": "x", "role": "machine"}, 422),
        ("/api/people", {"name": " x", "role": "qa"}, 422),
        ("/api/people", {"name": "", "role": "qa"}, 422),
        ("/api/people/none", {"reset": True}, 404),
        ("/api/people/jo", {}, 422),
        ("/api/people/jo", {"role": "machine"}, 422),
        ("/api/people", {"name": "jo", "role": "qa"}, 409),
    ],
)
def test_what_cannot_be_done_to_an_account_is_refused(
    plant: Live, path: str, body: dict[str, Any], status: int
) -> None:
    with plant.client("admin") as admin:
        admin.post("/api/people", json={"name": "jo", "role": "qa"})
        assert admin.post(path, json=body).status_code == status


def test_nobody_shuts_the_own_account_and_only_admins_any(plant: Live) -> None:
    with known(plant, "kim", "admin") as admin, known(plant, "lee", "qa") as other:
        assert admin.post("/api/people/kim", json={"disabled": True}).status_code == 409
        assert admin.post("/api/people/kim", json={"role": "qa"}).status_code == 409
        assert other.get("/api/people").status_code == 403
        assert other.post("/api/people/kim", json={"reset": True}).status_code == 403


def test_the_last_admin_is_not_shut_and_keeps_the_role(tmp_path: Any) -> None:
    with serve(settings_at(tmp_path / "home")) as live, live.client("admin") as machine:
        machine.post("/api/people", json={"name": "uwe", "role": "admin"})
        for change in ({"disabled": True}, {"role": "qa"}):
            refused = machine.post("/api/people/uwe", json=change)
            assert refused.status_code == 409
            assert "last admin" in refused.json()["error"]["message"]
            with pytest.raises(BadInput, match="last admin"):
                change_person(live.settings, "uwe", "test", Wish(**change))
        machine.post("/api/people", json={"name": "val", "role": "admin"})
        assert machine.post("/api/people/uwe", json={"disabled": True}).status_code == 200
        assert machine.post("/api/people/val", json={"role": "qa"}).status_code == 409


def test_groups_names_and_languages_are_kept_and_log_nobody_out(plant: Live) -> None:
    with plant.client("admin") as admin, known(plant, "pia") as client:
        asked = {"display_name": "Pia Ørn", "group": "Nacht", "language": "de"}
        told = admin.post("/api/people/pia", json=asked).json()["person"]
        assert {name: told[name] for name in asked} == asked
        wait_for_forgetting()
        assert 'lang="de"' in client.get("/account").text
        assert "Pia Ørn" in client.get("/account").text
        assert client.post("/api/account/language", json={"language": ""}).status_code == 204
        wait_for_forgetting()
        assert '<html lang="en"' in client.get("/account").text
        for wrong in ("xx", "nonsense of a language", "\n"):
            assert client.post("/api/account/language", json={"language": wrong}).status_code == 422
            assert admin.post("/api/people/pia", json={"language": wrong}).status_code == 422
        for field in ("display_name", "group"):
            for wrong in ("x" * 81, " x", "a\nb"):
                assert admin.post("/api/people/pia", json={field: wrong}).status_code == 422
        made = {"name": "quin", "role": "qa", "group": "Nacht"}
        assert admin.post("/api/people", json=made).json()["person"]["group"] == "Nacht"
        assert admin.post("/api/account/language", json={"language": "de"}).status_code == 409


def test_an_account_and_a_token_never_have_the_same_name(plant: Live) -> None:
    with plant.client("admin") as admin:
        issue_token(plant.settings, "robot", "machine")
        revoke_tokens(plant.settings, "robot", by="test")
        refused = admin.post("/api/people", json={"name": "robot", "role": "qa"})
        assert refused.status_code == 409
        assert "told apart" in refused.json()["error"]["message"]
        assert admin.post("/api/people", json={"name": "rosa", "role": "qa"}).status_code == 201
        with pytest.raises(BadInput, match="told apart"):
            issue_token(plant.settings, "rosa", "qa")


def test_the_same_letters_are_the_same_name_however_they_were_typed(plant: Live) -> None:
    composed, decomposed = "J\u00f6rg", "Jo\u0308rg"
    secret = add_person(plant.settings, decomposed, "qa", by="test")
    with browser(plant) as client:
        assert log_in(client, composed, secret).json()["name"] == composed
        assert log_in(client, decomposed, secret).json()["name"] == composed
    with pytest.raises(BadInput, match="already"):
        add_person(plant.settings, composed, "qa", by="test")


def test_a_token_has_no_password_to_change(plant: Live) -> None:
    with plant.client("inspector") as client:
        answer = client.post("/api/account", json={"password": "x", "new_password": GOOD})
        assert answer.status_code == 409


def test_the_first_start_makes_one_admin_once(tmp_path: Any) -> None:
    settings: Settings = settings_at(tmp_path / "home")
    secret = first_admin(settings)
    assert secret is not None
    assert first_admin(settings) is None
    people = PeopleStore(settings.store)
    (account,) = people.every()
    people.close()
    assert (account.name, account.role, account.must_change) == ("admin", "admin", True)
    assert is_password(secret, account.password_hash)
    assert secret not in account.password_hash


def test_where_there_is_a_token_no_admin_is_made(tmp_path: Any) -> None:
    settings = settings_at(tmp_path / "home")
    issue_token(settings, "script", "machine")
    assert first_admin(settings) is None


def test_secrets_differ_and_a_name_is_taken_once(plant: Live) -> None:
    assert len({one_time_secret() for _ in range(100)}) == 100
    add_person(plant.settings, "max", "qa", by="test")
    with pytest.raises(BadInput, match="there is a max already"):
        add_person(plant.settings, "max", "qa", by="test")
