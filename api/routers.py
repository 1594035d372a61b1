"""Every route of the service, in the order in which a request is held against them."""

from __future__ import annotations

from types import ModuleType

from fastapi import APIRouter

from api.routes import (
    accounts,
    docs,
    health,
    marks,
    missed,
    models,
    oidc,
    overview,
    parts,
    people,
    plant,
    quality,
    queue,
    reviews,
    settled,
    shift,
    texts,
    verdicts,
    views,
)
from api.screens import audit as audit_page
from api.screens import front as front_pages
from api.screens import part as part_page
from api.screens import people as people_pages
from api.screens import plant as plant_pages
from api.screens import quality as quality_pages

#: A request is held against one route after the other: what is asked most stands first.
_ASKED_MOST = (health, overview, queue, reviews, parts, part_page)
_MACHINES = (people, accounts, verdicts, marks, missed, oidc, settled, shift, views, plant, models)
_DOCUMENTS = (docs, texts)
_PAGES = (front_pages, plant_pages, audit_page, people_pages, quality_pages, quality)
_IN_ORDER: tuple[ModuleType, ...] = (*_ASKED_MOST, *_MACHINES, *_DOCUMENTS, *_PAGES)
ROUTERS: tuple[APIRouter, ...] = tuple(module.router for module in _IN_ORDER)
