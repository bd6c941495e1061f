"""A host that keeps nothing: the API and a job worker, as on every machine but the data's."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from drills.crew import Crew, working
from drills.hosts.data import API_METRICS_PORT, WORKER_METRICS_PORT
from drills.hosts.network import Place
from drills.server import OK, Server, await_ready, end, launch
from drills.stack import PLUGINS
from drills.tree import planted

API_PORT = 8000
QUICK, LONG = "drill", "errand"
SETTINGS: dict[str, object] = {
    "ENVIRONMENT": "production",
    "PORT": API_PORT,
    "METRICS_PORT": API_METRICS_PORT,
    "WORKER_METRICS_PORT": WORKER_METRICS_PORT,
    "WEB_CONCURRENCY": 1,
    "WORKER_PROCESSES": 1,
    "JOB_LEASE_SECONDS": 5,
    "JOB_SWEEP_SECONDS": 1,
    "JOB_ATTEMPTS": 50,  # a lease that lapses because the machine is busy fails no job
}


@dataclass(frozen=True)
class Host:
    """One that runs. tree: the product's files, a copy of its own."""

    place: Place
    tree: Path
    api: Server
    crew: Crew

    @property
    def name(self) -> str:
        """By which it is called."""
        return self.place.name

    def hold(self) -> None:
        """Have its worker end no job from now on."""
        (self.tree / "held").touch()

    def release(self) -> None:
        """Let it go on."""
        (self.tree / "held").unlink(missing_ok=True)

    def started(self, job_ids: set[str]) -> list[str]:
        """Those of the jobs that it has begun to run, in that order."""
        begun = self.crew.records("job_started")
        return [line["job_id"] for line in begun if line["job_id"] in job_ids]

    def refused(self, job_id: str) -> bool:
        """Whether what it did for a job was refused, as its lease was lost."""
        return any(line["job_id"] == job_id for line in self.crew.records("job_lease_lost"))

    def kill(self) -> None:
        """End every process of it at once, as a power cut does."""
        end(self.api)
        self.crew.end()

    def await_ready(self) -> None:
        """Wait until its API and its worker have started."""
        await_ready(self.api, OK, 1)
        self.crew.await_ready(1)


@contextmanager
def hosting(place: Place, folder: Path, variables: Mapping[str, object]) -> Iterator[Host]:
    """A host at that place for the length of the body, which has to wait until it is ready.

    variables: what names the data.
    """
    tree = planted(folder / "tree", [PLUGINS / f"{name}.py" for name in (QUICK, LONG)])
    given = {**SETTINGS, **variables, "HOST": place.address}
    api_settings = {**given, "MODELS": f"{QUICK},{LONG}"}
    with ExitStack() as stack:
        with place.entered():
            api = launch(folder, app=None, root=tree, **api_settings)
            stack.callback(end, api)
            worker = working(folder, ready=False, root=tree, **{**given, "MODELS": LONG})
            crew = stack.enter_context(worker)
        yield Host(place, tree, api, crew)
