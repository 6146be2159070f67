"""Kills a flow again and again while its input keeps arriving, lets it finish, and compares what came of it.

A round is one start of the flow as a cluster of one to three processes. It ends in one of these ways:

    point    a process dies at a named point of the commit or restore protocols
    early    a process is killed while the cluster starts, fences, or catches up
    steady   a process is killed some time after the cluster has begun to commit
    broker   the Kafka broker is killed and started again; the flow lives on or not
    pause    the Kafka broker is paused and goes on, after seconds in which it lost its own lead or did not

The other processes of the cluster live on for a moment, sometimes into the next round, and are killed then. Between
rounds stores are deleted at random, and settings that shift the moments of flushing are drawn anew.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from random import Random
from signal import SIGKILL
from typing import Any

from chaos_log import PARTITIONS, Job, general_problems, keep_history, stores_ahead
from chaos_processes import ForkServer
from chaos_world import Cluster, Feeder, World

from broker.contract import TopicPartition
from config.crash_points import CrashPoint
from config.errors import BrokenWorldError
from flows.chaos import CRASH_VARIABLE, SEED_VARIABLE

STARTING_S = 60.0
FINISHING_S = 120.0
PAUSES_S = (0.5, 3.0, 8.0)
"""A broker that was away for longer than its session, six seconds, leads no partition for a moment when it wakes."""
CRASH_POINTS = {
    CrashPoint.LANE_EMITTED: 0.05,
    CrashPoint.KERNEL_PROCESSED: 0.04,
    CrashPoint.STORE_FLUSHING: 0.05,
    CrashPoint.STORE_FLUSHED: 0.05,
    CrashPoint.CATCH_UP_STARTED: 0.4,
    CrashPoint.CATCH_UP_APPLIED: 0.2,
    CrashPoint.FENCED: 0.7,
    CrashPoint.COMMIT_SENDING: 0.08,
    CrashPoint.COMMIT_BEFORE: 0.08,
    CrashPoint.COMMIT_AFTER: 0.08,
}
"""With which probability a process dies when it reaches a point; some are reached once per start, some per epoch."""


@dataclass
class Report:
    """What was done to the flow, and what is wrong."""

    job: str
    log: str
    records: int
    rounds: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    """By crash point, or by the moment of the kill; one per cluster killed."""
    workers: Counter[int] = field(default_factory=Counter)
    stores_deleted: int = 0
    stores_examined: int = 0
    """How often the stores were searched, between rounds, for values that were never committed."""
    broker_kills: int = 0
    broker_pauses: int = 0
    surviving_peers: int = 0
    """Processes of a killed cluster that were still there when the next cluster had begun to work."""
    unexpected: list[str] = field(default_factory=list)
    """Exits that no kill explains."""
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def kills_total(self) -> int:
        """All kills of a flow."""
        return sum(self.kills.values())

    def as_json(self) -> dict[str, Any]:
        """The report for the closing line."""
        counted = {"kills": dict(self.kills.most_common()), "workers": dict(sorted(self.workers.items()))}
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {**values, **counted, "kills_total": self.kills_total, "seconds": round(self.seconds, 1)}


class Chaos:
    """The driver of one flow. `run` does it all.

    With `history` the changelogs keep every value, and the stores that a kill leaves behind are searched for values
    that were never committed; on the embedded log only, where what was committed shows at once. Without it changelogs
    are compacted, as in production.
    """

    def __init__(
        self,
        server: ForkServer,
        job: Job,
        place: World,
        *,
        seed: int,
        kills: int,
        broker_kills: int = 0,
        broker_pauses: int = 0,
        history: bool = False,
        workers: Sequence[int] = (1, 2, 3),
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._server, self._job, self._world, self._random = server, job, place, Random(seed)
        self._kills, self._workers, self._tell = kills, workers, tell
        self._report = Report(job.name, place.kind, len(job.records))
        self._disturbances = {"broker": broker_kills, "pause": broker_pauses}
        self._history = history
        if history:
            keep_history(job, place.log)
        self._survivors: list[Cluster] = []
        self._feeder = Feeder(place.log, job)
        self._admin = place.log.admin()
        self._outputs = [TopicPartition(job.progress_topic, p) for p in range(PARTITIONS)]

    def run(self) -> Report:
        """Kills so many times, lets the flow finish, verifies."""
        started = time.monotonic()
        try:
            self._feeder.feed(len(self._job.records) // 5)
            while self._report.kills_total < self._kills:
                self._round()
            self._finish()
            self._report.problems += [
                *self._job.problems(self._world.place),
                *general_problems(self._job, self._world.place),
            ]
        finally:
            for cluster in self._survivors:
                cluster.kill()
            self._admin.close()
            self._feeder.close()
        self._report.seconds = time.monotonic() - started
        return self._report

    def _round(self) -> None:
        report, random = self._report, self._random
        report.rounds += 1
        way = self._way()
        crashes = random.sample(list(CRASH_POINTS), random.choice((1, 1, 2))) if way == "point" else []
        cluster = self._start({CRASH_VARIABLE: ",".join(f"{p}:{CRASH_POINTS[p]}" for p in crashes)} if crashes else {})
        noted = len(self._crashes())
        if way == "early":
            self._tend(cluster, random.uniform(0.02, 0.8))
        else:
            before = self._end()
            self._tend(cluster, STARTING_S, until=lambda: self._end() != before)
            self._end_survivors()
            if way == "broker":
                self._kill_broker(cluster)
            elif way == "pause":
                self._pause_broker(cluster)
            self._tend(cluster, 3.0 if crashes else random.uniform(0.0, 0.6))
        self._end_of(cluster, way, self._crashes()[noted:])
        self._after_round()

    def _way(self) -> str:
        """What is done to the broker is spread over the kills."""
        done = {"broker": self._report.broker_kills, "pause": self._report.broker_pauses}
        for way, times in self._disturbances.items() if self._world.broker is not None else ():
            if done[way] < times and self._report.kills_total >= self._kills * (done[way] + 1) // (times + 1):
                return way
        return self._random.choices(("point", "early", "steady"), (60, 10, 30))[0]

    def _start(self, crashes: Mapping[str, str], *, workers: int | None = None, until_end: bool = False) -> Cluster:
        random = self._random
        count = workers or random.choice(self._workers)
        self._report.workers[count] += 1
        environment = {
            **crashes,
            SEED_VARIABLE: str(random.random()),
            "ORDERFLOW__STATE__FLUSH_INTERVAL_MS": str(random.choice((1, 50, 1000))),
            "ORDERFLOW__STATE__POSITION_INTERVAL_MS": str(random.choice((1, 20, 500))),
        }
        name = f"errors-{self._report.rounds:04d}"
        return Cluster(
            self._server, self._job, self._world, workers=count, environment=environment, until_end=until_end, name=name
        )

    def _tend(self, cluster: Cluster, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Feeds while the cluster works, until it is dead, so much time has passed, or something has come about."""
        deadline = time.monotonic() + seconds
        kills_left = max(1, self._kills - self._report.kills_total)
        portion = max(0, self._feeder.left - self._job.closing) // kills_left
        drop = max(1, portion // 50)
        while time.monotonic() < deadline and not cluster.has_failed() and not until():
            if portion > 0:
                self._feeder.feed(min(portion, drop))
                portion -= drop
            time.sleep(self._random.uniform(0.0, 0.03))

    def _kill_broker(self, cluster: Cluster) -> None:
        broker = self._world.broker
        assert broker is not None
        self._report.broker_kills += 1
        broker.kill()
        time.sleep(self._random.uniform(0.0, 1.0))
        broker.restart()
        self._await_progress(cluster)

    def _pause_broker(self, cluster: Cluster) -> None:
        broker = self._world.broker
        assert broker is not None
        self._report.broker_pauses += 1
        broker.pause()
        time.sleep(self._random.choice(PAUSES_S))
        broker.resume()
        self._await_progress(cluster)

    def _await_progress(self, cluster: Cluster) -> None:
        """Feeds until the flow commits again or has failed."""
        before = self._end()
        self._feeder.feed(20)
        self._tend(cluster, STARTING_S, until=lambda: self._end() != before)

    def _end_of(self, cluster: Cluster, way: str, crashes: Sequence[str]) -> None:
        """Kills one process if none has died, later the others, and notes how the round ended."""
        report, random = self._report, self._random
        if crashes:
            report.kills[crashes[0]] += 1
        elif cluster.has_failed():
            if way in self._disturbances:
                report.kills[way] += 1
            else:
                report.unexpected.append(cluster.errors())
        else:
            random.choice(cluster.alive()).send(SIGKILL)
            report.kills["steady" if way == "point" else way] += 1
        if random.random() < 0.3:
            self._survivors.append(cluster)
        else:
            if random.random() < 0.5:
                self._tend(cluster, 0.1)
            cluster.kill()
        self._tell(
            f"round {report.rounds}: {len(cluster.workers)} workers, {way} {', '.join(crashes)}; "
            f"{report.kills_total} kills, {self._feeder.left} records to come"
        )

    def _end_survivors(self) -> None:
        for cluster in self._survivors:
            self._report.surviving_peers += len(cluster.alive())
            cluster.kill()
        self._survivors.clear()

    def _after_round(self) -> None:
        if self._survivors:
            return
        if self._history and self._random.random() < 0.2:
            self._report.stores_examined += 1
            self._report.problems += stores_ahead(self._job, self._world.place)
        if self._random.random() < 0.3:
            for folder in self._world.folder.glob("state/*/*/*"):
                if self._random.random() < 0.5:
                    shutil.rmtree(folder)
                    self._report.stores_deleted += 1

    def _finish(self) -> None:
        """Feeds the rest and lets the flow end by itself; then once more, alone, so that all stores are opened.

        The closing records come in between: their time finds all timers of the others in the stores.
        """
        self._end_survivors()
        self._feeder.feed(self._feeder.left - self._job.closing)
        for workers in (2, 1):
            if workers == 1:
                self._feeder.feed(self._feeder.left)
            self._report.rounds += 1
            cluster = self._start({}, workers=workers, until_end=True)
            codes = cluster.wait(FINISHING_S)
            if any(codes):
                self._report.unexpected.append(cluster.errors())
            cluster.kill()
        # Opening it waits until everything that was committed under it shows.
        self._world.log.transaction(self._job.flow, self._job.flow).close()

    def _end(self) -> int:
        with suppress(BrokenWorldError):
            return sum(self._admin.ends(self._outputs).values())
        return -1

    def _crashes(self) -> list[str]:
        log = self._world.crash_log
        return [line.split()[0] for line in log.read_text().splitlines()] if log.exists() else []
