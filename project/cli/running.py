"""`jobs submit` and `jobs fetch`: send jobs, follow them to their end, save what they give."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from project.cli.options import Ids, Url, where
from project.cli.output import fail, say_error
from project.errors import ConfigurationError, ProjectError

if TYPE_CHECKING:
    from project.cli.batch import Send
    from project.cli.connection import Server
    from project.cli.orders import Item

INTERRUPTED = 130
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for the results; made if need be.")]


def submit(
    model: Annotated[str, typer.Argument(help="Name of a model; see `models`.")],
    out: Out,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Image files, or folders of them: a job for each."),
    ] = None,
    param: Annotated[
        list[str] | None, typer.Option("--param", "-p", help="A parameter: steps=20; repeatable.")
    ] = None,
    image: Annotated[
        list[str] | None,
        typer.Option("--image", "-i", help="An image by its name: style=b.jpg; repeatable."),
    ] = None,
    url: Url = None,
    idempotency_key: Annotated[
        str | None, typer.Option(help="The same command with the same key makes no other jobs.")
    ] = None,
) -> None:
    """Send jobs, follow them and save their results; exits with 1 if any of them failed."""
    from project.cli import batch, orders, saving  # noqa: PLC0415 - see __init__.py
    from project.cli.connection import Server  # noqa: PLC0415
    from project.cli.predicting import files_of, split  # noqa: PLC0415

    items: list[Item] = []

    async def go() -> None:
        orders.check_key(idempotency_key)
        params = [split(item, "--param") for item in param or []]
        named = [split(item, "--image") for item in image or []]
        async with Server(where(url)) as server:
            takes = await batch.images_of(server, model)
            files = list(files_of(paths or []))
            if paths and not files:
                raise ConfigurationError(f"no image files in {', '.join(map(str, paths))}")
            items.extend(orders.items(model, takes, files, named))
            saving.make_folder(out)
            alone = len(items) == 1
            send = batch.submission(server, model, params, idempotency_key, alone=alone)
            await _all(server, items, out, send)

    _see_through(go, items, where(url))


def fetch(ids: Ids, out: Out, url: Url = None) -> None:
    """Follow jobs to their end and save their results; exits with 1 if any of them failed."""
    from project.cli import batch, orders, saving  # noqa: PLC0415 - see __init__.py
    from project.cli.connection import Server  # noqa: PLC0415

    items = [orders.Item(job_id, job_id) for job_id in dict.fromkeys(ids)]

    async def go() -> None:
        saving.make_folder(out)
        async with Server(where(url)) as server:
            await server.ask("GET", "/v1/jobs", params={"limit": 1}, having=("jobs",))
            await _all(server, items, out, batch.known(server))

    _see_through(go, items, where(url))


async def _all(server: "Server", items: "Sequence[Item]", out: Path, send: "Send") -> None:
    """See to all jobs at a server that was there a moment ago, so it will be there again."""
    from project.cli.batch import Batch  # noqa: PLC0415 - see __init__.py
    from project.cli.connection import Patience  # noqa: PLC0415
    from project.cli.display import display  # noqa: PLC0415

    with display(len(items)) as shown:
        server.patience = Patience(tell=shown.tell)
        await Batch(server, items, out, shown).run(send)


def _see_through(
    go: Callable[[], Coroutine[None, None, None]], items: "Sequence[Item]", url: str
) -> None:
    """Run to the end, or until somebody stops it, and say what is to be said then."""
    try:
        asyncio.run(go())
    except ProjectError as error:
        fail(error)
    except KeyboardInterrupt:
        for line in left(items, url):
            typer.echo(line, err=True)
        raise typer.Exit(INTERRUPTED) from None
    failed = [item for item in items if item.failure]
    for item in failed:
        job_id = (item.job or {}).get("id")
        say_error(f"{item.label}: {item.failure}" + (f" (job {job_id})" if job_id else ""))
    if failed:
        raise typer.Exit(1)


def left(items: "Sequence[Item]", url: str) -> list[str]:
    """What goes on at the server, and how to go on with it, for who stopped following."""
    open_items = [item for item in items if not item.over]
    ids = [str(item.job["id"]) for item in open_items if item.job]
    unsure = [item.label for item in open_items if not item.job and item.sending]
    unsent = [item.label for item in open_items if not item.job and not item.sending]
    lines = ["Stopped."]
    if ids:
        command, many = "python -m project jobs", " ".join(ids)
        lines += [
            "At the server they go on; to follow and save them, or to cancel them:",
            f"  {command} fetch {many} --out DIR --url {url}",
            f"  {command} cancel {many} --url {url}",
        ]
    if unsure:
        lines.append(f"May have been sent: {', '.join(unsure)}; see `jobs list`.")
    if unsent:
        lines.append(f"Not sent: {', '.join(unsent)}.")
    return lines
