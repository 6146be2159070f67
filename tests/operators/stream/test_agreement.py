"""Lanes of several processes stay together in time, nobody waits for good, and every record is given."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from fake_readers import At, FakeReader, Times
from hypothesis import example, given, settings
from hypothesis import strategies as st

from broker.contract import TopicPartition
from config.errors import BrokenWorldError
from operators.stream import lane as lane_module
from operators.stream.agreement import LIVE, PAUSE, Agreement, Terms, Told
from operators.stream.lane import Lane, LaneOptions, LaneState
from operators.stream.records import Item
from operators.stream.together import AHEAD_MS, PATIENCE_S, TOGETHER_MS, TogetherReader

TOPIC = "topic"
EPOCH_S = 0.01


class Site:
    """One process: its lane over a reader of its partitions."""

    def __init__(self, cluster: Cluster, index: int, times: Times) -> None:
        self.reader = FakeReader(TOPIC, times)
        self.agreement = Agreement(index, cluster.count)
        self.state = LaneState()
        cut = {TopicPartition(TOPIC, number): 0 for number in range(len(times))}
        self.lane = Lane(
            TogetherReader(lambda _: self.reader, lambda: cluster.now_s),
            {TOPIC: ["source"]},
            LaneOptions(cluster.poll_records, 0, 250),
            self.state,
            cut=cut,
            ends={tp: len(times[tp.partition]) for tp in cut} if cluster.until_end else None,
            before_read=lambda: False,
            clock=lambda: cluster.now_s,
            agreement=self.agreement,
        )
        self.given: list[tuple[int, Terms, list[At]]] = []
        """What was given in which epoch, under which terms."""

    def call(self, epoch: int) -> list[Item]:
        try:
            items = self.lane.next_batch()
        except StopIteration:
            return []
        for item in items:
            found: list[Any] = [record for read in item.reads for record in read.records]
            if found:
                self.given.append((epoch, self.agreement.terms(epoch), found))
        return items


class Cluster:
    """Processes and their epochs, as Bytewax runs them: in any order, but none begins one before all have ended it."""

    def __init__(
        self, lanes: Sequence[Times], *, seed: int = 0, poll_records: int = 10, until_end: bool = False
    ) -> None:
        self.count, self.poll_records, self.until_end = len(lanes), poll_records, until_end
        self.now_s, self.epoch = 100.0, 0
        self.random = Random(seed)
        self.sites = [Site(self, index, times) for index, times in enumerate(lanes)]

    def run_epoch(self) -> list[int]:
        """How often each lane that goes on has emitted."""
        going = [site for site in self.sites if not site.state.ended]
        calls = [site for site in going for _ in range(self.random.randint(1, 3))]
        self.random.shuffle(calls)
        emitted = {id(site): 0 for site in going}
        for site in calls:
            if site.state.ended:
                continue
            items = site.call(self.epoch)
            emitted[id(site)] += len(items)
            for item in items:
                if item.told is not None:
                    for other in self.sites:
                        other.agreement.hear(item.told)
        self.end_epoch()
        return [emitted[id(site)] for site in going]

    def end_epoch(self) -> None:
        for site in self.sites:
            site.agreement.lives_at(f"home-{site.agreement.index}")
            if not site.state.ended:
                site.lane.snapshot()
        self.epoch += 1
        self.now_s += EPOCH_S

    def records(self) -> int:
        return sum(site.state.records for site in self.sites)


@pytest.fixture(autouse=True)
def _no_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lanes rest in real time; here time is that of the cluster."""
    monkeypatch.setattr(lane_module, "REST_S", 0)


times = st.lists(st.integers(0, 100_000), max_size=40)


@settings(deadline=None)
@given(
    lanes=st.lists(st.lists(times, max_size=3), min_size=1, max_size=4),
    poll_records=st.integers(1, 20),
    fetch_records=st.integers(1, 20) | st.just(10**6),
    until_end=st.booleans(),
    seed=st.integers(0, 1_000),
)
@example(
    lanes=[[[10_000, *range(1_000)]], [list(range(1_000))]], poll_records=10, fetch_records=100, until_end=True, seed=1
)
def test_lanes_give_every_record_in_its_order_whatever_the_clocks_of_producers_say(
    lanes: list[Times], poll_records: int, fetch_records: int, until_end: bool, seed: int
) -> None:
    give_all(lanes, poll_records=poll_records, fetch_records=fetch_records, until_end=until_end, seed=seed)


def give_all(lanes: list[Times], *, poll_records: int, fetch_records: int, until_end: bool, seed: int) -> Cluster:
    """A cluster that has given all of it, each partition in its order."""
    cluster = Cluster(lanes, seed=seed, poll_records=poll_records, until_end=until_end)
    for site in cluster.sites:
        site.reader.fetch_records = fetch_records
    total = sum(len(times) for of in lanes for times in of)
    epochs_max = 10 + 2 * total
    while cluster.records() < total or (until_end and not all(site.state.ended for site in cluster.sites)):
        assert cluster.epoch < epochs_max, "each whole epoch gives something"
        cluster.run_epoch()
    for index, of in enumerate(lanes):
        for number, times in enumerate(of):
            found = [r.number for _, _, given in cluster.sites[index].given for r in given if r.part == number]
            assert found == list(range(len(times)))
    return cluster


@settings(deadline=None)
@given(
    lanes=st.lists(st.lists(times.map(sorted), max_size=3), min_size=1, max_size=4),
    poll_records=st.integers(1, 20),
    fetch_records=st.integers(1, 20) | st.just(10**6),
    until_end=st.booleans(),
    seed=st.integers(0, 1_000),
)
def test_lanes_give_no_record_before_what_another_has_of_earlier_times(
    lanes: list[Times], poll_records: int, fetch_records: int, until_end: bool, seed: int
) -> None:
    cluster = give_all(lanes, poll_records=poll_records, fetch_records=fetch_records, until_end=until_end, seed=seed)
    # A client that brings little at once lets others get ahead by as much as within one process.
    apart_ms = TOGETHER_MS if fetch_records == 10**6 else AHEAD_MS
    given = [(epoch, r.at_ms) for site in cluster.sites for epoch, terms, found in site.given for r in found]
    for epoch in {epoch for epoch, _ in given}:
        latest = max(at for of, at in given if of <= epoch)
        assert all(at >= latest - apart_ms for of, at in given if of > epoch)


def test_the_busiest_lane_gives_full_batches_and_the_others_what_is_of_the_same_time() -> None:
    cluster = Cluster([[list(range(1_000))], [list(range(0, 1_000, 100))], []], poll_records=50)
    while cluster.records() < 1_010:
        cluster.run_epoch()
    busy, sparse, without = cluster.sites
    assert min(len(found) for _, _, found in busy.given) >= 45
    for epoch, _, found in sparse.given:
        [beside] = [given for of, _, given in busy.given if of == epoch]
        assert beside[0].at_ms - 1 <= found[0].at_ms <= found[-1].at_ms <= beside[-1].at_ms + 1
    assert without.given == []


def test_without_a_backlog_nobody_waits_and_nobody_tells_anything() -> None:
    cluster = Cluster([[[]], [[]]], poll_records=50)
    for _ in range(4):
        cluster.run_epoch()
    for at_ms in (5, 4, 3):  # whatever the clocks of producers say
        for site in cluster.sites:
            site.reader.times = [[*site.reader.times[0], at_ms]]
            [item] = site.call(cluster.epoch)
            assert (len(item.reads), item.lanes, item.told) == (1, 0, None)
    assert {site.agreement.terms(cluster.epoch) for site in cluster.sites} == {LIVE}


def test_what_has_come_during_a_pause_is_given_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster([[[]], [[]]], poll_records=10)
    for _ in range(4):
        cluster.run_epoch()
    clock = SimpleNamespace(monotonic=lambda: 1e9, sleep=lambda _: None)
    monkeypatch.setattr(lane_module, "time", clock)
    for site, times in zip(cluster.sites, (range(100), range(0, 1_000, 100)), strict=True):
        site.reader.times = [list(times)]
    while cluster.records() < 110:
        cluster.run_epoch()
    assert all(terms.lanes == 2 for site in cluster.sites for _, terms, _ in site.given)


def test_one_that_gives_nothing_though_it_ought_to_holds_the_others_up_for_a_while_only() -> None:
    cluster = Cluster([[[0, 50_000]], [[10, 60_000]]])
    stuck, other = cluster.sites
    stuck.reader.fetched_until = 1
    for _ in range(int(PATIENCE_S / EPOCH_S) - 5):
        cluster.run_epoch()
    assert [r.at_ms for _, _, found in other.given for r in found] == [10]
    for _ in range(20):
        cluster.run_epoch()
    assert [r.at_ms for _, _, found in other.given for r in found] == [10, 60_000]
    stuck.reader.fetched_until = 2
    while cluster.records() < 4:
        cluster.run_epoch()


def test_lanes_are_ahead_of_one_that_is_fetching_by_no_more_than_within_a_process() -> None:
    cluster = Cluster([[[0, 5_000]], [list(range(0, 5_000, 100))]], poll_records=100)
    cluster.sites[0].reader.fetched_until = 1
    for _ in range(10):
        cluster.run_epoch()
    assert max(r.at_ms for _, _, found in cluster.sites[1].given for r in found) == AHEAD_MS


def test_a_lane_that_is_told_to_stop_holds_nobody_up() -> None:
    cluster = Cluster([[list(range(100))], [list(range(100))]])
    for _ in range(4):
        cluster.run_epoch()
    cluster.sites[0].state.stopping = True
    while cluster.sites[1].state.records < 100:
        cluster.run_epoch()
    assert cluster.sites[0].state.ended
    assert cluster.sites[0].state.records < 100


def test_no_step_runs_before_everybody_can_be_reached_and_none_ends_before_its_steps_ran() -> None:
    cluster = Cluster([[[]], [[]], []], until_end=True)
    seen: dict[int, list[bool]] = {0: [], 1: [], 2: []}
    while not all(site.state.ended for site in cluster.sites):
        for site in cluster.sites:
            for item in site.call(cluster.epoch):
                seen[site.agreement.index].append(item.tells_only)
                assert item.tells_only == (not site.agreement.settled)
                for other in cluster.sites:
                    if item.told is not None:
                        other.agreement.hear(item.told)
        cluster.end_epoch()
    for told_only in seen.values():
        assert told_only == sorted(told_only, reverse=True)
        assert set(told_only) == {True, False}, "timers that were due before the start are run"


def test_in_whole_epochs_each_lane_emits_once() -> None:
    cluster = Cluster([[list(range(100))], [list(range(50, 60))], []])
    whole = 0
    while cluster.records() < 110:
        terms = cluster.sites[0].agreement.terms(cluster.epoch)
        emitted = cluster.run_epoch()
        if terms.lanes:
            whole += 1
            assert emitted == [1, 1, 1]
    assert whole >= 10


def test_a_lane_that_was_not_asked_for_its_part_of_a_whole_epoch_stops_the_flow() -> None:
    cluster = Cluster([[list(range(100))], [list(range(100))]])
    while not cluster.sites[0].agreement.terms(cluster.epoch).lanes:
        cluster.run_epoch()
    with pytest.raises(BrokenWorldError, match="ended before the lane was asked"):
        cluster.sites[0].lane.snapshot()


def told(lane: int, epoch: int, until_ms: float = math.inf, **given: Any) -> Told:
    facts = {"address": f"home-{lane}", "behind": False, "attentive": True, "ended": False} | given
    return Told(lane=lane, epoch=epoch, until_ms=until_ms, **facts)


def agreement() -> Agreement:
    first = Agreement(0, 2)
    first.lives_at("home-0")
    return first


def test_what_is_told_counts_from_the_next_epoch_on() -> None:
    first = agreement()
    first.hear(told(0, 0))
    first.hear(told(1, 0))
    assert first.terms(0) == PAUSE
    first.hear(told(1, 1, 7, behind=True))
    assert first.terms(1) == LIVE
    assert first.terms(2) == Terms(7, lanes=2)


def test_nobody_reads_before_all_were_heard_of_and_can_be_reached() -> None:
    first = agreement()
    first.hear(told(0, 0))
    assert first.terms(1) == PAUSE
    first.hear(told(1, 1, address=None))
    assert first.terms(2) == PAUSE
    first.hear(told(1, 2))
    assert first.terms(3) == LIVE


def test_nobody_reads_while_some_do_not_know_of_a_backlog() -> None:
    first = agreement()
    first.hear(told(0, 0, 7, behind=True))
    first.hear(told(1, 0, attentive=False))
    assert first.terms(1) == PAUSE
    first.hear(told(1, 1, 5))
    assert first.terms(2) == Terms(5, lanes=2)


def test_those_that_have_ended_are_counted_no_more() -> None:
    first = agreement()
    first.hear(told(0, 0, 7, behind=True))
    first.hear(told(1, 0, 5, behind=True, ended=True))
    assert first.terms(1) == Terms(7, lanes=1)


def test_only_news_is_told() -> None:
    first = agreement()
    assert first.tell(5.0, behind=True, ended=False) is not None
    assert first.tell(5.0, behind=True, ended=False) is None
    assert first.tell(6.0, behind=True, ended=False) is not None


def test_a_process_that_none_of_the_keys_reaches_stops_the_flow() -> None:
    with pytest.raises(BrokenWorldError, match="process 0 of 2 is reached under none"):
        Agreement(0, 2).terms(1)
