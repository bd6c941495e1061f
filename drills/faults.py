"""The faults: each is put into a running stack from outside, and taken out again at its end."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field

import psutil

from drills.stack import Stack

SHARE = 0.3


@dataclass(frozen=True)
class Fault:
    """What an alert is proved with. labels: of the rule that is meant, where several have a name.

    inject: a context in which the stack has the fault.
    """

    alert: str
    text: str
    inject: Callable[[Stack], AbstractContextManager[None]]
    labels: dict[str, str] = field(default_factory=dict)


@contextmanager
def model_raises(stack: Stack) -> Iterator[None]:
    """A model that raises for a share of its predictions."""
    file = stack.tree / "raises"
    file.write_text(str(SHARE))
    try:
        yield
    finally:
        file.unlink()


@contextmanager
def api_killed(stack: Stack) -> Iterator[None]:
    """Every process of the API killed; afterwards it is started again."""
    stack.api.kill()
    yield
    stack.api.start()


@contextmanager
def workers_stopped(stack: Stack) -> Iterator[None]:
    """Job workers that stand still; what tells of them goes on."""
    stopped = [*stack.crew.leaders(), *stack.crew.workers()]
    for process in stopped:
        process.suspend()
    try:
        yield
    finally:
        for process in stopped:
            with suppress(psutil.NoSuchProcess):
                process.resume()


FAULTS = {
    fault.alert: fault
    for fault in (
        Fault(
            "ApiErrorBudgetBurn",
            f"a model that raises for {SHARE:.0%} of its predictions",
            model_raises,
            {"burn": "fast"},
        ),
        Fault("JobsNotProcessing", "SIGSTOP of the job workers", workers_stopped),
        Fault("ApiDown", "SIGKILL of the whole API", api_killed),
    )
}
