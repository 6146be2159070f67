"""A whole simulated day through the whole pipeline on one host, and the verdict on what came out.

Phases:

    running    order entry, engine and venue work; flows follow
    settling   the simulation is over; flows read what is left
    settled    every group has caught up, proven by reading on from its offsets; the verdict can be computed

The day lasts six and a half hours and is played in seconds, so topics that are a tenth of a second apart are minutes
apart in event time. Dashboard and surveillance would rightly not wait for what comes after their grace, so they are
given more of it (`_PATIENCE`): half a day for alerts, which the night between two sessions is longer than.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import yaml

import config
from broker.contract import Log, TopicPartition, TopicSpec
from config.errors import BrokenWorldError, UsageError
from config.settings import Settings
from config.topics import DEAD_LETTER_TOPIC, TOPICS
from flows.connect import open_codec, open_log
from operators.codec.codec import Codec
from operators.model.risk.limits import ACCOUNT_EVENT, AccountReference
from services import reference
from services.counters import COUNTED_TOPICS, Latency, TopicCounts
from services.day import Day, intents
from services.live import EVERY_FLOW, FlowProcess, Pipeline, event_groups, plan_flows
from services.progress import GroupProgress
from services.reckoning import reckon
from services.sessions import opening_micros
from services.worked import is_parent
from sinks.views import FLOW, SURVEILLANCE

RESTARTS_MAX: Final = 10
"""Restarts of one part in a row after which the demo gives up."""
_SETTLING: Final = ("order_status", "views", "risk_check", "surveillance", "views")
"""In the order of the stream: what one flow has caught up with can no longer grow when the next is asked."""
_PATIENCE: Final[Mapping[str, Mapping[str, Mapping[str, str]]]] = {
    FLOW: {"dashboard": {"grace": "7d", "keep": "7d"}},
    SURVEILLANCE: {step: {"grace": "12h"} for step in ("orders", "account_ratios", "symbol_ratios", "wash_trades")},
}
"""Options of the demo's own by flow and step."""

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

    @property
    def alerts(self) -> int:
        """Alerts that surveillance raised."""
        return self.event_types.get("RAISED", 0)


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
        self._day = Day(options.orders, options.seed, incidents=True)
        self._environment = {
            **environment,
            **demo_variables(settings),
            "ORDERFLOW__METRICS__HOST": settings.metrics.host,
        }
        self.log_folder = options.folder / "logs"
        self._stack = ExitStack()
        self._phase: Phase = "running"
        self._simulated_s = 0.0
        self._topics = event_groups(settings, EVERY_FLOW)
        self._groups = {flow: settings.application.group_of(flow) for flow in EVERY_FLOW}

    def __enter__(self) -> Demo:
        self._log: Log = open_log(self.settings)
        self._codec: Codec = open_codec(self.settings, [*COUNTED_TOPICS, *reference.TOPICS])
        self._prepare_topics()
        self._publish_reference()
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
            lags={flow: self._progress.lag(group, self._topics[group]) for flow, group in self._groups.items()},
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
        verdict = reckon(self.settings, self._log, self._codec, self._day.owners)
        records, types = self._counts.records, self._counts.event_types
        seconds = self._settled_s
        return {
            "orders": self._day.orders,
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
                "parents": verdict.counts["parents"],
                "children": verdict.counts["children"],
                "anomalies": records["orders.anomalies"],
                "alerts": types["RAISED"],
                "open_alerts": types["RAISED"] - types["CLEARED"],
                "dead_letters": records[DEAD_LETTER_TOPIC],
                "duplicate_inputs": verdict.counts["duplicate_inputs"],
            },
            "verdict": verdict.as_json(),
            "latency_ms": {
                **self._latencies["order_status"].as_json(),
                "flows": {name: latency.as_json() for name, latency in self._latencies.items()},
            },
            "throughput_per_s": {
                "orders": round(self._day.orders / seconds, 1),
                "records": round(sum(records[topic] for topic in COUNTED_TOPICS) / seconds, 1),
            },
            "restarts": sum(self._pipeline.restarts.values()),
            "duration_s": round(seconds, 3),
        }

    def example_parent(self) -> str | None:
        """The key of an order of the day that is worked through children, if there is one."""
        return next((intent["key"] for intent in intents(self._day) if is_parent(intent)), None)

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

    def _publish_reference(self) -> None:
        opens, client_id = opening_micros(self._day.date), self._client_id("reference")
        reference.publish(self._log, self._codec, occurred_at=opens, client_id=client_id)
        owners = self._day.owners
        accounts = [
            AccountReference(
                event_type=ACCOUNT_EVENT, occurred_at=opens, key=account, sequence=number, source=reference.SOURCE,
                owner=owners[account],
            )
            for number, account in enumerate(owners, start=1)
        ]  # fmt: skip
        reference.send(self._log, self._codec, {reference.ACCOUNTS_TOPIC: accounts}, client_id=client_id)

    def _flow_processes(self) -> list[FlowProcess]:
        topologies = {flow: flow for flow in EVERY_FLOW}
        for flow in _PATIENCE:
            file = self._options.folder / f"{flow}.yaml"
            file.write_text(patient_topology(flow))
            topologies[flow] = str(file)
        return plan_flows(self.settings, topologies, workers=self._options.workers)

    def _simulate_arguments(self) -> list[str]:
        options = self._options
        arguments = ["--orders", str(options.orders), "--seed", str(options.seed), "--nights", "--until-done"]
        return arguments if options.rate_per_s is None else [*arguments, "--rate", str(options.rate_per_s)]

    def _advance(self) -> None:
        if self._phase == "running" and self._pipeline.clusters["simulation"].exit_code == 0:
            self._phase = "settling"
        groups = [self._groups[flow] for flow in _SETTLING]
        if self._phase == "settling" and all(
            self._progress.has_caught_up(group, self._topics[group]) for group in groups
        ):
            self._phase = "settled"
            self._settled_s = time.monotonic() - self._started_at_s

    def _client_id(self, role: str) -> str:
        return self.settings.application.client_id_of("demo", role)


def patient_topology(flow: str) -> str:
    """The topology of a flow with the demo's options, as YAML."""
    document = yaml.safe_load((Path(config.__file__).parent / "topologies" / f"{flow}.yaml").read_text())
    for step in document["steps"]:
        step.setdefault("options", {}).update(_PATIENCE[flow].get(step["id"], {}))
    text: str = yaml.safe_dump(document, sort_keys=False)
    return text
