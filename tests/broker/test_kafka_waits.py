"""Waiting for a cluster: said soon and again, with brokers and end, and at the end with what to check."""

from __future__ import annotations

import logging
import threading
from contextlib import closing
from functools import partial

import pytest
from structlog.testing import capture_logs

from broker.kafka_waits import REPEAT_S, SILENT_S, Errand, SameAgain, Waits
from config.errors import BrokerUnavailableError, FencedError


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 50.0

    def __call__(self) -> float:
        return self.now_s


def spoken(waits: Waits) -> list[tuple[str, str, int]]:
    with capture_logs() as logs:
        waits.speak()
    return [(line["brokers"], line["meanwhile"], line["waited_s"]) for line in logs]


def test_a_call_that_takes_long_is_spoken_of_soon_and_then_once_in_a_while() -> None:
    clock = Clock()
    waits = Waits("a:1,b:2", clock)
    with waits("topics cannot be listed", 60.0):
        clock.now_s += SILENT_S / 2
        assert spoken(waits) == []
        clock.now_s += SILENT_S
        assert spoken(waits) == [("a:1,b:2", "topics cannot be listed", round(1.5 * SILENT_S))]
        clock.now_s += REPEAT_S - 1
        assert spoken(waits) == []
        clock.now_s += 1
        assert len(spoken(waits)) == 1
    clock.now_s += 2 * REPEAT_S
    assert spoken(waits) == []


def test_it_says_until_when() -> None:
    clock = Clock()
    waits = Waits("a:1", clock)
    with waits("topics cannot be listed", 60.0), capture_logs() as logs:
        clock.now_s += 60.0
        waits.speak()
    assert logs[0]["until"].endswith("+00:00")


def test_it_says_why_as_far_as_that_can_be_found_out_and_so_does_the_error() -> None:
    clock = Clock()
    waits = Waits("a:1", clock, lambda: "a:1: Connection refused")

    def ask() -> None:
        with waits("topics cannot be listed", 60.0):
            clock.now_s += 60.0
            waits.speak()
            raise BrokerUnavailableError("no answer")

    with (
        capture_logs() as logs,
        pytest.raises(BrokerUnavailableError, match=r"Waited 60 s for a:1 \(a:1: Connection refused\): check"),
    ):
        ask()
    assert logs[0]["reason"] == "a:1: Connection refused"


def wait_in_vain(clock: Clock, seconds: float, error: Exception) -> None:
    with Waits("a:1", clock)("topics cannot be listed", 60.0):
        clock.now_s += seconds
        raise error


def test_an_error_after_a_long_wait_says_what_to_check() -> None:
    with pytest.raises(BrokerUnavailableError, match=r"^no answer\. Waited 60 s for a:1: check .*bootstrap_servers"):
        wait_in_vain(Clock(), 60.0, BrokerUnavailableError("no answer"))


@pytest.mark.parametrize(
    ("seconds", "error"), [(0.1, BrokerUnavailableError("refused")), (60.0, FencedError("a successor took over"))]
)
def test_an_error_that_no_waiting_led_to_stays_as_it_is(seconds: float, error: Exception) -> None:
    with pytest.raises(type(error)) as raised:
        wait_in_vain(Clock(), seconds, error)
    assert raised.value is error


def test_a_message_of_the_client_passes_once_in_a_while() -> None:
    clock = Clock()
    same_again = SameAgain(clock)

    def passes(message: str) -> bool:
        return same_again.filter(logging.LogRecord("broker.kafka", logging.ERROR, "", 0, message, (), None))

    assert passes("FAIL a:1 refused (after 0ms in state CONNECT)")
    assert not passes("FAIL a:1 refused (after 7ms in state CONNECT)")
    assert passes("FAIL b:2 refused (after 0ms in state CONNECT)")
    clock.now_s += 31.0
    assert passes("FAIL a:1 refused (after 0ms in state CONNECT)")


def test_an_errand_raises_what_its_call_raises_and_goes_on() -> None:
    made: list[int] = []
    with closing(Errand()) as errand:
        with pytest.raises(FencedError, match="taken over"):
            errand.run(partial(wait_in_vain, Clock(), 0.0, FencedError("taken over")), 30.0)
        errand.run(lambda: made.append(threading.get_ident()), 30.0)
    assert made != [threading.get_ident()]
    assert len(made) == 1


def test_a_call_that_does_not_return_is_given_up() -> None:
    never = threading.Event()
    with closing(Errand()) as errand, pytest.raises(TimeoutError, match="not returned"):
        errand.run(never.wait, 0.05)
    never.set()
