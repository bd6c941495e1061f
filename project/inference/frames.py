"""Frames of a live stream: the newest one waits, and a thread takes it when its step begins.

A camera is often faster than a model. So a session has one frame in the model's queue, whichever
is the newest once a thread gets to it; a frame that a newer one replaces is dropped. The age of an
answer is then that of one pass through the model, however many sessions wait.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from project.errors import ClientDisconnected, ProjectError
from project.inference.pipeline import Raw
from project.models.base import Params

BURST = 3  # frames that may come at once, as a network delivers them


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One input of a stream. number: among the frames of its session, from 1.

    received_at: by time.perf_counter(). fault: why it cannot be used; it is told in its turn.
    """

    number: int
    raw: Raw
    params: Params
    received_at: float
    fault: ProjectError | None = None


class FrameSlot:
    """Holds the newest frame of one session; `put` and `wait` run on the event loop."""

    def __init__(self) -> None:
        self._frame: Frame | None = None
        self._lock = threading.Lock()
        self._filled = asyncio.Event()

    def put(self, frame: Frame) -> bool:
        """Have this frame wait; returns whether it replaced another one, which is dropped."""
        with self._lock:
            replaced = self._frame is not None
            self._frame = frame
        self._filled.set()
        return replaced

    async def wait(self) -> None:
        """Wait until a frame waits."""
        while self._frame is None:
            self._filled.clear()
            await self._filled.wait()

    def clear(self) -> int:
        """Drop the frame that waits; returns how many that were, 0 or 1."""
        with self._lock:
            dropped = int(self._frame is not None)
            self._frame = None
        return dropped

    def claim(self) -> "FrameClaim":
        """The right to take the newest frame once."""
        return FrameClaim(self)

    def take(self, claim: "FrameClaim") -> Frame:
        """Take the frame for a claim, in any thread. Raises ClientDisconnected without one."""
        with self._lock:
            if self._frame is None or claim.ended:
                raise ClientDisconnected("the session has ended")
            claim.frame, self._frame = self._frame, None
            return claim.frame

    def end(self, claim: "FrameClaim") -> Frame | None:
        """End a claim. Returns what it has taken, else the frame that waits, which goes too."""
        with self._lock:
            claim.ended = True
            if claim.frame is None:
                claim.frame, self._frame = self._frame, None
            return claim.frame


class FrameClaim:
    """One frame on its way through a model. frame: the one that was taken; None before."""

    __slots__ = ("_slot", "ended", "frame")

    def __init__(self, slot: FrameSlot) -> None:
        self._slot = slot
        self.ended = False
        self.frame: Frame | None = None

    def take(self) -> Frame:
        """Take the newest frame, in any thread. Raises its fault, or ClientDisconnected."""
        frame = self._slot.take(self)
        if frame.fault is not None:
            raise frame.fault
        return frame

    def end(self) -> Frame | None:
        """The frame that a failure concerns, and no other one is taken from now on."""
        return self._slot.end(self)


class Pace:
    """Limits how often a session's frames are taken, and lets a burst of a few pass (GCRA).

    Frames beyond the rate wait in the slot, where the newest replaces the others. clock: seconds,
    monotonic.
    """

    def __init__(
        self,
        per_second: float,
        *,
        burst: int = BURST,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._interval = 1 / per_second
        self._tolerance = self._interval * (burst - 1)
        self._clock = clock
        self._due = clock()

    def delay(self) -> float:
        """Count one frame; returns the seconds to wait before it is taken."""
        now = self._clock()
        wait = max(0.0, self._due - self._tolerance - now)
        self._due = max(now, self._due) + self._interval
        return wait
