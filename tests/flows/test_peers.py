"""Waiting for peers: for those of this host, until they listen, and in nobody's way."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from flows.peers import PATIENCE_S, wait_until_listening


@pytest.fixture
def peer() -> Iterator[socket.socket]:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Bytewax does
        sock.bind(("127.0.0.1", 0))
        yield sock


def address_of(peer: socket.socket) -> str:
    return f"127.0.0.1:{peer.getsockname()[1]}"


def test_who_listens_is_not_waited_for_and_gets_no_connection(peer: socket.socket) -> None:
    peer.listen()
    wait_until_listening([address_of(peer)], sleep=lambda _: pytest.fail("it waits"))
    peer.settimeout(0.0)
    with pytest.raises(BlockingIOError):
        peer.accept()


def test_who_does_not_listen_yet_is_waited_for_and_can_begin_to(peer: socket.socket) -> None:
    looks = []

    def listen_at_the_third_look(_: float) -> None:
        looks.append(1)
        if len(looks) == 3:
            peer.listen()

    wait_until_listening([address_of(peer)], sleep=listen_at_the_third_look)
    assert len(looks) == 3


def test_who_never_listens_is_waited_for_so_long(peer: socket.socket) -> None:
    now_s = [0.0]

    def sleep(seconds: float) -> None:
        now_s[0] += 1.0

    wait_until_listening([address_of(peer)], clock=lambda: now_s[0], sleep=sleep)
    assert now_s[0] == PATIENCE_S


@pytest.mark.parametrize("address", ["192.0.2.1:9000", "no-such-host.invalid:9000"])
def test_who_is_elsewhere_is_not_waited_for(address: str) -> None:
    wait_until_listening([address], sleep=lambda _: pytest.fail("it waits"))
