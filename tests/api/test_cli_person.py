"""`qcfuse person`: accounts made and changed on the machine, and the way back in when every admin is shut out."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.access.passwords import is_password
from api.access.tokens import issue_token
from api.cli import run
from api.store.people import Account, PeopleStore
from tests.api.factory import settings_at


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    settings = settings_at(tmp_path / "home")
    monkeypatch.setenv("QCFUSE_HOME", settings.home)
    return settings.store


def account(store: str, name: str) -> Account:
    people = PeopleStore(store)
    found = people.account(name)
    people.close()
    assert found is not None
    return found


def test_somebody_is_added_with_all_that_an_account_carries(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["person", "anna", "--role", "qa", "--display-name", "Anna Berg", "--group", "Spät", "--language", "de"]
    assert run(asked) == 0
    secret = capsys.readouterr().out.strip()
    anna = account(store, "anna")
    assert (anna.role, anna.display_name, anna.group_name, anna.language) == ("qa", "Anna Berg", "Spät", "de")
    assert is_password(secret, anna.password_hash)
    assert anna.must_change


def test_an_account_is_changed_and_every_admin_shut_out_has_a_way_back(
    store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("root", "rita"):
        assert run(["person", name, "--role", "admin"]) == 0
    assert run(["person", "rita", "--change", "--shut", "--group", "Nacht"]) == 0
    assert account(store, "rita").disabled
    capsys.readouterr()
    assert run(["person", "root", "--change", "--reset"]) == 0
    secret = capsys.readouterr().out.strip()
    assert is_password(secret, account(store, "root").password_hash)
    assert run(["person", "rita", "--change", "--open", "--group", ""]) == 0
    assert (account(store, "rita").disabled, account(store, "rita").group_name) == (False, "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["anna"], "--role"),
        (["anna", "--role", "machine"], "machine"),
        (["anna", "--role", "qa", "--language", "xx"], "xx"),
        (["anna", "--role", "qa", "--reset"], "--change"),
        (["anna", "--role", "qa", "--shut"], "--change"),
        (["nobody", "--change", "--reset"], "there is no nobody"),
        (["anna", "--role", "qa", "--by-directory"], "QCFUSE_OIDC_ISSUER"),
        (["root", "--change", "--by-directory"], "QCFUSE_OIDC_ISSUER"),
        (["root", "--change"], "nothing is to change"),
        (["root", "--change", "--shut"], "last admin"),
        (["root", "--change", "--role", "qa"], "last admin"),
        (["root", "--change", "--group", "x" * 81], "80"),
        (["root", "--role", "qa"], "already"),
        (["robot", "--role", "qa"], "told apart"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence_and_changes_nothing(
    store: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str], said: str
) -> None:
    assert run(["person", "root", "--role", "admin"]) == 0
    issue_token(settings_at(tmp_path / "home"), "robot", "machine")
    before = account(store, "root")
    capsys.readouterr()
    assert run(["person", *arguments]) == 2
    assert said in capsys.readouterr().err
    assert account(store, "root") == before
