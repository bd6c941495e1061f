"""A stateless host: the API and a job worker."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from drills.hosts.data import API_METRICS_PORT, WORKER_METRICS_PORT
from drills.hosts.network import Namespace
from drills.job_workers import JobWorkers, run_job_workers
from drills.server import OK, Server, await_ready, end, launch
from drills.source_tree import copy_tree
from drills.stack import PLUGINS

API_PORT = 8000
QUICK, LONG = "drill", "drill_job"
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
    """A running host. tree: its copy of the source tree."""

    namespace: Namespace
    tree: Path
    api: Server
    job_workers: JobWorkers

    @property
    def name(self) -> str:
        """Name of the host."""
        return self.namespace.name

    def hold(self) -> None:
        """Have its worker finish no job from now on."""
        (self.tree / "held").touch()

    def release(self) -> None:
        """Let its worker finish jobs again."""
        (self.tree / "held").unlink(missing_ok=True)

    def started(self, job_ids: set[str]) -> list[str]:
        """Those of the jobs that it has started, in order."""
        begun = self.job_workers.records("job_started")
        return [line["job_id"] for line in begun if line["job_id"] in job_ids]

    def refused(self, job_id: str) -> bool:
        """Whether its result of a job was refused, as it had lost the lease."""
        return any(line["job_id"] == job_id for line in self.job_workers.records("job_lease_lost"))

    def kill(self) -> None:
        """Kill all of its processes at once, as a power cut does."""
        end(self.api)
        self.job_workers.end()

    def await_ready(self) -> None:
        """Wait until its API and its worker have started."""
        await_ready(self.api, OK, 1)
        self.job_workers.await_ready(1)


@contextmanager
def run_host(namespace: Namespace, folder: Path, variables: Mapping[str, object]) -> Iterator[Host]:
    """A host in a namespace while the context is open; it may not be ready yet.

    variables: of the data services.
    """
    tree = copy_tree(folder / "tree", [PLUGINS / f"{name}.py" for name in (QUICK, LONG)])
    given = {**SETTINGS, **variables, "HOST": namespace.address}
    api_settings = {**given, "MODELS": f"{QUICK},{LONG}"}
    with ExitStack() as stack:
        with namespace.entered():
            api = launch(folder, app=None, root=tree, **api_settings)
            stack.callback(end, api)
            worker = run_job_workers(folder, ready=False, root=tree, **{**given, "MODELS": LONG})
            job_workers = stack.enter_context(worker)
        yield Host(namespace, tree, api, job_workers)
