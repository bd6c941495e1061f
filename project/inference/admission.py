"""The places of a lane: how many predictions may wait, and what slow uploads hold meanwhile.

A place is taken before the body is read, so that under overload nothing is read in vain. But who
uploads slowly must not keep others out: after a second he gives his place back, and needs another
once his picture is there.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

BRIEF_SECONDS = 0.05  # for which an upload counts as one that will be there at once
UPLOAD_SECONDS = 1.0  # for which it holds a place
UPLOADS_A_PLACE = 4  # that have given their place back
MAX_UPLOADS = 128  # of them, whatever the limit is; each may hold a body's worth of memory


class Admission:
    """limit: places. tell: called with how many are taken, whenever that changes."""

    def __init__(self, limit: int, tell: Callable[[int], None]) -> None:
        self._limit = limit
        self._tell = tell
        self._uploads = 0  # those that gave their places back
        self._expected = 0  # those that will take one at the loop's next turn
        self._brief = 0  # whose picture has been coming for no time
        self._kept = 0  # whose picture is there
        self.taken = 0

    @property
    def waiting(self) -> int:
        """Those whose picture is there, or will be at once for all that is known."""
        return self._kept + self._brief + self._expected

    @property
    def full(self) -> bool:
        """Whether none is left, or will be at once."""
        return self.taken + self._expected >= self._limit

    @property
    def crowded(self) -> bool:
        """Whether there are as many uploads without a place as memory is meant for."""
        return self._uploads >= min(UPLOADS_A_PLACE * self._limit, MAX_UPLOADS)

    def expect(self) -> None:
        """Count on one to be taken when the event loop next runs what is ready.

        One look at the network may bring many requests before any of them has run.
        """
        self._expected += 1
        asyncio.get_running_loop().call_soon(self._came)

    def _came(self) -> None:
        self._expected -= 1

    @contextmanager
    def take(self) -> Iterator["Slot"]:
        """Hold a place for the length of the body; ask first whether all are taken."""
        place = Slot(self)
        try:
            yield place
        finally:
            place.leave()

    def count(self, *, taken: int = 0, brief: int = 0, uploads: int = 0, kept: int = 0) -> None:
        """Count who comes and goes."""
        self.taken += taken
        self._brief += brief
        self._uploads += uploads
        self._kept += kept
        self._tell(self.taken)


class Slot:
    """One of the places; `keep` it once all that is needed is there."""

    def __init__(self, places: Admission) -> None:
        self._places = places
        self._held = self._brief = True
        self._kept = False
        places.count(taken=1, brief=1)
        self._timer = asyncio.get_running_loop().call_later(BRIEF_SECONDS, self._be_long)

    @property
    def held(self) -> bool:
        """Whether it was not given back."""
        return self._held

    def keep(self) -> None:
        """Hold it to the end; where it was given back, take another."""
        self._timer.cancel()
        self._places.count(
            taken=not self._held, brief=-self._brief, uploads=-(not self._held), kept=not self._kept
        )
        self._held = self._kept = True
        self._brief = False

    def leave(self) -> None:
        """Make room for the next one."""
        self._timer.cancel()
        self._places.count(
            taken=-self._held, brief=-self._brief, uploads=-(not self._held), kept=-self._kept
        )

    def _be_long(self) -> None:
        self._brief = False
        self._places.count(brief=-1)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(UPLOAD_SECONDS - BRIEF_SECONDS, self._lend)

    def _lend(self) -> None:
        self._held = False
        self._places.count(taken=-1, uploads=1)
