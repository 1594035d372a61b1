"""Who somebody of the plant's directory is here: claims of the ID token to name, role and group, by settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from api.access.people import HUMAN_ROLES, checked_name
from api.access.tokens import NAME_CHARACTERS_MAX
from api.wording.reader import say
from ingest.errors import BadInput, QcfuseError
from ingest.settings import Settings

ANYBODY = "*"
SUBJECT_CHARACTERS_MAX = 255  # OpenID Connect Core 1.0, section 2


class NotLetIn(QcfuseError):
    """No session begins. `name`: whose, where the directory has said so."""

    def __init__(self, sentence: str, name: str = "") -> None:
        super().__init__(sentence)
        self.name = name


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody of the directory. `group` None: the directory does not say."""

    directory_id: str
    name: str
    display_name: str
    role: str
    group: str | None


@dataclass(frozen=True, slots=True)
class Rules:
    """`roles`: (value of the claim, role), of which the first that fits counts."""

    name_claim: str
    role_claim: str
    group_claim: str
    roles: tuple[tuple[str, str], ...]

    def member(self, issuer: str, claims: dict[str, Any]) -> Member:
        """Raises NotLetIn."""
        subject, told = claims["sub"], claim_at(claims, self.name_claim)
        if not isinstance(subject, str) or not 0 < len(subject) <= SUBJECT_CHARACTERS_MAX or "\0" in subject:
            raise NotLetIn(say("The directory's answer is not for this log-in ({reason}).", reason="sub"))
        try:
            name = checked_name(told if isinstance(told, str) else "")
        except BadInput as error:
            said = say("The directory tells no name for you (claim {claim}).", claim=self.name_claim)
            raise NotLetIn(said) from error
        held = texts(claim_at(claims, self.role_claim))
        role = next((role for value, role in self.roles if value in held or value == ANYBODY), None)
        if role is None:
            said = say("You are known as {name}, but have no role here. Ask whoever keeps the directory.", name=name)
            raise NotLetIn(said, name)
        groups = texts(claim_at(claims, self.group_claim)) if self.group_claim else []
        group = _short(groups[0] if groups else "") if self.group_claim else None
        shown = claims.get("name")
        return Member(f"{issuer} {subject}", name, _short(shown if isinstance(shown, str) else ""), role, group)


def claim_at(claims: dict[str, Any], path: str) -> Any:
    """A claim by its name, or by names within names: `realm_access.roles`."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def texts(claim: Any) -> list[str]:
    """A claim that is one text or several."""
    return [one for one in (claim if isinstance(claim, list) else [claim]) if isinstance(one, str) and one]


def _short(text: str) -> str:
    return "".join(letter for letter in text if letter.isprintable()).strip()[:NAME_CHARACTERS_MAX].strip()


def read_rules(settings: Settings) -> Rules:
    """Raises BadInput naming the setting that is wrong."""
    roles = []
    for pair in filter(None, (part.strip() for part in settings.oidc_roles.split(";"))):
        value, sign, role = (part.strip() for part in pair.rpartition("="))
        if not sign or not value or role not in HUMAN_ROLES:
            raise BadInput(f"QCFUSE_OIDC_ROLES: {pair!r}: write VALUE=ROLE; ROLE is one of {', '.join(HUMAN_ROLES)}")
        roles.append((value, role))
    if not roles:
        raise BadInput("QCFUSE_OIDC_ROLES: say who may do what: VALUE=ROLE, several separated by `;`")
    return Rules(settings.oidc_name_claim, settings.oidc_role_claim, settings.oidc_group_claim, tuple(roles))
