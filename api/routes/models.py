"""The models on the shelf: which there are, and which is live."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from api.access.gatekeeper import require
from api.http.errors import not_found
from api.http.lanes import through
from api.http.repeats import Key, once
from api.http.views import list_response
from api.installation import Installation, installation
from ingest.errors import ModelRefused
from ingest.messages import encode
from models.open import open_model
from models.places import live_names, live_version, versions
from models.shelf import promote as promote_model

router = APIRouter(tags=["plant"])


class ModelView(msgspec.Struct, frozen=True):
    """One version of one model on the shelf. `trouble`: why it does not open; `certificates`: what escape rate was
    certified of each gate in training, and on what."""

    name: str
    version: str
    live: bool
    kind: str = ""
    sha256: str = ""
    threshold: float | None = None
    trained_on: Any = None
    trouble: str = ""
    certificates: list[Any] = []


@router.get("/api/models")
@through("slow")
def models(request: Request) -> Response:
    """Every version of every model on the shelf."""
    require(request, "read")
    return list_response([encode(view) for view in models_of(installation(request))], None)


def models_of(here: Installation) -> list[ModelView]:
    """Every version of every model on the shelf, of each the newest first."""
    views = []
    for name in live_names(here.shelf):
        live = live_version(here.shelf, name)
        views += [_model(here, name, str(version), live) for version in reversed(versions(here.shelf, name))]
    return views


def _model(here: Installation, name: str, version: str, live: str) -> ModelView:
    try:
        opened = open_model(here.shelf, name, version)
    except ModelRefused as error:
        return ModelView(name, version, version == live, trouble=str(error))
    manifest = opened.manifest
    return ModelView(
        name=name,
        version=version,
        live=version == live,
        kind=manifest.kind,
        sha256=opened.model_name.sha256,
        threshold=manifest.threshold,
        trained_on=manifest.trained_on,
        certificates=_certificates_of(manifest.notes),
    )


def _certificates_of(notes: Any) -> list[Any]:
    """What a fusion model's gates were certified for when it was trained."""
    gates = notes.get("gates", []) if isinstance(notes, dict) else []
    return [
        {"line_id": gate["spec"]["line_id"], "gate_id": gate["spec"]["gate_id"], **certificate}
        for gate in gates
        if isinstance(certificate := gate.get("certificate"), dict)
    ]


@router.post("/api/models/{name}/{version}/promote")
@through("slow")
def promote(request: Request, name: str, version: str, key: Key = "") -> Response:
    """Make a version live; one that does not open is refused (409) and the live one stays."""
    person = require(request, "promote")
    here = installation(request)
    if (
        name not in live_names(here.shelf)
        or not (version.isascii() and version.isdigit() and len(version) <= 9)
        or int(version) not in versions(here.shelf, name)
    ):
        raise not_found(f"the shelf has no version {version} of {name}")

    def make_live() -> tuple[bytes, int]:
        manifest = promote_model(here.shelf, name, version)
        here.audit(person, "promote", f"{name} {version}")
        return encode(ModelView(name, manifest.version, True, manifest.kind)), 200

    return once(here, person, key, f"promote {name} {version}", make_live)
