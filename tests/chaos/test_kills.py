"""Hard kills at random moments and at named points change nothing: all is processed exactly once, in order."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import lmdb
import msgspec
import pytest
from chaos_driver import Chaos
from chaos_groups import GroupRiskJob
from chaos_jobs import ChainJob, LifecycleJob, OrderStatusJob, ViewsJob
from chaos_log import Job, codec, read_all, store_values
from chaos_processes import ForkServer
from chaos_risk import RiskJob
from chaos_surveillance import SurveillanceJob
from chaos_world import Feeder, LogKind, World

from config.errors import StoreError
from flows.chaos import CRASH_VARIABLE, MAX_VARIABLE, SEED_VARIABLE
from operators.model.events import Breach, Event, RiskOutcome, account_of

pytestmark = [pytest.mark.kills, pytest.mark.timeout(400)]


def order_status(_: Path) -> Job:
    return OrderStatusJob(300, seed=5)


def lifecycle(_: Path) -> Job:
    return LifecycleJob(150, seed=5)


def chain(folder: Path) -> Job:
    return ChainJob(1_500, 5, folder)


def views(folder: Path) -> Job:
    return ViewsJob(150, 5, folder)


def risk_check(_: Path) -> Job:
    return RiskJob(150, seed=5)


def risk_groups(_: Path) -> Job:
    return GroupRiskJob(14, seed=5)


def surveillance(folder: Path) -> Job:
    return SurveillanceJob(250, 5, folder)


@pytest.mark.parametrize(
    ("kind", "make_job", "kills", "broker_kills", "broker_pauses"),
    [
        ("embedded", order_status, 6, 0, 0),
        ("embedded", lifecycle, 8, 0, 0),
        ("embedded", chain, 8, 0, 0),
        ("embedded", views, 6, 0, 0),
        ("embedded", risk_check, 6, 0, 0),
        ("embedded", risk_groups, 6, 0, 0),
        ("embedded", surveillance, 6, 0, 0),
        pytest.param("kafka", order_status, 6, 1, 1, marks=pytest.mark.kafka),
        pytest.param("kafka", chain, 6, 0, 0, marks=pytest.mark.kafka),
        pytest.param("kafka", risk_check, 4, 0, 0, marks=pytest.mark.kafka),
        pytest.param("kafka", surveillance, 4, 0, 0, marks=pytest.mark.kafka),
    ],
)
def test_a_flow_that_is_killed_again_and_again_is_exact(
    kind: LogKind,
    make_job: Callable[[Path], Job],
    kills: int,
    broker_kills: int,
    broker_pauses: int,
    make_world: Callable[[LogKind], World],
    fork_server: ForkServer,
    tmp_path: Path,
) -> None:
    job, place = make_job(tmp_path), make_world(kind)
    history = kind == "embedded" and make_job is chain
    report = Chaos(
        fork_server, job, place, seed=7, kills=kills, broker_kills=broker_kills, broker_pauses=broker_pauses,
        history=history,
    ).run()  # fmt: skip
    assert report.problems == []
    assert report.unexpected == []
    assert report.kills_total >= kills
    assert (report.broker_kills, report.broker_pauses) == (broker_kills, broker_pauses)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_supervisor_brings_a_dying_cluster_to_its_end(
    make_world: Callable[[LogKind], World], tmp_path: Path, workers: int
) -> None:
    """`orderflow run --workers N` as users start it; its processes die at named points, four times in all."""
    place, job = make_world("embedded"), OrderStatusJob(150, seed=6)
    feeder = Feeder(place.log, job)
    feeder.feed(feeder.left)
    feeder.close()
    environment = {
        **place.environment(),
        "ORDERFLOW__ENGINE__POLL_RECORDS": "40",
        "ORDERFLOW__WORKERS__RESTART_BACKOFF_MAX_MS": "200",
        CRASH_VARIABLE: "commit.before:0.3,commit.after:0.3,catch_up.applied:0.3",
        SEED_VARIABLE: "3",
        MAX_VARIABLE: "4",
    }
    command = [sys.executable, "-m", "cli", *job.command, "--workers", str(workers), "--until-end"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert 1 <= len(place.crash_log.read_text().splitlines()) <= 5  # two processes may die at once
    assert done.stderr.count("the flow restarts") >= 1
    assert job.problems(place.place) == []


def test_a_loss_or_a_repetition_would_be_noticed(make_world: Callable[[LogKind], World], tmp_path: Path) -> None:
    """The judge is not blind: outputs made by hand, one twice and one missing, and an empty store."""
    place, job = make_world("embedded"), ChainJob(50, 1, tmp_path)
    feeder = Feeder(place.log, job)
    feeder.feed(feeder.left)
    feeder.close()
    found = Counter(problem.partition(" of ")[0].split(":")[0] for problem in job.problems(place.place))
    assert found["outputs"] > 1
    assert found["sequences"] > 1
    assert store_values(place.folder / "state" / "chain" / "orders") == {}


def test_a_decision_too_many_or_another_one_would_be_noticed(make_world: Callable[[LogKind], World]) -> None:
    place, job = make_world("embedded"), RiskJob(24, seed=1)
    decisions = list(job.decisions())
    assert {decision.event_type for decision in decisions} == {"RISK_APPROVED", "RISK_REJECTED"}
    written(place, job, "risk.outcome", decisions[:-1])
    lost = [problem for problem in job.problems(place.place) if "decision" in problem]
    assert [problem.partition(": ")[0] for problem in lost] == [f"account {account_of(decisions[-1].key)}"]
    written(place, job, "risk.outcome", decisions[-1:])
    assert not [problem for problem in job.problems(place.place) if "decision" in problem]
    written(place, job, "risk.outcome", decisions[-1:])
    assert [problem for problem in job.problems(place.place) if "decisions on" in problem]
    other, job = make_world("embedded"), RiskJob(24, seed=1)
    changed = msgspec.structs.replace(decisions[-1], limits_version="FIRM@0")
    written(other, job, "risk.outcome", [*decisions[:-1], changed])
    assert [problem for problem in job.problems(other.place) if "by the rules" in problem]


def test_a_decision_that_another_account_ought_to_have_changed_would_be_noticed(
    make_world: Callable[[LogKind], World],
) -> None:
    place, job = make_world("embedded"), GroupRiskJob(6, seed=1)
    kinds = Counter(checks for _, checks in job.expected().values())
    assert kinds.keys() == {(), ("SELF_TRADE",), ("TOTAL_MESSAGE_RATE",)}
    assert min(kinds.values()) > 20
    outcomes = [
        RiskOutcome(
            event_type=kind, occurred_at=1, key="G0A0|O", sequence=1, source="risk", limits_version="FIRM@1",
            intent=job.intents[request], breaches=[Breach(check=check, scope="FIRM") for check in checks],
        )
        for request, (kind, checks) in job.expected().items()
    ]  # fmt: skip
    written(place, job, "risk.outcome", outcomes[:-1])
    assert len([problem for problem in job.problems(place.place) if "decisions on" in problem]) == 1
    written(place, job, "risk.outcome", outcomes[-1:])
    found = job.problems(place.place)
    assert not [problem for problem in found if "decisions on" in problem]
    assert [problem for problem in found if "requests counted" in problem], "nothing was counted by hand"
    written(place, job, "risk.outcome", [msgspec.structs.replace(outcomes[0], breaches=[])])
    assert [problem for problem in job.problems(place.place) if "decisions on" in problem]


def test_an_alert_too_many_or_too_few_would_be_noticed(make_world: Callable[[LogKind], World], tmp_path: Path) -> None:
    place, job = make_world("embedded"), SurveillanceJob(60, 1, tmp_path)
    written(place, job, "orders.alerts", [])
    alerts = job.expected(place.place).alerts
    written(place, job, "orders.alerts", alerts[1:])
    assert [problem for problem in job.problems(place.place) if problem.startswith("alerts by")]
    other = make_world("embedded")
    written(other, job, "orders.alerts", alerts)
    assert not [problem for problem in job.problems(other.place) if problem.startswith("alerts by")]
    written(other, job, "orders.alerts", alerts[:1])
    assert [problem for problem in job.problems(other.place) if problem.startswith("alerts by")]


def written(place: World, job: Job, topic: str, outputs: Sequence[Event]) -> None:
    """Writes outputs as a flow would, and before the first of them the job's input."""
    feeder = Feeder(place.log, job)
    if not read_all(place.log, job.sources[0]):
        feeder.feed(feeder.left)
    feeder.close()
    with closing(place.log.producer("flow")) as producer:
        for output in outputs:
            [value] = codec().encode_records(topic, [msgspec.to_builtins(output)])
            producer.send(topic, output.key.encode(), value)
        producer.flush()


def test_a_store_that_a_kill_left_without_tables_has_no_values_and_is_an_error_at_the_end(tmp_path: Path) -> None:
    lmdb.open(str(tmp_path / "000"), max_dbs=4).close()
    (tmp_path / "001").mkdir()
    assert store_values(tmp_path, left_behind=True) == {}
    with pytest.raises(StoreError):
        store_values(tmp_path)
