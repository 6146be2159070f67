"""How far in the log's time the lanes of a flow may read: what they agree on from epoch to epoch.

Epochs are barriers: no lane begins one before the one before is done everywhere. So what every lane has told within an
epoch every process knows when the next one begins, and all come to the same terms:

    PAUSE  some lane has a backlog, and not all are attentive yet, or have been heard of: nobody reads
    whole  some lane has a backlog: each gives once, what got into the log up to the nearest horizon of all, and steps
           behind an exchange take the rows of all lanes in one go
    LIVE   no lane has a backlog: each reads what there is, when it likes, and nobody has anything to tell

A lane is attentive while a backlog is known of: it is called in every epoch, so that nobody waits for its rows in vain.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from config.errors import BrokenWorldError


class Told(NamedTuple):
    """What a lane tells the others in an epoch; it holds until the lane tells something else."""

    lane: int
    epoch: int
    address: str | None
    """The key under which exchanges reach its process; None until that is known."""
    until_ms: float
    """Up to this time in the log it could give everything in its next read."""
    behind: bool
    """Whether it has a backlog, as far as it knows."""
    attentive: bool
    ended: bool
    """Whether it emits no more. Its process goes on with what others send."""


class Terms(NamedTuple):
    """What holds for all lanes in one epoch."""

    until_ms: float
    """Nobody reads what got into the log later than this."""
    live: bool = False
    lanes: int = 0
    """In a whole epoch the number of lanes, each of which emits once; otherwise 0."""


LIVE: Final = Terms(math.inf, live=True)
PAUSE: Final = Terms(-math.inf)


class Agreement:
    """What process `index` of `count` has told and heard, and the terms that follow. Belongs to the worker's thread."""

    def __init__(self, index: int, count: int) -> None:
        self.index, self.count = index, count
        self._heard: list[Told] = []
        self._told: dict[int, Told] = {}
        self._last: Told | None = None
        self._address: str | None = None
        self._addresses: dict[int, str] = {}
        self._epoch, self._terms = 0, PAUSE

    def lives_at(self, address: str) -> None:
        """Notes a key under which values reach this process; the first one becomes its address."""
        self._address = self._address or address

    def address_of(self, process: int) -> str | None:
        """The key under which exchanges reach a process, once its lane has told it."""
        return self._addresses.get(process)

    @property
    def settled(self) -> bool:
        """Whether at the beginning of the epoch every process could be reached."""
        return len(self._told) == self.count and all(told.address is not None for told in self._told.values())

    @property
    def attentive(self) -> bool:
        """Whether this lane has told that it is called in every epoch."""
        return self._last is None or self._last.attentive

    @property
    def ended(self) -> bool:
        """Whether this lane has told that it emits no more."""
        return self._last is not None and self._last.ended

    def terms(self, epoch: int) -> Terms:
        """The terms of an epoch, from what was told before it; to be asked in order, when the epoch has begun."""
        if epoch > self._epoch:
            self._epoch = epoch
            for told in [told for told in self._heard if told.epoch < epoch]:
                self._told[told.lane] = told
            self._heard = [told for told in self._heard if told.epoch >= epoch]
            self._terms = self._agreed()
            if self._address is None:
                raise BrokenWorldError(f"process {self.index} of {self.count} is reached under none of the keys tried")
        return self._terms

    def _agreed(self) -> Terms:
        if not self.settled:
            return PAUSE
        lanes = [told for told in self._told.values() if not told.ended]
        if not any(told.behind for told in lanes):
            return LIVE
        if not all(told.attentive for told in lanes):
            return PAUSE
        return Terms(min(told.until_ms for told in lanes), lanes=len(lanes))

    def tell(self, until_ms: float, *, behind: bool, ended: bool) -> Told | None:
        """What this lane has to tell after a read in the epoch at hand; None if nothing has changed."""
        ended = ended and self._address is not None
        attentive = behind or not self._terms.live
        told = Told(self.index, self._epoch, self._address, until_ms, behind, attentive, ended)
        if self._last is not None and told._replace(epoch=self._last.epoch) == self._last:
            return None
        self._last = told
        return told

    def hear(self, told: Told) -> None:
        """Takes in what a lane has told; it counts from the next epoch on."""
        if not self.ended:  # its lane comes to no more terms
            self._heard.append(told)
        if told.address is not None:
            self._addresses[told.lane] = told.address
