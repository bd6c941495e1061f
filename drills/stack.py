"""The real stack on free loopback ports: broker, API, job workers, and all that watches them."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from drills.crew import Crew, working
from drills.monitoring import ALERTMANAGER, PROMETHEUS, monitoring
from drills.programs import binary
from drills.prometheus import Prometheus
from drills.receiver import Receiver, receiving
from drills.server import OK, ROOT, Server, await_ready, end, free_port, launch
from drills.traffic import MAX_BYTES
from drills.tree import planted
from drills.valkey import serving_valkey

FACTOR = 60.0  # an hour is a minute, a scrape comes every 250 ms
MODELS = "drill,text_to_image"  # one that answers at once and needs no weights, one for jobs
WORKERS = 2
PLUGINS = Path(__file__).parent / "plugins"


class Api:
    """The API, that can be killed and started again; its port stays."""

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
        """End every process of it at once, as the failure of a machine does."""
        end(self.server)

    def start(self) -> None:
        """Start it again, as a service manager does."""
        self.server = self._launch()
        self.await_ready()


@dataclass(frozen=True)
class Stack:
    """All of it. tree: what the processes run in; factor: how much faster time is for alerts."""

    tree: Path
    api: Api
    crew: Crew
    prometheus: Prometheus
    receiver: Receiver
    factor: float

    @property
    def url(self) -> str:
        """Of the API, without a slash at its end."""
        return self.api.server.url


@contextmanager
def standing(folder: Path, *, factor: float = FACTOR, **settings: object) -> Iterator[Stack]:
    """The stack for the length of the body; then nothing of it is left.

    folder: of a short path, as the broker's socket lies in it. settings: by the names of their
    variables. Raises NotInstalled.
    """
    for names in (PROMETHEUS, ALERTMANAGER):
        binary(*names)
    tree = planted(folder / "tree", [PLUGINS / "drill.py"])
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
            **settings,
        }
        crew = stack.enter_context(working(folder, root=tree, ready=False, **variables))
        api = Api(tree, variables)
        stack.callback(api.kill)
        api.await_ready()
        crew.await_ready(1)
        receiver = stack.enter_context(receiving())
        watched = monitoring(folder, factor, receiver, api.server, crew.metrics_port, valkey)
        yield Stack(tree, api, crew, stack.enter_context(watched), receiver, factor)
