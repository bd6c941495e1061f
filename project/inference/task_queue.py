"""The tasks of a model that no thread has taken up: requests and frames of streams, in turn.

Each kind is served in the order of its arrival. While both wait, they alternate, so that neither a
crowd of cameras delays requests nor a flood of requests stops a stream.
"""

from collections import deque
from typing import Generic, Protocol, TypeVar


class Queued(Protocol):
    """What waits. is_frame: whether it is a frame of a stream."""

    @property
    def is_frame(self) -> bool:
        """Which of the two queues it belongs to."""


T = TypeVar("T", bound=Queued)


class TaskQueue(Generic[T]):
    """Two queues that alternate; as a deque, safe in many threads."""

    def __init__(self) -> None:
        self._requests: deque[T] = deque()
        self._frames: deque[T] = deque()
        self._frame_is_due = False

    def __len__(self) -> int:
        return len(self._requests) + len(self._frames)

    def append(self, task: T) -> None:
        """Have a task wait behind those of its kind."""
        (self._frames if task.is_frame else self._requests).append(task)

    def popleft(self) -> T:
        """Take the task that is due. Raises IndexError where none waits."""
        first, second = self._requests, self._frames
        if self._frame_is_due:
            first, second = second, first
        try:
            task = first.popleft()
        except IndexError:
            task = second.popleft()
        self._frame_is_due = not task.is_frame
        return task

    def clear(self) -> None:
        """Drop all."""
        self._requests.clear()
        self._frames.clear()
