"""A whole simulated day through the whole pipeline on one host, and the verdict on what came out.

Phases:

    running    order entry, engine and venue work; flows follow
    settling   the simulation is over; flows read what is left
    settled    every group has caught up, proven by reading on from its offsets; the verdict can be computed

The day lasts six and a half hours and is played in seconds, so topics that are a tenth of a second apart are minutes
apart in event time. The dashboard would rightly drop what comes after its grace, so it is given a day of it.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import yaml

import config
from broker.contract import Log, TopicPartition, TopicSpec
from config.errors import BrokenWorldError, UsageError
from config.settings import Settings
from config.topics import DEAD_LETTER_TOPIC, TOPICS
from config.topology import load_topology
from flows.connect import open_codec, open_log
from operators.codec.codec import Codec
from services import reference
from services.counters import COUNTED_TOPICS, Latency, TopicCounts
from services.day import Day
from services.life import opening_micros
from services.live import FLOWS, FlowProcess, Pipeline, plan_flows
from services.progress import GroupProgress, event_topics
from services.truth_fees import FeeTable
from services.verdict import Check, Verdict, read_topic, verify
from sinks.views import DASHBOARD, FLOW, POSITIONS, View, read_positions, read_windows

TUMBLING_MS: Final = 60_000
RESTARTS_MAX: Final = 10
"""Restarts of one part in a row after which the demo gives up."""
_VIEWS_EVERY_S: Final = 1.0
_VIEWS_SAME_READS: Final = 2
_FEES_FILE: Final = Path(config.__file__).parent / "fees" / "us_equities.yaml"

Phase = Literal["running", "settling", "settled"]


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What to play. `folder` holds stores, logs, and on the embedded log the log itself."""

    folder: Path
    orders: int
    seed: int = 1
    rate_per_s: float | None = None
    workers: int = 1


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Where a running demo stands."""

    phase: Phase
    seconds: float
    records: Mapping[str, int]
    """By topic."""
    event_types: Mapping[str, int]
    lags: Mapping[str, int]
    """Records behind, by flow."""
    latencies: Mapping[str, Mapping[str, float | None]]
    restarts: Mapping[str, int]

    @property
    def intents(self) -> int:
        """Orders and cancels placed."""
        return self.records.get("orders.input", 0)

    @property
    def fills(self) -> int:
        """Fills that were enriched."""
        return self.records.get("orders.enrichment", 0)


def demo_settings(settings: Settings, folder: Path) -> Settings:
    """The settings of a demo: stores and embedded log in the folder, free ports; on Kafka a prefix of its own."""
    settings = replace(
        settings,
        state=replace(settings.state, dir=folder / "state"),
        metrics=replace(settings.metrics, host="127.0.0.1", port=0),
    )
    if settings.log.kind == "embedded":
        log, application = replace(settings.log, path=folder / "log"), replace(settings.application, prefix="")
        return replace(settings, log=log, application=application)
    prefix = f"{settings.application.prefix}demo-{time.strftime('%Y%m%d%H%M%S', time.gmtime())}-{os.getpid()}-"
    return replace(settings, application=replace(settings.application, prefix=prefix))


def demo_variables(settings: Settings) -> dict[str, str]:
    """Environment variables under which another process works on the same demo."""
    variables = {
        "ORDERFLOW__STATE__DIR": str(settings.state.dir),
        "ORDERFLOW__APPLICATION__PREFIX": settings.application.prefix,
    }
    if settings.log.kind == "embedded":
        variables["ORDERFLOW__LOG__PATH"] = str(settings.log.path)
    return variables


class Demo:
    """One demo from the empty topics to the verdict; a context manager that stops all its processes.

    `settings` are those of `demo_settings`, `environment` that of the processes. Belongs to one thread.

    Raises:
        UsageError: on entering, if the topics already hold events.
        BrokenWorldError: a process cannot be kept running; its log in the folder says why.

    """

    def __init__(self, settings: Settings, options: DemoOptions, environment: Mapping[str, str]) -> None:
        self.settings, self._options = settings, options
        self._environment = {
            **environment,
            **demo_variables(settings),
            "ORDERFLOW__METRICS__HOST": settings.metrics.host,
        }
        self.log_folder = options.folder / "logs"
        self._stack = ExitStack()
        self._phase: Phase = "running"
        self._simulated_s = 0.0
        self._topics = {flow: event_topics(load_topology(flow)) for flow in FLOWS}

    def __enter__(self) -> Demo:
        self._log: Log = open_log(self.settings)
        self._codec: Codec = open_codec(self.settings, [*COUNTED_TOPICS, *reference.TOPICS])
        self._prepare_topics()
        reference.publish(
            self._log, self._codec, occurred_at=opening_micros(Day(0).date), client_id=self._client_id("reference")
        )
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def _start(self) -> None:
        self.log_folder.mkdir(parents=True, exist_ok=True)
        self._started_at_s = time.monotonic()
        self.flows = self._flow_processes()
        self._latencies = {flow.name: Latency(str(flow.metrics_url)) for flow in self.flows}
        client_id = self._client_id("watch")
        self._progress = self._stack.enter_context(GroupProgress(self._log, client_id))
        self._counts = self._stack.enter_context(
            TopicCounts(self._log, self._codec, client_id, dead_letter_topic=DEAD_LETTER_TOPIC)
        )
        self._pipeline = self._stack.enter_context(
            Pipeline(
                self.settings,
                self.flows,
                self._environment,
                simulate=self._simulate_arguments(),
                log_folder=self.log_folder,
            )
        )

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def snapshot(self) -> Snapshot:
        """Looks at everything once, moves on to the next phase if it is reached, and says how things stand."""
        self.check_processes()
        self._counts.read()
        for latency in self._latencies.values():
            latency.scrape()
        self._advance()
        return Snapshot(
            phase=self._phase,
            seconds=time.monotonic() - self._started_at_s,
            records=dict(self._counts.records),
            event_types=dict(self._counts.event_types),
            lags={flow: self._progress.lag(self._group(flow), self._topics[flow]) for flow in FLOWS},
            latencies={name: latency.as_json() for name, latency in self._latencies.items()},
            restarts=self._pipeline.restarts,
        )

    def check_processes(self) -> None:
        """`BrokenWorldError` if a part of the pipeline cannot be kept running."""
        failed = [name for name, restarts in self._pipeline.restarts.items() if restarts > RESTARTS_MAX]
        if not self._pipeline.is_running() or failed:
            raise BrokenWorldError(
                f"{', '.join(failed) or 'a process'} cannot be kept running; the logs in {self.log_folder} say why"
            )

    def summary(self) -> dict[str, Any]:
        """The closing summary of a settled demo: counts, verdict, latencies in milliseconds, throughput, duration."""
        assert self._phase == "settled", "the flows have not caught up"
        self._counts.read_all()
        verdict = self._verdict()
        records, types = self._counts.records, self._counts.event_types
        seconds = self._settled_s
        return {
            "orders": self._options.orders,
            "seed": self._options.seed,
            "exact": verdict.exact,
            "counts": {
                "intents": records["orders.input"],
                "approved": types["RISK_APPROVED"],
                "rejected": types["RISK_REJECTED"],
                "engine_statuses": types["ORDER_STATUS_CHANGED"],
                "executions": records["orders.executions"],
                "consolidated": types["ORDER_STATUS_CONSOLIDATED"],
                "fills": records["orders.enrichment"],
                "dead_letters": records[DEAD_LETTER_TOPIC],
                "duplicate_inputs": verdict.counts["duplicate_inputs"],
            },
            "verdict": verdict.as_json(),
            "latency_ms": {
                **self._latencies["order_status"].as_json(),
                "flows": {name: latency.as_json() for name, latency in self._latencies.items()},
            },
            "throughput_per_s": {
                "orders": round(self._options.orders / seconds, 1),
                "records": round(sum(records[topic] for topic in COUNTED_TOPICS) / seconds, 1),
            },
            "restarts": sum(self._pipeline.restarts.values()),
            "duration_s": round(seconds, 3),
        }

    @property
    def pids(self) -> dict[str, list[int]]:
        """Process ids of each part."""
        return {name: cluster.pids for name, cluster in self._pipeline.clusters.items()}

    def _prepare_topics(self) -> None:
        admin = self._log.admin()
        try:
            admin.create_topics(
                [
                    TopicSpec(topic.name, topic.partitions, self.settings.kafka.replication_factor, topic.config)
                    for topic in TOPICS.values()
                ]
            )
            counts = admin.topics()
            partitions = [
                TopicPartition(name, n) for name in (*COUNTED_TOPICS, DEAD_LETTER_TOPIC) for n in range(counts[name])
            ]
            beginnings, ends = admin.beginnings(partitions), admin.ends(partitions)
        finally:
            admin.close()
        used = sorted({tp.topic for tp in partitions if ends[tp] > beginnings[tp]})
        if used:
            raise UsageError(
                f"the demo needs empty topics, since its verdict is on all they hold, and there are records in "
                f"{', '.join(used)}: give it a cluster of its own, or the embedded log"
            )

    def _flow_processes(self) -> list[FlowProcess]:
        views_file = self._options.folder / "views.yaml"
        views_file.write_text(patient_views())
        topologies = {flow: flow for flow in FLOWS} | {FLOW: str(views_file)}
        return plan_flows(self.settings, topologies, workers=self._options.workers)

    def _simulate_arguments(self) -> list[str]:
        arguments = ["--orders", str(self._options.orders), "--seed", str(self._options.seed), "--until-done"]
        if self._options.rate_per_s is not None:
            arguments += ["--rate", str(self._options.rate_per_s)]
        return arguments

    def _advance(self) -> None:
        if self._phase == "running" and self._pipeline.clusters["simulation"].exit_code == 0:
            self._phase = "settling"
        # In the order of the stream: what one flow has caught up with can no longer grow when the next is asked.
        if self._phase == "settling" and all(
            self._progress.has_caught_up(self._group(flow), self._topics[flow])
            for flow in ("order_status", "views", "risk_check")
        ):
            self._phase = "settled"
            self._settled_s = time.monotonic() - self._started_at_s

    def _verdict(self) -> Verdict:
        verdict = verify(
            self._log,
            self._codec,
            FeeTable.load(_FEES_FILE),
            positions=_settled(self._positions),
            dashboard=_settled(self._dashboard),
        )
        return Verdict([self._decisions(), *verdict.checks], verdict.counts)

    def _decisions(self) -> Check:
        """Every intent has one decision, and nothing else has."""
        intents, decided = Counter[tuple[str, int]](), Counter[tuple[str, int]]()
        for rows in read_topic(self._log, self._codec, "orders.input"):
            intents.update((row["key"], row["sequence"]) for row in rows)
        for rows in read_topic(self._log, self._codec, "risk.outcome"):
            decided.update((row["key"], row["intent"]["sequence"]) for row in rows)
        check = Check("one decision per intent")
        for intent in intents.keys() | decided.keys():
            check.equal(f"{intent[0]} {intent[1]}", decided[intent], intents[intent])
        return check

    def _positions(self) -> dict[str, dict[str, Any]]:
        with View(self.settings, FLOW, POSITIONS) as view:
            return {
                f"{position.account_id}|{position.symbol}": msgspec.to_builtins(position)
                for position in read_positions(view)
            }

    def _dashboard(self) -> dict[str, dict[str, int]]:
        sums: dict[str, Counter[str]] = {}
        with View(self.settings, FLOW, DASHBOARD) as view:
            for window in read_windows(view, size_ms=TUMBLING_MS):
                figures = msgspec.to_builtins(window.aggregate)
                of_key = sums.setdefault(f"{window.symbol}|{window.venue}", Counter())
                of_key.update({name: value for name, value in figures.items() if isinstance(value, int)})
        return {key: dict(figures) for key, figures in sums.items()}

    def _group(self, flow: str) -> str:
        return self.settings.application.group_of(flow)

    def _client_id(self, role: str) -> str:
        return self.settings.application.client_id_of("demo", role)


def patient_views() -> str:
    """The topology of the views with a dashboard that waits a day for late records, as YAML."""
    document = yaml.safe_load((Path(config.__file__).parent / "topologies" / f"{FLOW}.yaml").read_text())
    (dashboard,) = [step for step in document["steps"] if step["id"] == DASHBOARD]
    dashboard["options"]["grace"] = "1d"
    text: str = yaml.safe_dump(document, sort_keys=False)
    return text


def _settled(read: Callable[[], dict[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """A view once it no longer changes: stores follow what is committed within an epoch or two."""
    before, same = read(), 1
    while same < _VIEWS_SAME_READS:
        time.sleep(_VIEWS_EVERY_S)
        now = read()
        before, same = now, same + 1 if now == before else 1
    return before
