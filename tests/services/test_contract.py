"""The API does what its OpenAPI document says, for what that allows and for what it forbids.

schemathesis sends requests to all routes of the product as shipped: without accounts to all models,
with a job worker, so that jobs change meanwhile; with accounts to one model and to the accounts.
schemathesis.toml and schemathesis_accounts.toml have the checks, contract_hooks.py what no schema
can say.
"""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import httpx2

from drills.job_workers import run_job_workers
from drills.server import ROOT, serve
from project.settings import Settings
from tests.services.stack import standing

CONFIG, WITH_ACCOUNTS = (
    Path(__file__).parent / name for name in ("schemathesis.toml", "schemathesis_accounts.toml")
)
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
            check_contract(CONFIG, server.url, tmp_path)


def test_every_route_keeps_it_with_accounts(tmp_path: Path):
    """An administrator is taken, and whoever sends no token or a wrong one is not."""
    sign_in = tomllib.loads(WITH_ACCOUNTS.read_text())["auth"]["dynamic"]["openapi"]["bearer"]
    accounts = {
        "AUTH": "keys",
        "TOKEN_KEYS": f"one:{'s' * 32}",
        "ADMIN_EMAIL": "admin@example.org",
        "ADMIN_PASSWORD": sign_in["payload"]["password"],
        "REGISTRATION": "open",
        "MONTHLY_QUOTA": 1_000_000,
        "CALLER_RATE": "1000000/second",
        "ADDRESS_RATE": "1000000/second",
    }
    with standing("embedded", tmp_path) as stack:
        given = {**stack.variables, **accounts, "MODELS": "spam", "WEB_CONCURRENCY": 1}
        with serve(tmp_path, app=None, **given) as server:
            check_contract(WITH_ACCOUNTS, server.url, tmp_path)


def check_contract(config: Path, url: str, folder: Path) -> None:
    """Run schemathesis against a server; fails with what it found, or where it left a route out."""
    report = folder / "report.json"
    command = [
        *(sys.executable, "-m", "schemathesis.cli", f"--config-file={config}"),
        *("run", f"{url}/openapi.json", f"--report-json-path={report}"),
    ]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=RUN_SECONDS, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    document = httpx2.get(f"{url}/openapi.json", timeout=60).json()
    tested = json.loads(report.read_text())
    operations = [method for path in document["paths"].values() for method in path]
    assert tested["operations"]["tested"] == len(operations)
    assert {phase["status"] for phase in tested["phases"].values()} == {"success"}
