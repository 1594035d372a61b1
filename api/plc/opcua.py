"""The gates as OPC UA nodes: `Objects / qcfuse / <line> / <gate> / PartId, Decision, Risk ...` in `urn:qcfuse`.

A client logs in with a token as its password (the user name is for its own records); nobody is let in without one, and
nobody may write. Beyond loopback only encrypted endpoints are offered.
"""

from __future__ import annotations

import ipaddress
import logging
import math
import socket
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from asyncua import Server, ua
from asyncua.common.methods import uamethod
from asyncua.crypto.cert_gen import setup_self_signed_certificate
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.user_managers import UserManager
from cryptography.x509.oid import ExtendedKeyUsageOID

from api.access.tokens import may, sha256_of
from api.plc.board import GateKey, GateSign
from api.store.database import StoreUnavailable
from api.store.desk import Desk
from api.store.rows import Person
from ingest.messages import Instant
from ingest.settings import Settings

NAMESPACE = "urn:qcfuse"
FOLDER = "qcfuse"
UINT32 = 2**32
NEVER = datetime(1970, 1, 1, tzinfo=UTC)

VARIABLES: tuple[tuple[str, ua.VariantType, Any], ...] = (
    ("PartId", ua.VariantType.String, ""),
    ("Decision", ua.VariantType.String, ""),
    ("Risk", ua.VariantType.Double, math.nan),
    ("Reason", ua.VariantType.String, ""),
    ("Sequence", ua.VariantType.Int64, 0),
    ("DecidedAt", ua.VariantType.DateTime, NEVER),
    ("Hold", ua.VariantType.Boolean, True),
    ("Heartbeat", ua.VariantType.UInt32, 0),
)

Find = Callable[[str, GateKey | None], Awaitable[str]]


class TokenUsers(UserManager):  # type: ignore[misc]  # asyncua has no types
    """Lets in who shows a token of this installation that may read."""

    def __init__(self, desk: Desk, clock: Callable[[], Instant]) -> None:
        self._desk = desk
        self._clock = clock

    def get_user(
        self, iserver: Any, username: Any = None, password: Any = None, certificate: Any = None
    ) -> User | None:
        if not isinstance(password, str) or not password:
            return None
        try:
            person: Person | None = self._desk.person_of_token(sha256_of(password), self._clock())
        except StoreUnavailable:
            return None
        return User(role=UserRole.User, name=person.name) if person and may(person, "read") else None


class GateServer:
    """The OPC UA server of some gates. `find` answers GetVerdict with JSON."""

    def __init__(self, settings: Settings, users: TokenUsers, gates: tuple[GateKey, ...], find: Find) -> None:
        self._settings = settings
        self._gates = gates
        self._find = find
        self._server = Server(user_manager=users)
        self._nodes: dict[tuple[GateKey, str], Any] = {}
        self._written: dict[tuple[GateKey, str], Any] = {}

    @property
    def url(self) -> str:
        host = f"[{self._settings.host}]" if ":" in self._settings.host else self._settings.host
        return f"opc.tcp://{host}:{self._settings.opcua_port}/qcfuse/"

    async def start(self) -> None:
        """Build the nodes and listen. Raises OSError when the port is taken."""
        server = self._server
        await server.init()
        server.set_endpoint(self.url)
        server.set_server_name("qcfuse")
        await server.set_application_uri(NAMESPACE)
        server.set_identity_tokens([ua.UserNameIdentityToken])
        await self._secure()
        index = await server.register_namespace(NAMESPACE)
        # Registering the application's own uri may have given it index 1 already: the index is asked, never assumed.
        top = await server.nodes.objects.add_folder(ua.NodeId(FOLDER, index), ua.QualifiedName(FOLDER, index))
        await self._add_method(top, index, FOLDER, None)
        lines: dict[str, Any] = {}
        for line_id, gate_id in self._gates:
            if line_id not in lines:
                lines[line_id] = await top.add_folder(ua.NodeId(line_id, index), ua.QualifiedName(line_id, index))
            await self._add_gate(lines[line_id], index, (line_id, gate_id))
        said = logging.getLogger(Server.__module__)
        said.disabled = True  # it writes the stack of what it raises
        try:
            await server.start()
        finally:
            said.disabled = False

    async def _secure(self) -> None:
        """Passwords are encrypted even where the channel is not; the certificate is made once and kept in the home."""
        folder = Path(self._settings.home) / "opcua"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        key, certificate = folder / "key.pem", folder / "certificate.der"
        await setup_self_signed_certificate(
            key,
            certificate,
            NAMESPACE,
            socket.gethostname(),
            [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH],
            {"countryName": "XX", "organizationName": "qcfuse"},
        )
        key.chmod(0o600)
        await self._server.load_certificate(str(certificate))
        await self._server.load_private_key(str(key))
        policies = [
            ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt,
            ua.SecurityPolicyType.Aes256Sha256RsaPss_SignAndEncrypt,
        ]
        if is_loopback(self._settings.host):
            policies.insert(0, ua.SecurityPolicyType.NoSecurity)
        self._server.set_security_policy(policies)

    async def _add_gate(self, line: Any, index: int, gate: GateKey) -> None:
        path = "/".join(gate)
        node = await line.add_folder(ua.NodeId(path, index), ua.QualifiedName(gate[1], index))
        for name, kind, initial in VARIABLES:
            self._nodes[(gate, name)] = await node.add_variable(
                ua.NodeId(f"{path}/{name}", index), ua.QualifiedName(name, index), initial, kind
            )
        await self._add_method(node, index, path, gate)

    async def _add_method(self, parent: Any, index: int, path: str, gate: GateKey | None) -> None:
        @uamethod  # type: ignore[untyped-decorator]
        async def get_verdict(_parent: ua.NodeId, part_id: str) -> str:
            return await self._find(part_id, gate)

        asked, told = ua.Argument(), ua.Argument()
        asked.Name, told.Name = "part_id", "verdict"
        asked.DataType = told.DataType = ua.NodeId(ua.ObjectIds.String)
        asked.ValueRank = told.ValueRank = -1
        told.Description = ua.LocalizedText("JSON: the last verdict; its decision is null when there is none")
        node_id = ua.NodeId(f"{path}/GetVerdict", index)
        await parent.add_method(node_id, ua.QualifiedName("GetVerdict", index), get_verdict, [asked], [told])

    async def stop(self) -> None:
        await self._server.stop()

    async def show(self, gate: GateKey, sign: GateSign, beats: int) -> None:
        """Write what has changed. `Hold` goes up before, and comes down after, everything else is written."""
        values = _values(sign, beats)
        names = [name for name, _, _ in VARIABLES if name != "Hold"]
        for name in ["Hold", *names] if sign.hold else [*names, "Hold"]:
            await self._write(gate, name, values[name])

    async def _write(self, gate: GateKey, name: str, value: Any) -> None:
        known = self._written.get((gate, name))
        if known == value or (value != value and known != known):  # NaN is not equal to itself
            return
        kind = next(kind for one, kind, _ in VARIABLES if one == name)
        await self._nodes[(gate, name)].write_value(ua.Variant(value, kind))
        self._written[(gate, name)] = value


def _values(sign: GateSign, beats: int) -> dict[str, Any]:
    verdict = sign.verdict
    values = {name: initial for name, _, initial in VARIABLES}
    values |= {"Hold": sign.hold, "Heartbeat": beats % UINT32}
    if verdict is not None:
        values |= {
            "PartId": verdict.part_id,
            "Decision": verdict.decision,
            "Risk": math.nan if verdict.risk is None else verdict.risk,
            "Reason": ",".join(verdict.reasons),
            "Sequence": verdict.sequence,
            "DecidedAt": datetime.fromtimestamp(verdict.decided_at / 1000, UTC),
        }
    return values


def is_loopback(host: str) -> bool:
    """May only this machine connect to what listens on `host`?"""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
