"""`jobs submit` and `jobs fetch`: submit jobs, follow them to their end, save their results."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from project.cli.options import Ids, Input, Param, Paths, Url, server_url
from project.cli.output import fail, print_error
from project.errors import ConfigurationError, ProjectError

if TYPE_CHECKING:
    from project.cli.connection import Server
    from project.cli.inputs import Item
    from project.cli.job_batch import Send

INTERRUPTED = 130
Out = Annotated[
    Path, typer.Option("--out", "-o", help="Folder for the results; created if necessary.")
]


def submit(
    model: Annotated[str, typer.Argument(help="Name of a model; see `models`.")],
    out: Out,
    paths: Paths = None,
    param: Param = None,
    given: Input = None,
    url: Url = None,
    idempotency_key: Annotated[
        str | None, typer.Option(help="The same command with the same key creates no further jobs.")
    ] = None,
) -> None:
    """Submit jobs, follow them and save their results; exits with 1 if any of them failed."""
    from project.cli import inputs, job_batch, saving, served_model  # noqa: PLC0415 - see __init__.py
    from project.cli.connection import Server  # noqa: PLC0415

    items: list[Item] = []

    async def go() -> None:
        inputs.check_key(idempotency_key)
        params = [inputs.split(item, "--param") for item in param or []]
        named = [inputs.split(item, "--input") for item in given or []]
        async with Server(server_url(url)) as server:
            details = await served_model.details_of(server, model)
            if details.get("jobs") is None:
                raise ConfigurationError(
                    f"the server at {server.url} accepts no jobs: JOBS is off there"
                )
            takes = served_model.inputs_of(details)
            files = inputs.files_of(paths or [], takes)
            items.extend(inputs.items(model, takes, files, named))
            saving.make_folder(out)
            alone = len(items) == 1
            send = job_batch.submission(server, model, params, idempotency_key, alone=alone)
            await _process_all(server, items, out, send)

    _run(go, items, server_url(url))


def fetch(ids: Ids, out: Out, url: Url = None) -> None:
    """Follow jobs to their end and save their results; exits with 1 if any of them failed."""
    from project.cli import inputs, job_batch, saving  # noqa: PLC0415 - see __init__.py
    from project.cli.connection import Server  # noqa: PLC0415

    items = [inputs.Item(job_id, job_id) for job_id in dict.fromkeys(ids)]

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
