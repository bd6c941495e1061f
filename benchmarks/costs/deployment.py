"""The product as shipped on a real PostgreSQL, Valkey and S3, with their meters."""

import asyncio
import io
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
from PIL import Image

from benchmarks.costs.meters import POSTGRES_OPTIONS, RCLONE_OPTIONS, Meters
from benchmarks.paths import PHOTO, ROOT
from drills.job_workers import JobWorkers, run_job_workers
from drills.postgres import run_postgres
from drills.s3 import BUCKET, serving_s3
from drills.server import Server, serve
from drills.valkey import serving_valkey
from drills.waiting import DEADLINE, wait_until
from project.settings import Settings

WORKERS = 2
QUICK, LONG = "classification", "background_removal"
END_SECONDS = 600.0
SIZE = (320, 214)
JPEG = {"Content-Type": "image/jpeg"}


@dataclass
class Deployment:
    """The running deployment. photo: the input of predictions and jobs."""

    server: Server
    job_workers: JobWorkers
    meters: Meters
    variables: dict[str, object]
    client: httpx2.Client
    photo: bytes

    @property
    def settings(self) -> Settings:
        """Settings with its database and its broker."""
        names = ("DATABASE_URL", "REDIS_URL")
        return Settings(_env_file=None, **{name.lower(): self.variables[name] for name in names})

    def predict(self, times: int) -> None:
        """Request so many predictions."""
        for _ in range(times):
            self._post(f"/v1/models/{QUICK}/predictions")

    def submit(self, times: int) -> list[str]:
        """Submit so many jobs; returns their ids."""
        path = f"/v1/models/{LONG}/jobs?iterations=1"
        return [str(self._post(path).json()["id"]) for _ in range(times)]

    def run(self, times: int) -> list[str]:
        """Run so many jobs to their ends."""
        known = len(self.job_workers.records("job_ended"))
        job_ids = self.submit(times)
        wait_until(
            lambda: len(self.job_workers.records("job_ended")) == known + times,
            f"{times} jobs have ended",
            END_SECONDS,
        )
        return job_ids

    def get(self, path: str, times: int) -> None:
        """GET a path so often."""
        for _ in range(times):
            self.client.get(path).raise_for_status()

    def _post(self, path: str) -> httpx2.Response:
        answer = self.client.post(path, content=self.photo, headers=JPEG)
        return answer.raise_for_status()


@contextmanager
def standing(folder: Path) -> Iterator[Deployment]:
    """The deployment while the context is open, warmed up. Raises NotInstalled."""
    with ExitStack() as stack:
        postgres = stack.enter_context(run_postgres(options=POSTGRES_OPTIONS))
        valkey = stack.enter_context(serving_valkey(folder / "valkey"))
        s3 = stack.enter_context(serving_s3(folder / "s3", options=RCLONE_OPTIONS))
        variables: dict[str, object] = {
            "JOBS": "on",
            "MODELS": None,  # all that are shipped
            "INFERENCE_BATCH": None,
            "CACHE_DIR": ROOT / "var" / "cache",
            "DATABASE_URL": postgres.new_database(),
            "REDIS_URL": valkey.url,
            "STORAGE_URL": f"s3://{BUCKET}/jobs",
            **s3.variables,
        }
        server = stack.enter_context(serve(folder, **variables))
        job_workers = stack.enter_context(
            run_job_workers(folder, WORKER_PROCESSES=WORKERS, **variables)
        )
        client = httpx2.Client(base_url=server.url, timeout=DEADLINE)
        stack.callback(client.close)
        meters = Meters(
            str(variables["DATABASE_URL"]),
            postgres,
            valkey.client(),
            s3.log,
            s3.folder / "data",
            [server.log_file, job_workers.log_file],
        )
        asyncio.run(meters.prepare())
        deployment = Deployment(server, job_workers, meters, variables, client, _photo())
        deployment.predict(WORKERS)
        deployment.run(2 * WORKERS)
        yield deployment


def idle(deployment: Deployment, seconds: float) -> None:
    """Send nothing for so long, to measure idle costs."""
    del deployment
    time.sleep(seconds)


def _photo() -> bytes:
    buffer = io.BytesIO()
    Image.open(PHOTO).resize(SIZE).save(buffer, "JPEG")
    return buffer.getvalue()
