"""`jobs submit` and `jobs fetch`: submit jobs, follow them to their end, save their results."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from project.cli.options import Ids, Url, server_url
from project.cli.output import fail, print_error
from project.errors import ConfigurationError, ProjectError

if TYPE_CHECKING:
    from project.cli.connection import Server
    from project.cli.job_batch import Send
    from project.cli.job_inputs import Item

INTERRUPTED = 130
Out = Annotated[
    Path, typer.Option("--out", "-o", help="Folder for the results; created if necessary.")
]


def submit(
    model: Annotated[str, typer.Argument(help="Name of a model; see `models`.")],
    out: Out,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Image files, or folders of them: one job each."),
    ] = None,
    param: Annotated[
        list[str] | None, typer.Option("--param", "-p", help="A parameter: steps=20; repeatable.")
    ] = None,
    image: Annotated[
        list[str] | None,
        typer.Option("--image", "-i", help="An image by name: style=b.jpg; repeatable."),
    ] = None,
    url: Url = None,
    idempotency_key: Annotated[
        str | None, typer.Option(help="The same command with the same key creates no further jobs.")
    ] = None,
) -> None:
    """Submit jobs, follow them and save their results; exits with 1 if any of them failed."""
    from project.cli import job_batch, job_inputs, saving  # noqa: PLC0415 - see __init__.py
    from project.cli.connection import Server  # noqa: PLC0415
    from project.cli.predicting import files_of, split  # noqa: PLC0415

    items: list[Item] = []

    async def go() -> None:
        job_inputs.check_key(idempotency_key)
        params = [split(item, "--param") for item in param or []]
        named = [split(item, "--image") for item in image or []]
        async with Server(server_url(url)) as server:
            takes = await job_batch.images_of(server, model)
            files = list(files_of(paths or []))
            if paths and not files:
                raise ConfigurationError(f"no image files in {', '.join(map(str, paths))}")
            items.extend(job_inputs.items(model, takes, files, named))
            saving.make_folder(out)
            alone = len(items) == 1
            send = job_batch.submission(server, model, params, idempotency_key, alone=alone)
            await _process_all(server, items, out, send)

    _run(go, items, server_url(url))


def fetch(ids: Ids, out: Out, url: Url = None) -> None:
    """Follow jobs to their end and save their results; exits with 1 if any of them failed."""
    from project.cli import job_batch, job_inputs, saving  # noqa: PLC0415 - see __init__.py
    from project.cli.connection import Server  # noqa: PLC0415

    items = [job_inputs.Item(job_id, job_id) for job_id in dict.fromkeys(ids)]

    async def go() -> None:
        saving.make_folder(out)
        async with Server(server_url(url)) as server:
            await server.request("GET", "/v1/jobs", params={"limit": 1}, required=("jobs",))
            await _process_all(server, items, out, job_batch.existing(server))

    _run(go, items, server_url(url))


async def _process_all(server: "Server", items: "Sequence[Item]", out: Path, send: "Send") -> None:
    """Process all jobs, with retries: the server answered a moment ago, so it will again."""
    from project.cli.connection import RetryPolicy  # noqa: PLC0415
    from project.cli.job_batch import Batch  # noqa: PLC0415 - see __init__.py
    from project.cli.progress import display  # noqa: PLC0415

    with display(len(items)) as shown:
        server.retry = RetryPolicy(on_retry=shown.show_retry)
        await Batch(server, items, out, shown).run(send)


def _run(go: Callable[[], Coroutine[None, None, None]], items: "Sequence[Item]", url: str) -> None:
    """Run to the end or to Ctrl-C, then print failures, or how to resume."""
    try:
        asyncio.run(go())
    except ProjectError as error:
        fail(error)
    except KeyboardInterrupt:
        for line in resume_advice(items, url):
            typer.echo(line, err=True)
        raise typer.Exit(INTERRUPTED) from None
    failed = [item for item in items if item.failure]
    for item in failed:
        job_id = (item.job or {}).get("id")
        print_error(f"{item.label}: {item.failure}" + (f" (job {job_id})" if job_id else ""))
    if failed:
        raise typer.Exit(1)


def resume_advice(items: "Sequence[Item]", url: str) -> list[str]:
    """What continues at the server after Ctrl-C, and the commands to follow or cancel it."""
    open_items = [item for item in items if not item.over]
    ids = [str(item.job["id"]) for item in open_items if item.job]
    unsure = [item.label for item in open_items if not item.job and item.sending]
    unsent = [item.label for item in open_items if not item.job and not item.sending]
    lines = ["Stopped."]
    if ids:
        command, many = "python -m project jobs", " ".join(ids)
        lines += [
            "The jobs continue at the server; to follow and save them, or to cancel them:",
            f"  {command} fetch {many} --out DIR --url {url}",
            f"  {command} cancel {many} --url {url}",
        ]
    if unsure:
        lines.append(f"May have been sent: {', '.join(unsure)}; see `jobs list`.")
    if unsent:
        lines.append(f"Not sent: {', '.join(unsent)}.")
    return lines
