"""The places of a lane: how many predictions may wait, and what slow uploads hold meanwhile.

A place is taken before the body is read, so that under overload nothing is read in vain. But who
uploads slowly must not keep others out: after a second he gives his place back, and needs another
once his picture is there.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

UPLOAD_SECONDS = 1.0  # for which an upload holds a place
UPLOADS_A_PLACE = 4  # that have given their place back
MOST_UPLOADS = 128  # of them, whatever the limit is; each may hold a body's worth of memory


class Places:
    """limit: places. tell: called with how many are taken, whenever that changes."""

    def __init__(self, limit: int, tell: Callable[[int], None]) -> None:
        self._limit = limit
        self._tell = tell
        self._uploads = 0  # those that gave their places back
        self._expected = 0  # those that will take one at the loop's next turn
        self._kept = 0  # whose picture is there
        self.taken = 0

    @property
    def waiting(self) -> int:
        """Those whose picture is there, or will be at once for all that is known."""
        return self._kept + self._expected

    @property
    def full(self) -> bool:
        """Whether none is left, or will be at once."""
        return self.taken + self._expected >= self._limit

    @property
    def crowded(self) -> bool:
        """Whether there are as many uploads without a place as memory is meant for."""
        return self._uploads >= min(UPLOADS_A_PLACE * self._limit, MOST_UPLOADS)

    def expect(self) -> None:
        """Count on one to be taken when the event loop next runs what is ready.

        One look at the network may bring many requests before any of them has run.
        """
        self._expected += 1
        asyncio.get_running_loop().call_soon(self._came)

    def _came(self) -> None:
        self._expected -= 1

    @contextmanager
    def take(self) -> Iterator["Place"]:
        """Hold a place for the length of the body; ask first whether all are taken."""
        place = Place(self)
        try:
            yield place
        finally:
            place.leave()

    def count(self, *, taken: int = 0, uploads: int = 0, kept: int = 0) -> None:
        """Count who comes and goes."""
        self.taken += taken
        self._uploads += uploads
        self._kept += kept
        self._tell(self.taken)


class Place:
    """One of the places; `keep` it once all that is needed is there."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._held = True
        self._kept = False
        places.count(taken=1)
        self._timer = asyncio.get_running_loop().call_later(UPLOAD_SECONDS, self._lend)

    @property
    def held(self) -> bool:
        """Whether it was not given back."""
        return self._held

    def keep(self) -> None:
        """Hold it to the end; where it was given back, take another."""
        self._timer.cancel()
        self._places.count(taken=not self._held, uploads=-(not self._held), kept=not self._kept)
        self._held = self._kept = True

    def leave(self) -> None:
        """Make room for the next one."""
        self._timer.cancel()
        self._places.count(taken=-self._held, uploads=-(not self._held), kept=-self._kept)

    def _lend(self) -> None:
        self._held = False
        self._places.count(taken=-1, uploads=1)
