"""Admission of predictions to one model: bounded slots, and what slow uploads hold meanwhile.

A slot is acquired before the body is read, so that under overload no body is read in vain. A slow
upload must not keep other requests out: after a second it releases its slot, and needs another
one when its body is complete.
"""

import asyncio
from collections.abc import Callable

BRIEF_SECONDS = 0.05  # an upload this young counts as waiting: its body is expected at once
UPLOAD_SECONDS = 1.0  # an upload holds its slot for this long
UPLOADS_PER_SLOT = 4  # slow uploads, without a slot, for each slot
MAX_SLOW_UPLOADS = 128  # whatever the limit is: each may hold a body's worth of memory


class Admission:
    """Counts the slots of one model; all of it runs on the event loop.

    limit: number of slots. on_change: called with the number of slots held when that changes.
    brief_seconds: an upload counts as waiting for this long. upload_seconds: it holds its slot for
    this long.
    """

    def __init__(
        self,
        limit: int,
        on_change: Callable[[int], None],
        *,
        brief_seconds: float = BRIEF_SECONDS,
        upload_seconds: float = UPLOAD_SECONDS,
    ) -> None:
        self.limit = limit
        self.admitted = 0  # slots held
        self.brief_seconds = brief_seconds
        self.upload_seconds = upload_seconds
        self._on_change = on_change
        self._expected = 0  # requests that acquire a slot in the next iteration of the event loop
        self._brief_uploads = 0
        self._slow_uploads = 0  # they released their slots
        self._received = 0  # requests whose body is complete
        self.frames = 0  # of streams, waiting or running; they need no slot

    @property
    def waiting(self) -> int:
        """Requests whose body is complete, or will be at once as far as is known."""
        return self._received + self._brief_uploads + self._expected

    @property
    def ahead(self) -> int:
        """What is answered before the next request: those that wait, and frames in between."""
        return self.waiting + min(self.waiting, self.frames)

    @property
    def full(self) -> bool:
        """Whether no slot is free, or none will be in the next iteration of the event loop."""
        return self.admitted + self._expected >= self.limit

    @property
    def half_full(self) -> bool:
        """Whether more than half of the slots are taken."""
        return 2 * self.admitted > self.limit

    @property
    def too_many_uploads(self) -> bool:
        """Whether slow uploads hold all the memory that is meant for them."""
        return self._slow_uploads >= min(UPLOADS_PER_SLOT * self.limit, MAX_SLOW_UPLOADS)

    def expect(self) -> None:
        """Reserve a slot for a request that acquires one in the event loop's next iteration.

        One read of the sockets may deliver many requests before any of them has run.
        """
        self._expected += 1
        asyncio.get_running_loop().call_soon(self._forget_expected)

    def _forget_expected(self) -> None:
        self._expected -= 1

    def acquire(self) -> "Slot":
        """A slot, to be released by its holder. It does not check `full`: its caller decides."""
        return Slot(self)

    def update(
        self, *, admitted: int = 0, brief_uploads: int = 0, slow_uploads: int = 0, received: int = 0
    ) -> None:
        """Add to the counts; for slots alone."""
        self.admitted += admitted
        self._brief_uploads += brief_uploads
        self._slow_uploads += slow_uploads
        self._received += received
        if admitted:
            self._on_change(self.admitted)


class Slot:
    """One admitted request: its body is uploaded, then received; in the end it is released."""

    __slots__ = ("_admission", "_brief", "_received", "_timer", "held")

    def __init__(self, admission: Admission) -> None:
        self.held = True  # False: a slow upload, which released the slot
        self._admission = admission
        self._brief = True
        self._received = False
        admission.update(admitted=1, brief_uploads=1)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(admission.brief_seconds, self._end_brief_upload)

    def confirm(self) -> None:
        """Hold the slot until it is released, now that the body is complete.

        A slot that was released early is acquired again.
        """
        self._timer.cancel()
        self._admission.update(
            admitted=not self.held,
            brief_uploads=-self._brief,
            slow_uploads=-(not self.held),
            received=not self._received,
        )
        self.held = self._received = True
        self._brief = False

    def release(self) -> None:
        """Free the slot; call it once."""
        self._timer.cancel()
        self._admission.update(
            admitted=-self.held,
            brief_uploads=-self._brief,
            slow_uploads=-(not self.held),
            received=-self._received,
        )

    def _end_brief_upload(self) -> None:
        self._brief = False
        self._admission.update(brief_uploads=-1)
        remaining = self._admission.upload_seconds - self._admission.brief_seconds
        self._timer = asyncio.get_running_loop().call_later(remaining, self._release_early)

    def _release_early(self) -> None:
        self.held = False
        self._admission.update(admitted=-1, slow_uploads=1)
