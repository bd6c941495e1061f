"""`jobs`: every command about jobs at a server."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from project.cli import submit
from project.cli.options import Id, Ids, Url, server_url
from project.cli.output import fail, print_error
from project.errors import ProjectError

if TYPE_CHECKING:
    from project.cli.connection import Server
    from project.cli.following import View

app = typer.Typer(no_args_is_help=True, help="Submit jobs to a server and manage them.")
app.command()(submit.submit)
app.command()(submit.fetch)

MAX_PAGE = 100  # jobs on a page of the API
Status = Literal["accepted", "running", "succeeded", "failed", "cancelled"]


@app.command("list")
def list_jobs(
    model: Annotated[str | None, typer.Option(help="Only jobs of this model.")] = None,
    status: Annotated[Status | None, typer.Option(help="Only jobs in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of jobs.")] = 20,
    url: Url = None,
) -> None:
    """List jobs, newest first."""
    from project.cli.job_format import table  # noqa: PLC0415 - see __init__.py

    wanted = {"model": model, "status": status, "limit": min(limit, MAX_PAGE)}
    params = {name: value for name, value in wanted.items() if value is not None}

    async def go(server: "Server") -> "list[View]":
        page = await server.request("GET", "/v1/jobs", params=params, required=("jobs",))
        jobs = list(page["jobs"])
        while page.get("next") and len(jobs) < limit:
            page = await server.request("GET", str(page["next"]), required=("jobs",))
            jobs += page["jobs"]
        return jobs[:limit]

    for line in table(_with_server(url, go)):
        typer.echo(line)


@app.command()
def show(
    job_id: Id,
    url: Url = None,
    as_json: Annotated[bool, typer.Option("--json", help="The server's JSON.")] = False,
) -> None:
    """Show the details of a job."""
    from project.cli.job_format import details  # noqa: PLC0415 - see __init__.py

    job = _with_server(url, lambda server: _ask(server, "GET", job_id))
    for line in [json.dumps(job)] if as_json else details(job):
        typer.echo(line)


@app.command()
def cancel(ids: Ids, url: Url = None) -> None:
    """Cancel unfinished jobs; exits with 1 if one cannot be cancelled."""
    _each(url, ids, lambda server, job_id: _ask(server, "DELETE", job_id))


@app.command()
def retry(ids: Ids, url: Url = None) -> None:
    """Run failed jobs again; exits with 1 if one cannot be retried."""
    _each(url, ids, lambda server, job_id: _ask(server, "POST", job_id, "/retry"))


async def _ask(server: "Server", method: str, job_id: str, below: str = "") -> "View":
    from project.cli.following import REQUIRED, path_of  # noqa: PLC0415 - see __init__.py

    return await server.request(method, path_of(job_id) + below, required=REQUIRED)


def _with_server(url: str | None, go: "Callable[[Server], Awaitable[Any]]") -> Any:
    """The result of `go` with a server; an error is printed, and exits with 1."""
    from project.cli.connection import Server  # noqa: PLC0415 - see __init__.py

    async def main() -> Any:
        async with Server(server_url(url)) as server:
            return await go(server)

    try:
        return asyncio.run(main())
    except ProjectError as error:
        fail(error)


def _each(
    url: str | None, ids: Iterable[str], do: "Callable[[Server, str], Awaitable[View]]"
) -> None:
    """Apply `do` to each job; an error affects no other job."""
    from project.cli.connection import ErrorResponse  # noqa: PLC0415 - see __init__.py
    from project.cli.job_format import status_of  # noqa: PLC0415

    async def go(server: "Server") -> bool:
        succeeded = True
        for job_id in ids:
            try:
                job = await do(server, job_id)
                typer.echo(f"{job['id']}  {status_of(job)}")
            except ErrorResponse as error:
                print_error(f"{job_id}: {error.detail}")
                succeeded = False
        return succeeded

    if not _with_server(url, go):
        raise typer.Exit(1)
