"""The cause of a cluster's end: the first error of ours, whichever process had it and whatever the others say."""

from __future__ import annotations

import pytest

from config.errors import ConfigurationError, PeerGoneError, ReadStalledError
from flows.failure import FAILURE_VARIABLE, Failure, FailurePipe, FirstError, cause_of, root_of, tell_supervisor


def test_the_error_behind_bytewaxs_own_is_found_even_in_a_cycle_of_causes() -> None:
    ours = ConfigurationError([])
    wrapped = RuntimeError("in a step")
    wrapped.__cause__ = ours
    assert root_of(wrapped) is ours
    cycle = RuntimeError("itself")
    cycle.__cause__ = cycle
    assert root_of(cycle) is cycle


class Part:
    """Fails as it is told to."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)

    def next_batch(self, given: int) -> int:
        if self.errors:
            raise self.errors.pop(0)
        return given + 1


def test_the_first_error_is_kept_told_at_once_and_raised_as_it_was() -> None:
    told: list[BaseException] = []
    first = FirstError(told.append)
    stalled, later = ReadStalledError("stuck"), RuntimeError("torn down")
    part = first.watch(Part(stalled, later), "next_batch")
    for error in (stalled, later):
        with pytest.raises(type(error)) as raised:
            part.next_batch(1)
        assert raised.value is error
    assert (part.next_batch(1), first.error, told) == (2, stalled, [stalled])


def test_the_end_of_a_source_is_no_error() -> None:
    first = FirstError()
    with pytest.raises(StopIteration):
        first.watch(Part(StopIteration()), "next_batch").next_batch(1)
    assert first.error is None


def own(process: int, message: str, at_ns: int = 0) -> Failure:
    return Failure(process, "ReadStalledError", message, at_ns=at_ns)


def lost_peer(process: int, at_ns: int = 0) -> Failure:
    return Failure(process, "PeerGoneError", "another process is gone", is_consequence=True, at_ns=at_ns)


def test_an_error_of_its_own_goes_before_the_loss_of_a_peer_told_earlier() -> None:
    assert cause_of([lost_peer(0, 1), None, own(2, "stuck", 2)], [1, None, 1]) == own(2, "stuck", 2)


def test_of_several_errors_the_first_told_is_the_cause() -> None:
    assert cause_of([own(0, "second", 2), own(1, "first", 1)], [1, 1]) == own(1, "first", 1)


def test_a_process_that_ended_without_a_word_is_the_cause_of_what_its_peers_say() -> None:
    assert cause_of([lost_peer(0), None], [1, -9]) == Failure(1, "", "signal 9 ended it")
    assert cause_of([lost_peer(0), None], [1, 3]) == Failure(1, "", "it ended with exit code 3 and left no word")


def test_without_anything_better_the_loss_of_a_peer_is_what_is_known() -> None:
    assert cause_of([None, lost_peer(1)], [None, 1]) == lost_peer(1)


def test_where_nobody_failed_there_is_no_cause() -> None:
    assert cause_of([None, None], [0, None]) is None


def test_a_supervisor_hears_the_first_error_of_a_process_and_whether_it_is_its_own() -> None:
    pipe = FailurePipe()
    environment = {FAILURE_VARIABLE: str(pipe.writing), "JOB_COMPLETION_INDEX": "3"}
    assert tell_supervisor(PeerGoneError("\n" * 10_000), environment)
    assert tell_supervisor(OSError("while closing"), environment)
    pipe.started()
    heard = pipe.close()
    assert heard is not None
    assert (heard.process, heard.error, heard.is_consequence, heard.at_ns > 0) == (3, "PeerGoneError", True, True)


def test_from_a_process_that_is_silent_a_supervisor_hears_nothing() -> None:
    silent, gone = FailurePipe(), FailurePipe()
    gone.started()
    assert (silent.close(), gone.close()) == (None, None)
    silent.started()


def test_without_a_supervisor_nobody_is_told() -> None:
    assert not tell_supervisor(OSError(), {})
