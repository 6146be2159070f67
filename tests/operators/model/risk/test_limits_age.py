"""Limits that are older than allowed fail closed, by the time of the request."""

from collections.abc import Callable
from typing import Any

import pytest

from operators.model.events import RiskOutcome
from operators.model.risk.limits import Levels, RiskControl

SECOND = 1_000_000
MINUTE_MS = 60_000

Desks = Callable[..., Any]
Checks = Callable[[RiskOutcome], list[str]]


def control(scope: str, **fields: Any) -> RiskControl:
    values = {"event_type": "RISK_CONTROL", "occurred_at": 0, "sequence": 1, "source": "test", "limits_version": "1"}
    return RiskControl(key=scope, **(values | fields))


FRESH = 10 * 60 * SECOND


@pytest.mark.parametrize(
    ("firm", "others", "stale"),
    [
        pytest.param({}, [], {}, id="without a maximum nothing is too old"),
        pytest.param({"limits_age_max_ms": 10 * MINUTE_MS}, [], {}, id="as old as allowed"),
        pytest.param({"limits_age_max_ms": 9 * MINUTE_MS}, [], {"FIRM": (540_000, 600_000)}, id="older"),
        pytest.param(
            {"limits_age_max_ms": 9 * MINUTE_MS, "occurred_at": FRESH}, [], {}, id="given anew, it is young again"
        ),
        pytest.param(
            {"limits_age_max_ms": 9 * MINUTE_MS, "occurred_at": FRESH, "limits_at": 0}, [],
            {"FIRM": (540_000, 600_000)}, id="a later word that gave no limits makes them no younger",
        ),
        pytest.param(
            {"limits_age_max_ms": 9 * MINUTE_MS, "occurred_at": FRESH}, [control("ACCOUNT:ACC1", max_exposure=10**12)],
            {"ACCOUNT:ACC1": (540_000, 600_000)}, id="limits of a narrower scope",
        ),
        pytest.param(
            {"limits_age_max_ms": 9 * MINUTE_MS, "occurred_at": FRESH},
            [control("ACCOUNT:ACC1", trading_state="ACTIVE")], {},
            id="a scope with a trading state alone has no limits to be old",
        ),
        pytest.param(
            {"limits_age_max_ms": 9 * MINUTE_MS, "occurred_at": FRESH}, [control("ACCOUNT:ACC2", max_exposure=10**12)],
            {}, id="limits of others",
        ),
        pytest.param(
            {"limits_age_max_ms": 20 * MINUTE_MS, "occurred_at": FRESH},
            [control("SYMBOL:MSFT", limits_age_max_ms=MINUTE_MS)],
            {"SYMBOL:MSFT": (60_000, 600_000)}, id="the strictest maximum holds",
        ),
    ],
)  # fmt: skip
def test_a_request_under_limits_that_are_too_old_is_rejected_and_told_which(
    new_desk: Desks, firm: dict[str, Any], others: list[RiskControl], stale: dict[str, tuple[int, int]]
) -> None:
    desk = new_desk(*others, firm={"reference_age_max_ms": 10**9} | firm)
    outcome = desk.ask(occurred_at=10 * 60 * SECOND)
    found = {one.scope: (one.limit, one.attempted) for one in outcome.breaches if one.check == "LIMITS_STALE"}
    assert found == stale
    assert outcome.event_type == ("RISK_REJECTED" if stale else "RISK_APPROVED")
    assert desk.cancel(occurred_at=10 * 60 * SECOND).event_type == "RISK_APPROVED"


def test_an_age_from_which_is_warned(new_desk: Desks, checks: Checks, warnings: Checks) -> None:
    desk = new_desk(firm={"limits_age_max_ms": 2_000, "warn": Levels(limits_age_max_ms=1_000)})
    assert warnings(desk.ask(occurred_at=1_000_000)) == []
    assert warnings(desk.ask("ORD2", occurred_at=1_500_000)) == ["LIMITS_STALE"]
    assert checks(desk.ask("ORD3", occurred_at=2_500_000)) == ["LIMITS_STALE"]


def test_a_scope_may_require_that_an_age_is_given(new_desk: Desks) -> None:
    desk = new_desk(firm={"required_checks": ("LIMITS_AGE",)})
    assert [(one.check, one.scope) for one in desk.ask().breaches] == [("LIMITS_MISSING", "FIRM/LIMITS_AGE")]
    desk.firm(limits_age_max_ms=1)
    assert desk.ask("ORD2").event_type == "RISK_APPROVED"
