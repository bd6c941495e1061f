"""What the server asks of the application that it serves; `State` holds it, server/ calls it.

A module of its own, so that the server needs no model and no torch to know it.
"""

from collections.abc import Sequence
from typing import Protocol, TypeAlias

from project.errors import Overloaded
from project.inference.concurrency import StepCounts

Headers: TypeAlias = Sequence[tuple[bytes, bytes]]


class ServedApplication(Protocol):
    """The application, as a worker of the server sees it from startup to shutdown."""

    def overload(
        self, method: bytes, target: bytes, headers: Headers, port: int | None
    ) -> Overloaded | None:
        """Return why the request of this head is rejected; None: the application handles it.

        target: as in the request line. headers: their names in lower case. port: the local port of
        the connection.
        """

    def share_step_counts(self, counts: StepCounts) -> None:
        """Limit the steps of this worker by those of its siblings, from now on."""

    def begin_shutdown(self) -> None:
        """Fail the readiness checks: the whole server is about to stop."""

    def stopped_listening(self) -> None:
        """End the responses that never end by themselves."""

    def stuck_models(self) -> list[str]:
        """Return the names of the models that hang, which only a new process cures."""
