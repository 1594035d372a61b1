"""Log-in by the plant's own directory: who comes in as what, and everybody else kept out with a sentence."""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt

from api.access.gatekeeper import COOKIE
from api.access.oidc import Directory, open_directory
from api.access.oidc_claims import Member, NotLetIn, Rules, claim_at
from api.access.people import Wish, add_person, change_person
from api.access.remembered import REMEMBER_S
from api.access.tokens import issue_token
from ingest.errors import BadInput
from ingest.messages import Instant
from ingest.settings import Settings
from tests.api.conftest import Live, serve
from tests.api.factory import settings_at
from tests.api.oidc_provider import CLIENT_ID, INA, SECRET, SHARED, Provider, new_certificate, new_key, running

ROLES = "qc-admins=admin; qc-leads=qa; CN=qc,OU=plant=inspector"


def settings_by(home: Path, provider: Provider, **changes: Any) -> Settings:
    home.mkdir(parents=True, exist_ok=True)
    (home / "secret").write_text(SECRET + "\n")
    of_directory = {"oidc_issuer": provider.issuer, "oidc_client_id": CLIENT_ID, "oidc_roles": ROLES,
                    "oidc_secret_file": str(home / "secret"), "oidc_group_claim": "shift"}  # fmt: skip
    return settings_at(home, **(of_directory | changes))


@pytest.fixture
def provider() -> Iterator[Provider]:
    with running() as started:
        yield started


@pytest.fixture
def plant(tmp_path: Path, provider: Provider) -> Iterator[Live]:
    with serve(settings_by(tmp_path / "home", provider)) as live:
        yield live


def browser(live: Live) -> httpx.Client:
    return httpx.Client(base_url=live.base, timeout=20)


def begin(client: httpx.Client) -> str:
    """To the directory, and the address with which it sends the browser back."""
    go = client.get("/oidc/login")
    assert go.status_code == 303, go.text
    return httpx.get(go.headers["location"]).headers["location"]


def log_in(client: httpx.Client) -> httpx.Response:
    return client.get(begin(client))


def sentence(answer: httpx.Response) -> str:
    found = re.search(r'role="alert">([^<]+)<', answer.text)
    assert found, answer.text
    return found[1].replace("&#39;", "'")


def assert_kept_out(client: httpx.Client, answer: httpx.Response, said: str, status: int = 403) -> None:
    assert answer.status_code == status
    assert said in sentence(answer)
    assert COOKIE not in client.cookies
    assert client.get("/api/me").status_code == 401


def audit_of(live: Live, name: str) -> list[tuple[str, str]]:
    with live.client("admin") as admin:
        items = admin.get("/api/audit?limit=1000").json()["items"]
    return [(one["action"], one["detail"]) for one in items if one["subject"] == name]


def test_somebody_of_the_directory_comes_in_with_the_role_the_name_and_the_group_it_says(
    plant: Live, provider: Provider
) -> None:
    with browser(plant) as client:
        assert "the plant&#39;s directory" in client.get("/login").text
        answer = log_in(client)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        cookies = answer.headers.get_list("set-cookie")
        assert any(COOKIE in one and "HttpOnly" in one and "SameSite=lax" in one for one in cookies)
        told = client.get("/api/me").json()
        assert (told["name"], told["role"]) == ("ina", "qa")
        assert "Ina Berg" in client.get("/account").text
        assert "directory keeps your password" in client.get("/account").text
    with plant.client("admin") as admin:
        (one,) = admin.get("/api/people").json()["items"]
        assert (one["name"], one["group"], one["directory"]) == ("ina", "Late", True)
        assert admin.post("/api/people/ina", json={"reset": True}).status_code == 409
    actions = audit_of(plant, "ina")
    assert ("person_added", "role qa, group Late") in actions
    assert any(action == "login" and "directory" in detail for action, detail in actions)


def test_log_out_ends_the_session_here_and_what_the_directory_changes_counts_at_the_next_log_in(
    plant: Live, provider: Provider
) -> None:
    with browser(plant) as client, browser(plant) as elsewhere:
        log_in(client)
        log_in(elsewhere)
        client.post("/api/logout")
        client.cookies.clear()
        provider.person |= {"groups": ["qc-admins"], "name": "Ina Thal", "preferred_username": "ina.thal"}
        assert log_in(client).status_code == 303
        told = client.get("/api/me").json()
        assert (told["name"], told["role"]) == ("ina", "admin"), "the account is the subject's, whatever the name"
        time.sleep(REMEMBER_S * 1.1)
        assert elsewhere.get("/api/me").status_code == 401, "a session of the old role has ended"
        provider.person |= {"groups": ["qc-leads"]}
        assert log_in(client).status_code == 303
        assert client.get("/api/me").json()["role"] == "qa", "what the directory takes is taken, the last admin's too"


def change(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda claims: claims.update(changes)


def drop(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda claims: claims.pop(name)


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        (change(nonce="another"), "not for this log-in (nonce)"),
        (drop("nonce"), "not for this log-in (nonce)"),
        (change(exp=time.time() - 100), "has ended"),
        (change(iat=time.time() + 1000), "not for this log-in (iat)"),
        (change(nbf=time.time() + 1000), "not for this log-in (nbf)"),
        (change(aud="another client"), "not for this log-in (aud)"),
        (change(aud=[CLIENT_ID, "another client"]), "not for this log-in (azp)"),
        (change(azp="another client"), "not for this log-in (azp)"),
        (change(iss="http://127.0.0.1:1"), "not for this log-in (iss)"),
        (drop("sub"), "not for this log-in (sub)"),
        (change(exp="never"), "not for this log-in (exp)"),
        (change(groups=["staff"]), "have no role here"),
        (change(groups={"qc-admins": True}), "have no role here"),
        (drop("groups"), "have no role here"),
        (change(preferred_username=""), "no name for you (claim preferred_username)"),
        (change(preferred_username="x" * 81), "no name for you"),
        (change(preferred_username=["ina"]), "no name for you"),
    ],
)
def test_a_token_that_is_not_wholly_right_begins_no_session(
    one_plant: tuple[Live, Provider], lie: Callable[[dict[str, Any]], None], said: str
) -> None:
    live, provider = one_plant
    provider.lie = lie
    with browser(live) as client:
        assert_kept_out(client, log_in(client), said)


@pytest.fixture(scope="module")
def one_plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Live, Provider]]:
    with running() as provider, serve(settings_by(tmp_path_factory.mktemp("oidc") / "home", provider)) as live:
        yield live, provider


def test_a_token_that_the_provider_did_not_sign_begins_no_session(plant: Live, provider: Provider) -> None:
    unsigned = "eyJhbGciOiJub25lIn0." + "e30" + "."
    forged = new_key(provider.key.kid or "")
    lies: list[tuple[Callable[[dict[str, Any]], str], str]] = [
        (lambda claims: jwt.encode({"alg": "RS256", "kid": forged.kid}, claims, forged), "does not bear its signature"),
        (lambda claims: jwt.encode({"alg": "HS256", "kid": SHARED.kid}, claims, SHARED), "cannot be believed"),
        (lambda claims: unsigned, "cannot be believed"),
        (lambda claims: "nonsense", "cannot be believed"),
    ]
    for sign, said in lies:
        provider.sign = sign
        with browser(plant) as client:
            assert_kept_out(client, log_in(client), said)


def test_keys_may_change_at_any_time_and_a_key_taken_back_is_worth_nothing(plant: Live, provider: Provider) -> None:
    with browser(plant) as client:
        assert log_in(client).status_code == 303
    old, provider.key = provider.key, new_key("two")
    provider.published = [provider.key]
    with browser(plant) as client:
        assert log_in(client).status_code == 303
    provider.key = new_key("two")  # another key under the same name
    provider.published = [provider.key]
    with browser(plant) as client:
        assert log_in(client).status_code == 303
    provider.sign = lambda claims: jwt.encode({"alg": "RS256", "kid": old.kid}, claims, old)
    with browser(plant) as client:
        assert_kept_out(client, log_in(client), "cannot be believed")


def test_an_answer_counts_once_and_only_in_the_browser_that_asked(plant: Live) -> None:
    with browser(plant) as client, browser(plant) as victim:
        back = begin(client)
        assert_kept_out(victim, victim.get(back), "belongs to no log-in of this browser")
        begin(victim)
        assert_kept_out(victim, victim.get(back), "belongs to no log-in of this browser")
        changed = back.replace("state=", "state=x")
        assert_kept_out(client, client.get(changed), "belongs to no log-in of this browser")
        assert_kept_out(client, client.get(back), "belongs to no log-in of this browser")
        back = begin(client)
        assert client.get(back).status_code == 303
        client.cookies.clear()
        assert_kept_out(client, client.get(back), "belongs to no log-in of this browser")


def test_a_code_taken_by_another_log_in_is_refused_by_the_provider(plant: Live) -> None:
    with browser(plant) as client, browser(plant) as thief:
        code = httpx.URL(begin(client)).params["code"]
        own = httpx.URL(begin(thief))
        assert_kept_out(thief, thief.get(own.copy_set_param("code", code)), "did not take the log-in (invalid_grant)")


def test_what_the_directory_refuses_is_told_and_what_others_write_into_the_address_is_not(plant: Live) -> None:
    with browser(plant) as client:
        for error, said in (("access_denied", "(access_denied)"), ("<b>call 555</b>", "(no reason given)")):
            back = httpx.URL(begin(client))
            address = back.copy_remove_param("code").copy_set_param("error", error)
            answer = client.get(address)
            assert_kept_out(client, answer, f"let nobody in {said}")
            assert "555" not in answer.text


def test_without_the_directory_there_is_a_sentence_and_passwords_work(plant: Live, provider: Provider) -> None:
    with browser(plant) as client:
        back = begin(client)
        provider.stop()
        assert_kept_out(client, client.get(back), "cannot be asked now", 503)
    with serve(settings_by(Path(plant.settings.home).parent / "other", provider)) as live, browser(live) as client:
        assert_kept_out(client, client.get("/oidc/login"), "cannot be asked now", 503)
        secret = add_person(live.settings, "max", "qa", by="test")
        assert client.post("/api/login", json={"name": "max", "password": secret}).status_code == 200


def test_a_directory_with_the_plants_own_certificate_is_believed_only_where_that_is_set(tmp_path: Path) -> None:
    certificate = new_certificate(tmp_path / "certificate.pem")
    with running(certificate) as provider:
        with serve(settings_by(tmp_path / "unknown", provider)) as live, browser(live) as client:
            assert_kept_out(client, client.get("/oidc/login"), "cannot be asked now", 503)
        known = settings_by(tmp_path / "known", provider, oidc_ca_file=str(certificate))
        with serve(known) as live, browser(live) as client:
            go = client.get("/oidc/login")
            trusting = ssl.create_default_context(cafile=certificate)
            back = httpx.get(go.headers["location"], verify=trusting).headers["location"]
            assert client.get(back).status_code == 303
            assert client.get("/api/me").json()["name"] == "ina"


def test_nobody_comes_into_an_account_by_having_its_name(plant: Live, provider: Provider) -> None:
    add_person(plant.settings, "ina", "admin", by="test")
    issue_token(plant.settings, "bo", "machine")
    with browser(plant) as client:
        for name in ("ina", "bo"):
            provider.person["preferred_username"] = name
            assert_kept_out(client, log_in(client), f"Somebody else is {name} here")
    assert any(action == "login_refused" for action, _ in audit_of(plant, "ina"))


def test_an_admin_ties_an_account_to_whoever_of_its_name_logs_in_next_and_to_nobody_after(
    plant: Live, provider: Provider
) -> None:
    secret = add_person(plant.settings, "ina", "inspector", by="test")
    with browser(plant) as client, plant.client("admin") as admin:
        assert_kept_out(client, log_in(client), "Somebody else is ina here")
        assert admin.post("/api/people/ina", json={"by_directory": True}).json()["person"]["directory"]
        assert client.post("/api/login", json={"name": "ina", "password": secret}).status_code == 401
        assert log_in(client).status_code == 303
        assert client.get("/api/me").json()["role"] == "qa"
        client.cookies.clear()
        provider.person["sub"] = "0002"  # another of the same name, as after a move to another directory
        assert_kept_out(client, log_in(client), "Somebody else is ina here")
        change_person(plant.settings, "ina", "test", Wish(by_directory=True))
        assert log_in(client).status_code == 303
    assert ("person_changed", "found in the directory") in audit_of(plant, "ina")


def test_an_account_that_is_shut_here_stays_shut_and_has_no_password(plant: Live) -> None:
    with browser(plant) as client, plant.client("admin") as admin:
        log_in(client)
        assert admin.post("/api/people/ina", json={"disabled": True}).status_code == 200
        time.sleep(REMEMBER_S * 1.1)
        client.cookies.delete(COOKIE)
        assert_kept_out(client, log_in(client), "shut")
        admin.post("/api/people/ina", json={"disabled": False})
        for guess in ("", "x"):
            assert client.post("/login", data={"name": "ina", "password": guess}).status_code == 401
        assert log_in(client).status_code == 303


def test_where_no_directory_is_set_there_is_no_way_to_one(tmp_path: Path) -> None:
    with serve(settings_at(tmp_path / "home")) as live, browser(live) as client:
        assert "/oidc/" not in client.get("/login").text
        assert client.get("/oidc/login").status_code == 404
        assert client.get("/oidc/callback?code=x&state=y").status_code == 404


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"oidc_issuer": "http://plant.example"}, "QCFUSE_OIDC_ISSUER"),
        ({"oidc_client_id": ""}, "QCFUSE_OIDC_CLIENT_ID"),
        ({"oidc_roles": ""}, "QCFUSE_OIDC_ROLES"),
        ({"oidc_roles": "leads=boss"}, "QCFUSE_OIDC_ROLES"),
        ({"oidc_roles": "leads=machine"}, "QCFUSE_OIDC_ROLES"),
        ({"oidc_roles": "qa"}, "QCFUSE_OIDC_ROLES"),
        ({"oidc_secret_file": "/nowhere"}, "QCFUSE_OIDC_SECRET_FILE"),
        ({"oidc_ca_file": "/nowhere"}, "QCFUSE_OIDC_CA_FILE"),
    ],
)
def test_a_setting_that_is_wrong_is_named(tmp_path: Path, changes: dict[str, Any], named: str) -> None:
    good: dict[str, Any] = {"oidc_issuer": "https://plant.example", "oidc_client_id": "q", "oidc_roles": ROLES}
    with pytest.raises(BadInput, match=named):
        open_directory(settings_at(tmp_path / "home", **(good | changes)), lambda: Instant(0))
    opened = open_directory(settings_at(tmp_path / "home", **good), lambda: Instant(0))
    assert isinstance(opened, Directory)
    opened.close()


def test_the_first_rule_that_fits_counts_and_claims_may_lie_within_claims() -> None:
    rules = Rules("preferred_username", "realm_access.roles", "", (("a", "admin"), ("b", "qa"), ("*", "inspector")))
    for held, role in ((["b", "a"], "admin"), (["b"], "qa"), ("b", "qa"), (["c"], "inspector"), (None, "inspector")):
        member = rules.member("https://x", INA | {"realm_access": {"roles": held}})
        assert (member.role, member.group, member.directory_id) == (role, None, "https://x 0001")
    assert claim_at({"a.b": 1, "a": {"b": 2}}, "a.b") == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.fixed_dictionaries({"sub": JSON, "preferred_username": JSON, "groups": JSON, "name": JSON, "shift": JSON}))
def test_whatever_the_claims_are_there_is_a_member_that_can_be_kept_or_a_sentence(claims: dict[str, Any]) -> None:
    rules = Rules("preferred_username", "groups", "shift", (("a", "admin"), ("*", "qa")))
    try:
        member = rules.member("https://x", claims)
    except NotLetIn:
        return
    assert isinstance(member, Member)
    for text in (member.name, member.display_name, member.group or ""):
        assert len(text) <= 80
        assert text == "" or text.isprintable()
