"""The API does what its OpenAPI document says, for what that allows and for what it forbids.

schemathesis sends requests to all routes of the product as shipped, with a job worker, so that jobs
change meanwhile. schemathesis.toml has the checks, contract_hooks.py what no schema can say.
"""

import json
import subprocess
import sys
from pathlib import Path

import httpx2

from drills.job_workers import run_job_workers
from drills.server import ROOT, serve
from project.settings import Settings
from tests.services.stack import standing

CONFIG = Path(__file__).parent / "schemathesis.toml"
MODELS = ",".join(Settings.model_fields["models"].default)
RUN_SECONDS = 280


def test_every_route_keeps_the_contract_of_the_document(tmp_path: Path):
    """Statuses, media types, schemas, headers and methods; valid input is taken, other rejected."""
    with standing("embedded", tmp_path) as stack:
        given = {**stack.variables, "MODELS": MODELS, "WEB_CONCURRENCY": 1, "WORKER_PROCESSES": 1}
        with (
            run_job_workers(tmp_path, ready=False, **given) as workers,  # they start side by side
            serve(tmp_path, app=None, **given) as server,
        ):
            workers.await_ready(1)
            report = tmp_path / "report.json"
            command = [
                *(sys.executable, "-m", "schemathesis.cli", f"--config-file={CONFIG}"),
                *("run", f"{server.url}/openapi.json", f"--report-json-path={report}"),
            ]
            done = subprocess.run(
                command,
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=RUN_SECONDS,
                check=False,
            )
            assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
            document = httpx2.get(f"{server.url}/openapi.json", timeout=60).json()
    tested = json.loads(report.read_text())
    operations = [method for path in document["paths"].values() for method in path]
    assert tested["operations"]["tested"] == len(operations)
    assert {phase["status"] for phase in tested["phases"].values()} == {"success"}
