"""The real stack on free loopback ports: broker, API, job workers and their monitoring."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from drills import accounts
from drills.job_workers import JobWorkers, run_job_workers
from drills.monitoring import ALERTMANAGER, PROMETHEUS, monitoring
from drills.programs import binary
from drills.prometheus import Prometheus
from drills.receiver import Receiver, receiving
from drills.server import OK, ROOT, Server, await_ready, end, free_port, launch
from drills.source_tree import copy_tree
from drills.traffic import MAX_BYTES
from drills.valkey import Valkey, serving_valkey

FACTOR = 60.0  # an hour is a minute, a scrape comes every 250 ms
MODELS = "drill,text_to_image"  # a fast one without weights, and one for jobs
WORKERS = 2
PLUGINS = Path(__file__).parent / "plugins"


class Api:
    """The API, which can be killed and restarted on the same port."""

    def __init__(self, tree: Path, variables: Mapping[str, object]) -> None:
        self._tree = tree
        self._variables = {"PORT": free_port(), **variables}
        self.server = self._launch()

    def _launch(self) -> Server:
        return launch(self._tree.parent, app=None, root=self._tree, **self._variables)

    def await_ready(self) -> None:
        """Wait until all of its workers have started."""
        await_ready(self.server, OK, WORKERS)

    def kill(self) -> None:
        """Kill all of its processes at once, as the failure of a machine does."""
        end(self.server)

    def start(self) -> None:
        """Restart it, as a service manager does."""
        self.server = self._launch()
        self.await_ready()


@dataclass(frozen=True)
class Stack:
    """The whole stack. tree: working directory; factor: by which alerting time is accelerated.

    key: API key of its clients.
    """

    tree: Path
    api: Api
    valkey: Valkey
    key: str
    job_workers: JobWorkers
    prometheus: Prometheus
    receiver: Receiver
    factor: float

    @property
    def url(self) -> str:
        """Base URL of the API, without a trailing slash."""
        return self.api.server.url


@contextmanager
def standing(folder: Path, *, factor: float = FACTOR, **settings: object) -> Iterator[Stack]:
    """The stack while the context is open.

    folder: with a short path, as the broker's socket is in it. settings: environment variables.
    Raises NotInstalled.
    """
    for names in (PROMETHEUS, ALERTMANAGER):
        binary(*names)
    tree = copy_tree(folder / "tree", [PLUGINS / "drill.py"])
    with ExitStack() as stack:
        valkey = stack.enter_context(serving_valkey(folder / "valkey"))
        variables: dict[str, object] = {
            "JOBS": "on",
            "MODELS": MODELS,
            "WEB_CONCURRENCY": WORKERS,
            "WORKER_PROCESSES": 1,
            "REDIS_URL": valkey.url,
            "DATABASE_URL": f"sqlite+aiosqlite:///{folder}/jobs.db",
            "STORAGE_URL": f"file:{folder}/storage",
            "STORAGE_SECRET": "the secret of this drill",
            "MAX_BODY_BYTES": MAX_BYTES,
            "CACHE_DIR": ROOT / "var" / "cache",  # nets are converted once, not at every drill
            **accounts.SETTINGS,
            **settings,
        }
        job_workers = stack.enter_context(
            run_job_workers(folder, root=tree, ready=False, **variables)
        )
        api = Api(tree, variables)
        stack.callback(api.kill)
        api.await_ready()
        job_workers.await_ready(1)
        key = accounts.create_key(api.server.url)
        receiver = stack.enter_context(receiving())
        watched = monitoring(folder, factor, receiver, api.server, job_workers.metrics_port, valkey)
        prometheus = stack.enter_context(watched)
        yield Stack(tree, api, valkey, key, job_workers, prometheus, receiver, factor)
