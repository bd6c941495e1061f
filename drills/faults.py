"""The faults: each is injected into a running stack from outside, and repaired at its end."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field

import psutil

from drills.stack import Stack
from drills.traffic import Traffic, guess

SHARE = 0.3
GUESSES = 20  # a second, of each of the clients


@dataclass(frozen=True)
class Fault:
    """A fault that fires an alert. labels: of the rule, where several share the name.

    inject: a context in which the stack has the fault.
    """

    alert: str
    text: str
    inject: Callable[[Stack], AbstractContextManager[None]]
    labels: dict[str, str] = field(default_factory=dict)


@contextmanager
def model_raises(stack: Stack) -> Iterator[None]:
    """A model raises for a share of its predictions."""
    file = stack.tree / "raises"
    file.write_text(str(SHARE))
    try:
        yield
    finally:
        file.unlink()


@contextmanager
def api_killed(stack: Stack) -> Iterator[None]:
    """Every process of the API is killed; afterwards it is restarted."""
    stack.api.kill()
    yield
    stack.api.start()


@contextmanager
def workers_stopped(stack: Stack) -> Iterator[None]:
    """Job workers are suspended; the process that serves their metrics is not."""
    stopped = [*stack.job_workers.leaders(), *stack.job_workers.workers()]
    if not stopped:
        raise RuntimeError("no job worker runs")
    for process in stopped:
        process.suspend()
    try:
        yield
    finally:
        for process in stopped:
            with suppress(psutil.NoSuchProcess):
                process.resume()


@contextmanager
def refresh_tokens_guessed(stack: Stack) -> Iterator[None]:
    """A client guesses refresh tokens."""
    with Traffic(stack.url, {"guess": guess}, per_second=GUESSES):
        yield


@contextmanager
def valkey_stopped(stack: Stack) -> Iterator[None]:
    """Valkey, which is broker and limit store, is stopped; afterwards it is restarted."""
    stack.valkey.stop()
    yield
    stack.valkey.start()


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
        Fault("SignInsFailing", "clients that guess refresh tokens", refresh_tokens_guessed),
        Fault("LimitStoreDown", "SIGTERM of Valkey", valkey_stopped),
    )
}
