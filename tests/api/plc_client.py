"""A PLC's OPC UA client in a process of its own: prints what it saw as JSON. Run by test_plc.py."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from asyncua import Client, ua

NAMES = ("PartId", "Decision", "Risk", "Reason", "Sequence", "DecidedAt", "Hold", "Heartbeat")


async def read(gate: Any, index: int) -> dict[str, Any]:
    seen = {}
    for name in NAMES:
        node = await gate.get_child(f"{index}:{name}")
        value = await node.read_value()
        kind = (await node.read_data_type_as_variant_type()).name
        seen[name] = [kind, str(value) if kind == "DateTime" else value]
    return seen


async def act(gate: Any, index: int, what: list[str]) -> Any:
    if what[:1] == ["get"]:
        return json.loads(await gate.call_method(f"{index}:GetVerdict", what[1]))
    if what[:1] == ["write"]:
        await (await gate.get_child(f"{index}:Hold")).write_value(False)
        return "written"
    if what[:1] == ["twice"]:
        first = (await read(gate, index))["Heartbeat"][1]
        await asyncio.sleep(2)
        return [first, (await read(gate, index))["Heartbeat"][1]]
    seen = await read(gate, index)
    while what[:1] == ["until"] and (seen["PartId"][1] != what[1] or seen["Hold"][1]):
        await asyncio.sleep(0.05)
        seen = await read(gate, index)
    return seen


async def main(url: str, user: str, password: str, line: str, gate_id: str, *what: str) -> Any:
    client = Client(url)
    if user:
        client.set_user(user)
        client.set_password(password)
    try:
        async with client:
            index = await client.get_namespace_index("urn:qcfuse")
            path = [f"{index}:qcfuse", f"{index}:{line}", f"{index}:{gate_id}"]
            gate = await client.nodes.objects.get_child(path)
            return await asyncio.wait_for(act(gate, index, list(what)), 30)
    except ua.UaStatusCodeError as error:
        return type(error).__name__


print(json.dumps(asyncio.run(main(*sys.argv[1:]))))
