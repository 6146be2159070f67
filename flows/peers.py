"""The other processes of a flow: waiting until those that this one connects to listen.

Each process of a Bytewax cluster connects to those of lower index, and after a refusal tries again a whole second
later. The first is refused nearly always, since process 0 opens the fence before it listens.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from typing import Final

PATIENCE_S: Final = 10.0
"""After this long Bytewax goes on trying by itself."""
LOOK_EVERY_S: Final = 0.002


def wait_until_listening(
    addresses: Sequence[str], clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], object] = time.sleep
) -> None:
    """Returns when somebody listens at each of the addresses (host:port) that are of this host, or after a while.

    Nobody is connected to, because a listening Bytewax takes each connection for that of a peer. Others cannot be asked
    like this from another host, so their addresses are not waited for.
    """
    deadline = clock() + PATIENCE_S
    for address in addresses:
        while _is_free(address) and clock() < deadline:
            sleep(LOOK_EVERY_S)


def _is_free(address: str) -> bool:
    """Whether a socket of ours could listen here: nobody else does, and the address is of this host.

    With SO_REUSEADDR, which Bytewax sets too, only a listener is in the way, and we are in nobody's.
    """
    host, _, port = address.rpartition(":")
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except OSError:
        return False
    return True
