"""`jobs`: all that can be done with jobs at a server."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from project.cli import running
from project.cli.options import Id, Ids, Url, where
from project.cli.output import fail, say_error
from project.errors import ProjectError

if TYPE_CHECKING:
    from project.cli.connection import Server
    from project.cli.following import View

app = typer.Typer(no_args_is_help=True, help="Send jobs to a server and look after them.")
app.command()(running.submit)
app.command()(running.fetch)

MAX_LISTED = 100  # on a page of the server's
Status = Literal["accepted", "running", "succeeded", "failed", "cancelled"]


@app.command("list")
def list_jobs(
    model: Annotated[str | None, typer.Option(help="Those of this model.")] = None,
    status: Annotated[Status | None, typer.Option(help="Those in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 20,
    url: Url = None,
) -> None:
    """List jobs, the newest first."""
    from project.cli.showing import table  # noqa: PLC0415 - see __init__.py

    wanted = {"model": model, "status": status, "limit": min(limit, MAX_LISTED)}
    params = {name: value for name, value in wanted.items() if value is not None}

    async def go(server: "Server") -> "list[View]":
        page = await server.ask("GET", "/v1/jobs", params=params, having=("jobs",))
        jobs = list(page["jobs"])
        while page.get("next") and len(jobs) < limit:
            page = await server.ask("GET", str(page["next"]), having=("jobs",))
            jobs += page["jobs"]
        return jobs[:limit]

    for line in table(_at(url, go)):
        typer.echo(line)


@app.command()
def show(
    job_id: Id,
    url: Url = None,
    as_json: Annotated[bool, typer.Option("--json", help="As the server says it.")] = False,
) -> None:
    """Show all there is to say of a job."""
    from project.cli.showing import whole  # noqa: PLC0415 - see __init__.py

    job = _at(url, lambda server: _ask(server, "GET", job_id))
    for line in [json.dumps(job)] if as_json else whole(job):
        typer.echo(line)


@app.command()
def cancel(ids: Ids, url: Url = None) -> None:
    """Cancel jobs that have not ended; exits with 1 if one cannot be."""
    _each(url, ids, lambda server, job_id: _ask(server, "DELETE", job_id))


@app.command()
def retry(ids: Ids, url: Url = None) -> None:
    """Run failed jobs again; exits with 1 if one cannot be."""
    _each(url, ids, lambda server, job_id: _ask(server, "POST", job_id, "/retry"))


async def _ask(server: "Server", method: str, job_id: str, below: str = "") -> "View":
    from project.cli.following import NEEDED, path_of  # noqa: PLC0415 - see __init__.py

    return await server.ask(method, path_of(job_id) + below, having=NEEDED)


def _at(url: str | None, go: "Callable[[Server], Awaitable[Any]]") -> Any:
    """What comes of talking to a server, or its error for people and exit 1."""
    from project.cli.connection import Server  # noqa: PLC0415 - see __init__.py

    async def main() -> Any:
        async with Server(where(url)) as server:
            return await go(server)

    try:
        return asyncio.run(main())
    except ProjectError as error:
        fail(error)


def _each(
    url: str | None, ids: Iterable[str], do: "Callable[[Server, str], Awaitable[View]]"
) -> None:
    """Do it to each job; one that refuses costs no other."""
    from project.cli.connection import Refused  # noqa: PLC0415 - see __init__.py
    from project.cli.showing import status_of  # noqa: PLC0415

    async def go(server: "Server") -> bool:
        well = True
        for job_id in ids:
            try:
                job = await do(server, job_id)
                typer.echo(f"{job['id']}  {status_of(job)}")
            except Refused as error:
                say_error(f"{job_id}: {error.detail}")
                well = False
        return well

    if not _at(url, go):
        raise typer.Exit(1)
