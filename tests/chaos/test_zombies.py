"""A process that wakes after its successor started fails and changes nothing; of two that start at once one stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from signal import SIGCONT

import pytest
from chaos_jobs import ChainJob
from chaos_log import Place, general_problems, keep_history, stores_ahead
from chaos_processes import ForkServer
from chaos_world import Cluster, Feeder, World, progress, wait_until

from config.crash_points import CrashPoint
from flows.chaos import CRASH_VARIABLE, LOG_VARIABLE, MAX_VARIABLE

pytestmark = [pytest.mark.kills, pytest.mark.timeout(400)]

PATIENCE_S = 60.0
FENCED = ("was taken over", "a successor took over")
PEER_GONE = "another process of the flow is gone"
"""All that is told where Bytewax tears down a cluster of several processes before the cause is."""
STORE_FENCED = "another process owns this store now"
STORE_REFUSED = "a process that started after this one has opened this store"


class Scene:
    """A log, a flow and its input; starts clusters and ends them."""

    def __init__(self, server: ForkServer, place: World, folder: Path) -> None:
        self.place, self.job = place, ChainJob(2_000, 9, folder)
        keep_history(self.job, place.log)
        self._server = server
        self._stack = ExitStack()
        self._feeder = Feeder(place.log, self.job)
        self._stack.callback(self._feeder.close)
        self._starts = 0

    def __enter__(self) -> Scene:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start(
        self, environment: Mapping[str, str] | None = None, *, workers: int = 1, until_end: bool = False
    ) -> Cluster:
        self._starts += 1
        cluster = Cluster(
            self._server, self.job, self.place, workers=workers, environment=environment or {}, until_end=until_end,
            name=f"errors-{self._starts}",
        )  # fmt: skip
        self._stack.callback(cluster.kill)
        return cluster

    def feed_until(self, holds: Callable[[], bool], what: str, *clusters: Cluster) -> None:
        """Keeps input coming until something has come about."""

        def fed() -> bool:
            if not self._feeder.left:
                self._feeder.rewind()
            self._feeder.feed(5)
            return holds()

        wait_until(fed, PATIENCE_S, what, lambda: "\n".join(cluster.errors() for cluster in clusters))

    def feed_until_commit(self, *clusters: Cluster) -> None:
        before = progress(self.place, self.job)
        self.feed_until(lambda: progress(self.place, self.job) != before, "the flow commits", *clusters)

    def feed_until_one_fails(self, *clusters: Cluster) -> None:
        self.feed_until(lambda: any(c.has_failed() for c in clusters), "one of them fails", *clusters)

    def feed_until_commit_or_failure(self, cluster: Cluster) -> None:
        before = progress(self.place, self.job)
        self.feed_until(
            lambda: cluster.has_failed() or progress(self.place, self.job) != before, "it commits or fails", cluster
        )

    def problems(self) -> list[str]:
        """Lets one process do the rest, and then judges."""
        last = self.start(until_end=True)
        assert last.wait(PATIENCE_S) == [0], last.errors()
        self.place.log.transaction(self.job.flow, self.job.flow).close()  # waits until all that was committed shows
        return [*self.job.problems(self.place.place), *general_problems(self.job, self.place.place)]


def pause_one(scene: Scene, point: CrashPoint, environment: Mapping[str, str], *, workers: int) -> Cluster:
    """Starts a cluster; it is returned when its first process has paused at the point, once."""
    log = scene.place.folder / f"paused-at-{point}-{len(list(scene.place.folder.iterdir()))}"
    pause = {CRASH_VARIABLE: f"{point}:0.1:stop", MAX_VARIABLE: "1", LOG_VARIABLE: str(log)}
    cluster = scene.start({**pause, **environment}, workers=workers)
    scene.feed_until(lambda: any(worker.is_stopped() for worker in cluster.workers), f"it pauses at {point}", cluster)
    return cluster


@contextmanager
def paused(scene: Scene, point: CrashPoint, environment: Mapping[str, str], *, workers: int) -> Iterator[Cluster]:
    """A cluster whose first process has paused at the point, once, with an epoch under way.

    One that paused before its first commit is begun anew: it may still have been opening its stores, which is the
    matter of another test.
    """
    before = progress(scene.place, scene.job)
    cluster = pause_one(scene, point, environment, workers=workers)
    while progress(scene.place, scene.job) == before:
        cluster.kill()
        cluster = pause_one(scene, point, environment, workers=workers)
    yield cluster
    cluster.kill()


def wake(scene: Scene, zombie: Cluster, successor: Cluster) -> str:
    """Lets the zombie go on while its successor works; what it said when it ended."""
    for worker in zombie.workers:
        worker.send(SIGCONT)
    scene.feed_until(zombie.has_failed, "the zombie fails", zombie, successor)
    scene.feed_until(lambda: not zombie.alive(), "its whole cluster ends", zombie)
    assert 0 not in zombie.codes()
    scene.feed_until_commit(successor)
    assert not successor.has_failed(), successor.errors()
    return "".join(worker.said() for worker in zombie.workers)


@pytest.mark.parametrize(
    ("workers", "points"),
    [
        (1, (CrashPoint.COMMIT_BEFORE, CrashPoint.COMMIT_AFTER, CrashPoint.COMMIT_SENDING)),
        (2, (CrashPoint.COMMIT_BEFORE,)),
    ],
    ids=["alone", "of-two"],
)
def test_a_zombie_with_stores_of_its_own_is_fenced_by_the_log_and_changes_nothing(
    place: World, fork_server: ForkServer, tmp_path: Path, workers: int, points: Sequence[CrashPoint]
) -> None:
    other = tmp_path / "other"
    elsewhere = {"ORDERFLOW__STATE__DIR": str(other)}
    with Scene(fork_server, place, tmp_path) as scene:
        for point in points:
            with paused(scene, point, elsewhere, workers=workers) as zombie:
                successor = scene.start(workers=workers)
                scene.feed_until_commit(successor)
                said = wake(scene, zombie, successor)
                expected = FENCED if workers == 1 else (*FENCED, PEER_GONE)
                assert any(text in said for text in expected), said[-3000:]
                successor.kill()
        assert scene.problems() == []
        assert stores_ahead(scene.job, Place(place.log, other)) == []


def test_a_zombie_that_shares_its_stores_cannot_write_to_them_either(
    place: World, fork_server: ForkServer, tmp_path: Path
) -> None:
    heard = set()
    with Scene(fork_server, place, tmp_path) as scene:
        for point in (
            CrashPoint.STORE_FLUSHING,
            CrashPoint.COMMIT_BEFORE,
            CrashPoint.KERNEL_PROCESSED,
            CrashPoint.STORE_FLUSHED,
        ):
            with paused(scene, point, {}, workers=1) as zombie:
                successor = scene.start()
                scene.feed_until_commit(successor)
                said = wake(scene, zombie, successor)
                heard |= {text for text in (*FENCED, STORE_FENCED) if text in said}
                assert heard, said[-3000:]
                successor.kill()
        assert scene.problems() == []
    assert STORE_FENCED in heard


@pytest.mark.parametrize("point", [CrashPoint.FENCED, CrashPoint.CATCH_UP_STARTED])
def test_a_zombie_that_was_still_opening_its_stores_takes_none_from_its_successor(
    place: World, fork_server: ForkServer, tmp_path: Path, point: CrashPoint
) -> None:
    with Scene(fork_server, place, tmp_path) as scene:
        pause = {CRASH_VARIABLE: f"{point}:1:stop", MAX_VARIABLE: "1", LOG_VARIABLE: str(tmp_path / "paused")}
        zombie = scene.start(pause)
        scene.feed_until(lambda: zombie.workers[0].is_stopped(), f"it pauses at {point}", zombie)
        successor = scene.start()
        scene.feed_until_commit(successor)
        said = wake(scene, zombie, successor)
        assert STORE_REFUSED in said, said[-3000:]
        successor.kill()
        assert scene.problems() == []


def test_of_two_clusters_that_start_at_once_at_most_one_goes_on_committing(
    place: World, fork_server: ForkServer, tmp_path: Path
) -> None:
    with Scene(fork_server, place, tmp_path) as scene:
        for _ in range(3):
            both = [scene.start(workers=2), scene.start(workers=2)]
            scene.feed_until_one_fails(*both)
            left = [cluster for cluster in both if not cluster.has_failed()]
            if left:
                # The other goes on, or was itself about to end: its stores had been opened by the one that failed.
                scene.feed_until_commit_or_failure(left[0])
            for cluster in both:
                cluster.kill()
        assert scene.problems() == []
