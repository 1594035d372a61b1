"""The plant's own directory: log-in by OpenID Connect (authorization code with PKCE).

What is asked of the provider and how its answer is believed: OpenID Connect Core 1.0, sections 3.1.2 and 3.1.3.7;
discovery: OpenID Connect Discovery 1.0, section 4; PKCE: RFC 7636. Who somebody is here: `oidc_claims.py`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx
from joserfc import jwt
from joserfc.errors import BadSignatureError, ClaimError, ExpiredTokenError, InvalidKeyIdError, JoseError
from joserfc.jwk import JWKRegistry, Key, KeySet

from api.access.oidc_claims import Member, NotLetIn, Rules, read_rules
from api.wording.reader import say
from ingest.errors import BadInput, QcfuseError
from ingest.messages import Instant
from ingest.settings import Settings

ANSWER_S = 5.0  # the provider's: whoever waits longer is better told to use a password
ANSWER_BYTES_MAX = 1_000_000
AT_ONCE = 4  # questions to the provider: a provider that hangs must not take every thread
FRESH_S = 3600.0  # what the provider says of itself is asked again after this long
SKEW_S = 60  # between the provider's clock and ours
ASK_S = 600  # somebody types a password and a second factor
ALGORITHMS = tuple(f"{kind}{bits}" for kind in ("RS", "PS", "ES") for bits in (256, 384, 512))  # no shared secrets
LOOPBACK = ("127.0.0.1", "::1", "localhost")


class DirectoryUnavailable(QcfuseError):
    """The provider did not answer as one does; nobody can log in by it now."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One attempt to log in. `cookie` ties it to the browser that began it; `address`: where that goes."""

    address: str
    cookie: str


class Directory:
    """One provider. Safe to share between threads."""

    def __init__(self, settings: Settings, now: Callable[[], Instant]) -> None:
        """Raises BadInput naming the setting that is wrong."""
        self.title = settings.oidc_title
        self._issuer = settings.oidc_issuer
        self._client_id = settings.oidc_client_id
        self._scopes = settings.oidc_scopes
        self._rules: Rules = read_rules(settings)
        self._now = now
        self._secret = _read_secret(settings.oidc_secret_file)
        if not self._client_id:
            raise BadInput("QCFUSE_OIDC_CLIENT_ID: say by which name the directory knows qcfuse")
        if not _is_private(self._issuer):
            raise BadInput(f"QCFUSE_OIDC_ISSUER: {self._issuer!r} must begin with https://")
        self._client = httpx.Client(timeout=ANSWER_S, verify=_trusted(settings.oidc_ca_file))
        self._turns = threading.BoundedSemaphore(AT_ONCE)
        self._said: tuple[float, dict[str, Any]] | None = None
        self._keys: tuple[float, KeySet] | None = None

    def close(self) -> None:
        self._client.close()

    def ask(self, redirect_url: str) -> Asked:
        """Begin an attempt. Raises DirectoryUnavailable."""
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        query = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": redirect_url,
            "scope": self._scopes,
            "state": state,
            "nonce": nonce,
            "code_challenge": _challenge(verifier),
            "code_challenge_method": "S256",
        }
        address = self._described()["authorization_endpoint"]
        return Asked(f"{address}{'&' if '?' in address else '?'}{urlencode(query)}", f"{state}.{nonce}.{verifier}")

    def answered(self, cookie: str, state: str, code: str, error: str, redirect_url: str) -> Member:
        """Who has come back. Raises NotLetIn, DirectoryUnavailable."""
        asked = cookie.split(".")
        if len(asked) != 3 or not hmac.compare_digest(asked[0].encode(), state.encode()):
            raise NotLetIn(say("This answer belongs to no log-in of this browser. Begin it again."))
        if error or not code:
            told = error if re.fullmatch(r"[a-z_]{1,40}", error) else say("no reason given")
            raise NotLetIn(say("The directory let nobody in ({reason}).", reason=told))
        claims = self._believed(self._exchanged(code, asked[2], redirect_url), asked[1])
        return self._rules.member(self._issuer, claims)

    def _exchanged(self, code: str, verifier: str, redirect_url: str) -> str:
        """The ID token for a code."""
        said = self._described()
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_url,
                "code_verifier": verifier, "client_id": self._client_id}  # fmt: skip
        basic = "client_secret_basic" in said.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        if self._secret and not basic:
            form["client_secret"] = self._secret
        auth = httpx.BasicAuth(self._client_id, self._secret) if self._secret and basic else None
        answer = self._fetch("POST", said["token_endpoint"], form=form, auth=auth)
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise NotLetIn(say("The directory did not say who you are. Begin the log-in again."))
        return token

    def _believed(self, token: str, nonce: str) -> dict[str, Any]:
        """The claims of an ID token: signed by the provider, for us, for this attempt, and not ended."""
        registry = jwt.JWTClaimsRegistry(
            now=int(self._now() / 1000), leeway=SKEW_S,
            iss={"essential": True, "value": self._issuer}, aud={"essential": True, "value": self._client_id},
            exp={"essential": True}, iat={"essential": True}, sub={"essential": True},
            nonce={"essential": True, "value": nonce},
        )  # fmt: skip
        try:
            claims = self._signed(token).claims
            registry.validate(claims)
        except ExpiredTokenError as error:
            raise NotLetIn(say("The directory's answer has ended: begin again, or see to the clocks.")) from error
        except ClaimError as error:
            said = say("The directory's answer is not for this log-in ({reason}).", reason=error.claim)
            raise NotLetIn(said) from error
        except BadSignatureError as error:
            raise NotLetIn(say("The directory's answer does not bear its signature.")) from error
        except JoseError as error:
            raise NotLetIn(say("The directory's answer cannot be believed ({reason}).", reason=error.error)) from error
        several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if (several or "azp" in claims) and claims.get("azp") != self._client_id:
            raise NotLetIn(say("The directory's answer is not for this log-in ({reason}).", reason="azp"))
        return claims

    def _signed(self, token: str) -> jwt.Token:
        """A token whose signature is right by one of the provider's keys; which it may have changed a moment ago."""
        try:
            return jwt.decode(token, self._key_set(FRESH_S), ALGORITHMS)
        except (InvalidKeyIdError, BadSignatureError):
            return jwt.decode(token, self._key_set(0.0), ALGORITHMS)

    def _key_set(self, fresh_s: float) -> KeySet:
        if self._keys is None or time.monotonic() - self._keys[0] > fresh_s:
            told = self._fetch("GET", self._described()["jwks_uri"]).get("keys")
            keys = [key for one in (told if isinstance(told, list) else []) if (key := _key(one)) is not None]
            self._keys = (time.monotonic(), KeySet(keys))
        return self._keys[1]

    def _described(self) -> dict[str, Any]:
        """What the provider says of itself."""
        if self._said is None or time.monotonic() - self._said[0] > FRESH_S:
            said = self._fetch("GET", f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
            if said.get("issuer") != self._issuer:
                raise DirectoryUnavailable(f"the directory calls itself {str(said.get('issuer'))[:200]!r}")
            for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
                if not isinstance(said.get(name), str) or not _is_private(said[name]):
                    raise DirectoryUnavailable(f"the directory names no {name} that begins with https://")
            self._said = (time.monotonic(), said)
        return self._said[1]

    def _fetch(
        self, method: str, address: str, form: dict[str, str] | None = None, auth: httpx.BasicAuth | None = None
    ) -> dict[str, Any]:
        if not self._turns.acquire(timeout=ANSWER_S):
            raise DirectoryUnavailable("too many wait for the directory")
        try:
            with self._client.stream(method, address, data=form, auth=auth or httpx.USE_CLIENT_DEFAULT) as answer:
                body = b""
                for chunk in answer.iter_bytes():
                    body += chunk
                    if len(body) > ANSWER_BYTES_MAX:
                        raise DirectoryUnavailable("the directory's answer does not end")
        except httpx.HTTPError as error:
            raise DirectoryUnavailable(f"the directory does not answer ({type(error).__name__})") from error
        finally:
            self._turns.release()
        return _read_answer(answer.status_code, body)


def _is_private(address: str) -> bool:
    """Without TLS anybody on the way could say who somebody is."""
    parts = urlsplit(address)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)


def _read_answer(status: int, body: bytes) -> dict[str, Any]:
    try:
        told = json.loads(body)
    except ValueError:
        told = None
    if status == 400 and isinstance(told, dict) and "error" in told:
        raise NotLetIn(say("The directory did not take the log-in ({reason}). Begin it again.",
                           reason=str(told["error"])[:40]))  # fmt: skip
    if status != 200 or not isinstance(told, dict):
        raise DirectoryUnavailable(f"the directory answers {status}, and nothing that we understand")
    return told


def _key(told: Any) -> Key | None:
    """A key that may sign; keys for other ends, or of a kind we do not take, are left out."""
    if not isinstance(told, dict) or told.get("kty") not in ("RSA", "EC") or told.get("use", "sig") != "sig":
        return None
    try:
        return JWKRegistry.import_key(told)
    except (JoseError, ValueError):
        return None


def _challenge(verifier: str) -> str:
    """RFC 7636, section 4.2."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _read_secret(path: str) -> str:
    if not path:
        return ""
    try:
        return Path(path).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"QCFUSE_OIDC_SECRET_FILE: {path}: cannot be read ({error})") from error


def _trusted(path: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=path or None)
    except OSError as error:  # ssl.SSLError is one
        raise BadInput(f"QCFUSE_OIDC_CA_FILE: {path}: no certificates to read ({error})") from error


def open_directory(settings: Settings, now: Callable[[], Instant]) -> Directory | None:
    """The directory of the settings; None where there is none. Raises BadInput."""
    return Directory(settings, now) if settings.oidc_issuer else None
