"""The system's machine-readable words and the English for each: the keys under which other languages have theirs."""

from __future__ import annotations

DECISIONS = {"pass": "Pass", "review": "Review", "cannot_tell": "Cannot tell"}

REASONS = {
    "risk_over_threshold": "the risk is over the limit",
    "evidence_missing": "evidence is missing",
    "evidence_unfit": "evidence cannot be trusted",
    "deadline_missed": "no worker judged it in time",
    "unknown_product": "this product has not been learned",
    "novel": "unlike anything learned",
    "unknown_attribute": "carries a tool, fixture or the like that has not been learned",
    "provisional": "learned without defect labels: ranks what is unusual, promises nothing about escapes",
    "model_not_ready": "no model is ready",
    "manual_mode": "the line is in manual mode",
    "audit": "drawn at random for an audit",
    "capacity": "over the limit, but riskier parts take all the time inspectors have: held",
    "corrected": "corrected by later evidence",
}

FITNESS = {
    "blur": "blurred",
    "exposure": "too dark or too bright",
    "saturated": "overexposed",
    "wrong_part": "does not look like this product",
    "unreadable": "cannot be read",
    "model_not_ready": "no trained eye for this camera",
    "frozen": "the same picture as another part's",
    "lens_dirt": "all it shows is a mark that stays on every part",
    "camera_moved": "taken after the camera moved",
}

SCORERS = {
    "fine": "fine texture",
    "long": "long edges",
    "painted": "shape of a defect",
    "detail": "small detail",
    "backbone": "your own network",
    "net": "trained network",
    "whole": "the frame as a whole",
}


OUTCOMES = {"defect": "defect", "ok": "ok", "unsure": "unsure"}

SOURCES = {
    "inspector": "inspector",
    "audit": "audit",
    "history": "earlier record",
    "customer": "customer",
    "challenge": "challenge",
}

ROLES = {
    "inspector": "Inspector",
    "qa": "QA lead",
    "engineer": "Engineer",
    "machine": "Machine",
    "admin": "Admin",
}

RIGHTS = {
    "read": "look at the screens",
    "review": "decide on parts",
    "stop": "stop the system",
    "resume": "go automatic again",
    "promote": "make a model live",
    "audit": "read who did what",
    "people": "look after accounts",
    "quality": "see how well parts are judged",
}

ACTIONS = {
    "exercise": "exercise decided",
    "known_part": "known part named",
    "known_part_dropped": "known part taken away",
    "language_chosen": "language chosen",
    "login": "logged in",
    "login_refused": "log-in refused",
    "logout": "logged out",
    "mode_auto": "ordered automatic",
    "mode_manual": "ordered manual",
    "password_changed": "password changed",
    "person_added": "person added",
    "person_changed": "person changed",
    "promote": "model made live",
    "review": "part decided",
    "share view": "view shared",
    "take over": "part taken over",
    "token_made": "token made",
    "token_revoked": "token revoked",
    "undo": "decision taken back",
    "withdraw view": "shared view withdrawn",
}

ATTRIBUTES = {
    "tool_id": "tool id",
    "fixture_id": "fixture id",
    "operator_id": "operator id",
    "pallet_id": "pallet id",
    "supplier_lot": "supplier lot",
    "material_lot": "material lot",
    "supplier": "supplier",
    "shift": "shift",
    "recipe": "recipe",
    "program": "program",
    "cavity": "cavity",
    "gate_id": "gate",
}

#: Every text that is said by its key from one of these tables.
TABLES = (DECISIONS, REASONS, FITNESS, SCORERS, OUTCOMES, SOURCES, ROLES, RIGHTS, ACTIONS, ATTRIBUTES)
