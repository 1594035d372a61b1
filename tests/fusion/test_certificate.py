"""The escape certificate: kept on plants of which the truth is known, refused where the statistics do not allow it."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion.calibration.calibrate import sigmoid
from fusion.certificate.fit import LOTS_MIN, Labelled, certify, fit_bound, units
from fusion.certificate.lots import fit_spread_limit
from fusion.certificate.promise import Certificate, plan_mark
from fusion.decide import choose_threshold
from ingest.plan.plan import Plan
from tests.fusion.conftest import make_plan

BIAS, SLOPE = -5.5, 2.0  # about 1.8 % defective
ASKED = 0.005


def drawn(lots: int, per_lot: int = 100, sd: float = 0.0, seed: int = 0) -> Labelled:
    """Parts whose risk is known but for what their lot adds to its logit."""
    rng = np.random.default_rng(seed)
    lot = np.repeat(np.arange(lots), per_lot)
    logits = BIAS + SLOPE * rng.normal(size=len(lot))
    defect = rng.random(len(lot)) < sigmoid(logits + rng.normal(0.0, sd, lots)[lot])
    return Labelled(sigmoid(logits), defect, lot)


def asking(rate: float, share: float = 0.5) -> Plan:
    return make_plan(escape_rate_max=rate, review_share_max=share)


def certificate_of(labelled: Labelled, plan: Plan) -> Certificate:
    return certify(labelled, plan, "L1", "EOL")[1]


def test_a_certified_limit_is_broken_in_no_more_than_five_of_a_hundred_calibrations() -> None:
    """At the highest threshold that is certified, where a promise is broken first; 50 lots, half a logit apart."""
    scores = np.sort(np.random.default_rng(9).normal(size=400_000))
    nodes, weights = np.polynomial.hermite_e.hermegauss(15)
    true = sigmoid(BIAS + SLOPE * scores[:, None] + 0.5 * nodes) @ (weights / weights.sum())
    escapes, risks = np.cumsum(true) / len(scores), sigmoid(BIAS + SLOPE * scores)
    limits = [fit_bound(drawn(50, sd=0.5, seed=seed)).limit(ASKED) for seed in range(60)]
    broken = sum(limit is not None and np.interp(limit, risks, escapes) > ASKED for limit in limits)
    assert broken <= 3
    assert sum(limit is not None for limit in limits) >= 55


def test_more_lots_and_a_smaller_spread_certify_more() -> None:
    few, many, spread = drawn(20), drawn(200), drawn(200, sd=1.0)
    at = float(np.quantile(few.risk, 0.8))
    bounds = [fit_bound(labelled) for labelled in (few, many, spread)]
    upper = [float(bound.upper[bound.escapes(at)]) for bound in bounds]
    assert upper[1] < upper[0]
    assert upper[1] < upper[2]


def test_few_lots_certify_nothing_and_say_how_many_more() -> None:
    certificate = certificate_of(drawn(LOTS_MIN - 5), asking(ASKED))
    assert certificate.promise is None
    assert certificate.more_lots == 5
    assert "too few" in certificate.say()
    assert certificate_of(drawn(LOTS_MIN), asking(0.05)).promise is not None


def test_booking_every_part_as_a_lot_of_its_own_makes_no_parts_independent() -> None:
    labelled = drawn(60, sd=1.0)
    alone = Labelled(labelled.risk, labelled.defect, np.arange(len(labelled.risk)))
    assert units(labelled.lot).max() + 1 == 60
    assert certificate_of(alone, asking(ASKED)).lots == 400
    few = Labelled(labelled.risk[:150], labelled.defect[:150], np.arange(150))
    assert certificate_of(few, asking(ASKED)).promise is None


def test_a_promise_that_cannot_be_given_names_the_lesser_one_and_what_the_other_takes() -> None:
    certificate = certificate_of(drawn(25), asking(0.0015, share=0.6))
    assert certificate.promise is not None
    assert certificate.promise > certificate.asked
    assert certificate.more_lots is not None
    assert certificate.more_lots > 0
    assert "lots more would do" in certificate.say()


def test_nothing_is_certified_where_most_parts_have_no_label() -> None:
    labelled = drawn(60)
    thin = Labelled(labelled.risk, labelled.defect, labelled.lot, share=0.3)
    assert certificate_of(labelled, asking(ASKED)).promise == ASKED
    assert "only 30%" in certificate_of(thin, asking(ASKED)).say()


def test_labels_that_are_still_to_come_do_not_count_as_withheld() -> None:
    labelled = drawn(30)
    n = len(labelled.risk)
    judged = np.concatenate([np.ones(n, bool), np.zeros(n, bool)])
    usable = [frozenset({"camera:top"})] * n + [frozenset[str]()] * n
    told = Labelled.of(labelled.risk, labelled.defect, np.tile(labelled.lot, 2), judged, usable, ("camera:top",))
    assert (told.share, told.without) == (1.0, {"camera:top": 0.5})


def test_the_threshold_is_lowered_where_that_certifies_what_is_asked_within_the_review_share() -> None:
    labelled, loose = drawn(60, seed=1), asking(ASKED)
    cheap = msgspec.structs.replace(loose, objective=msgspec.structs.replace(loose.objective, escape_cost=5.0))
    plain = choose_threshold(labelled.risk, labelled.defect, cheap)
    choice, certificate = certify(labelled, cheap, "L1", "EOL")
    assert choice.threshold < plain.threshold
    assert certificate.holds_what_is_asked
    tight = msgspec.structs.replace(
        cheap, constraints=msgspec.structs.replace(cheap.constraints, review_share_max=plain.review_share)
    )
    choice, certificate = certify(labelled, tight, "L1", "EOL")
    assert choice.threshold == plain.threshold
    assert not certificate.holds_what_is_asked


def test_a_promise_no_better_than_no_inspection_is_none() -> None:
    """Risks that tell nothing: all that could be promised is what would escape anyway."""
    rng = np.random.default_rng(3)
    lot = np.repeat(np.arange(30), 60)
    blind = Labelled(rng.uniform(0.02, 0.04, len(lot)), rng.random(len(lot)) < 0.03, lot)
    certificate = certificate_of(blind, asking(0.0001, share=0.01))
    assert certificate.promise is None or certificate.promise < float(blind.defect.mean())


@given(st.integers(20, 60), st.integers(0, 10_000), st.sampled_from([0.0, 0.5, 1.5]))
@settings(deadline=None, max_examples=15)
def test_the_bound_never_falls_and_lies_above_what_was_seen(lots: int, seed: int, sd: float) -> None:
    labelled = drawn(lots, per_lot=30, sd=sd, seed=seed)
    if not labelled.defect.any():
        return
    bound = fit_bound(labelled)
    seen = np.arange(len(bound.upper)) / len(labelled.risk)
    assert (np.diff(bound.upper) >= 0).all()
    assert (bound.upper > seen).all() or bound.upper[-1] == 1.0
    limits = [bound.limit(rate) for rate in (0.001, 0.01, 0.1)]
    known = [limit for limit in limits if limit is not None]
    assert known == sorted(known)
    for rate, limit in zip((0.001, 0.01, 0.1), limits, strict=True):
        assert limit is None or bound.upper[bound.escapes(limit)] <= rate


@pytest.mark.parametrize("sd", [0.0, 1.0])
def test_the_spread_of_lots_is_found_with_its_upper_limit(sd: float) -> None:
    found = [fit_spread_limit(d.risk, d.defect, d.lot) for d in (drawn(80, sd=sd, seed=seed) for seed in range(8))]
    assert np.mean([one.sd for one in found]) == pytest.approx(sd, abs=0.2)
    assert sum(one.high >= sd for one in found) >= 7
    assert all(one.sd <= one.high for one in found)


def test_a_mark_changes_with_what_a_promise_rests_on_and_with_nothing_else(plan: Plan) -> None:
    mark = plan_mark(plan, "L1", "EOL")
    dearer = msgspec.structs.replace(
        plan, objective=msgspec.structs.replace(plan.objective, escape_cost=1.0), sha256="x"
    )
    assert plan_mark(dearer, "L1", "EOL") == mark
    assert plan_mark(make_plan(escape_rate_max=0.5), "L1", "EOL") != mark
    assert plan_mark(make_plan(forbidden_causes=()), "L1", "EOL") != mark
    line = msgspec.structs.replace(plan.lines[0], cameras=())
    assert plan_mark(msgspec.structs.replace(plan, lines=(line,)), "L1", "EOL") != mark
