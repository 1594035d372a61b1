#!/usr/bin/env python3
"""Write `api/http/examples.json`: requests to a small plant and what it answered, for the OpenAPI document.

python tests/api/write_examples.py
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx
import orjson

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from api.http.answers import ANSWERS  # noqa: E402
from tests.api.conftest import serve  # noqa: E402
from tests.api.factory import settings_at  # noqa: E402
from tests.api.plant import CAUSE, KNOWN, PART, fill  # noqa: E402

MARK = {"camera_id": "top", "frame_id": KNOWN["frame_id"], "box": {"x": 150, "y": 70, "width": 34, "height": 30}}
REVIEW = {"outcome": "defect", "defect_code": "burr", "cause_code": CAUSE, "comment": "at the bore", "marks": [MARK],
          "took_ms": 2140}  # fmt: skip
#: In this order; what is not named here is asked for as its path says, without a body.
REQUESTS: dict[str, Any] = {
    "POST /api/login": {"token": "qcf_…"},
    "POST /api/people": {"name": "zoe", "role": "inspector"},
    "POST /api/people/{name}": {"reset": True},
    "POST /api/account": {"password": "the one-time password", "new_password": "a long one of my own"},
    "POST /api/account/language": {"language": "de"},
    "POST /api/views": {"name": "press, without an answer", "query": "line_id=L1&decision=cannot_tell"},
    "POST /api/queue/begin": {"query": "line_id=L1"},
    "POST /api/parts/{part_id}/reviews": REVIEW,
    "POST /api/control/mode": {"mode": "manual", "line_id": "L1", "reason": "drill broken"},
}
QUERIES = {
    "GET /api/containment": {"cause": CAUSE},
    "GET /api/queue/standing": {"part_id": PART},
    "GET /api/batches/{batch_id}/report": {"format": "json"},
    "GET /api/audit": {"limit": 2},
}
NOT_ASKED = ("GET /api/verdicts/stream", "POST /api/logout")
SECRETS = ("one_time_password",)


def ask(client: httpx.Client, route: str, paths: dict[str, str]) -> dict[str, Any]:
    """One example: the request's body and the answer's."""
    method, _, path = route.partition(" ")
    for name, value in paths.items():
        path = path.replace("{" + name + "}", value)
    body = REQUESTS.get(route)
    sent = {"token": client.headers["Authorization"].removeprefix("Bearer ")} if "login" in route else body
    answer = client.request(method, path, json=sent, params=QUERIES.get(route))
    found: dict[str, Any] = {} if body is None else {"request": body}
    if answer.status_code < 300 and answer.headers.get("content-type") == "application/json" and answer.content:
        found["answer"] = {
            key: "shown once, never again" if key in SECRETS and value else value
            for key, value in answer.json().items()
        }
    return found


def main() -> int:
    """Ask everything once, in the order of the table, what is decided before what shows decisions."""
    routes = [f"{method} {path}" for method, path in ANSWERS]
    routes.sort(key=lambda route: ("reviews" not in route and "POST" in route, "undo" in route))
    with tempfile.TemporaryDirectory() as folder, serve(settings_at(Path(folder) / "home")) as live:
        fill(live)
        found: dict[str, Any] = {}
        with live.client("admin") as client:
            for route in [*REQUESTS, *routes]:
                if route in NOT_ASKED or route in found:
                    continue
                paths = KNOWN | ({"name": "zoe"} if "people" in route else {})
                if "undo" in route:
                    paths["review_id"] = found["POST /api/parts/{part_id}/reviews"]["answer"]["review"]["review_id"]
                found[route] = ask(client, route, paths)
    kept = {route: example for route, example in sorted(found.items()) if example}
    (ROOT / "api" / "http" / "examples.json").write_bytes(orjson.dumps(kept, option=orjson.OPT_INDENT_2) + b"\n")
    without = [route for (method, path), one in ANSWERS.items()
               if one.body is not None and "answer" not in kept.get(route := f"{method} {path}", {})]  # fmt: skip
    print(f"{len(kept)} examples; without an answer: {', '.join(without) or 'none'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
