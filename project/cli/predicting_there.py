"""`predict --url`: the same at a server; a model that runs in the background runs as jobs."""

import asyncio
import io
import json
from dataclasses import dataclass
from typing import Any

from project.cli.connection import RetryPolicy, Server
from project.cli.following import View, follow
from project.cli.inputs import Item, form
from project.cli.item_tasks import for_each
from project.cli.job_batch import MAX_SENDING, failure_of, submission
from project.cli.job_format import progress_of
from project.cli.predicting import MEDIA_TYPES, PNG, Command, Target
from project.cli.progress import Bar
from project.cli.saving import download, make_folder
from project.cli.served_model import details_of, inputs_of, path_of_model
from project.errors import ConfigurationError

JSON = "application/json"


async def predict_there(url: str, command: Command, items: list[Item]) -> None:
    """Predict for all items of a command. items: gets them, with their results.

    Raises ProjectError for what is wrong with the command, or where the server does not answer.
    """
    async with Server(url) as server:
        details = await details_of(server, command.model)
        items.extend(command.items(inputs_of(details)))
        is_picture = details["result"]["media_types"][0] in MEDIA_TYPES.values()
        target = command.target(len(items), is_picture=is_picture, can_draw=details["draws"])
        if details["background"]:
            _check_background(command, target)
        if target:
            make_folder(target.folder)
        with Bar(command.model, len(items)) as bar:
            server.retry = RetryPolicy(on_retry=bar.show_retry)
            remote = _Remote(server, command, bar, target, is_picture=is_picture)
            process = remote.run_job if details["background"] else remote.predict
            await for_each(items, MAX_SENDING, process)


def _check_background(command: Command, target: Target | None) -> None:
    """Raise ConfigurationError for what no job does."""
    if command.draw:
        raise ConfigurationError(
            f"{command.model} runs in the background: leave out --draw, a job's result is not drawn"
        )
    if target and target.media_type != PNG:
        raise ConfigurationError(
            f"--out {command.out}: {command.model} runs in the background, and the picture of a "
            "job is a PNG; name it so"
        )


@dataclass(frozen=True)
class _Remote:
    """A model at a server. target: of pictures. is_picture: whether a result is one."""

    server: Server
    command: Command
    bar: Bar
    target: Target | None
    is_picture: bool

    async def predict(self, item: Item) -> None:
        """Send one prediction, and a second one for the drawing."""
        with self.bar.item(item):
            parts = await asyncio.to_thread(form, item, self.command.params)
            if not self.is_picture:
                item.result = json.loads(await self._post(parts, JSON))
            if self.target:
                await self.target.save(item, await self._post(parts, self.target.media_type))

    async def _post(self, parts: list[tuple[str, Any]], media_type: str) -> bytes:
        path = f"{path_of_model(self.command.model)}/predictions"
        body: dict[str, Any] = {"files": parts} if parts else {"json": {}}
        return await self.server.content("POST", path, headers={"Accept": media_type}, **body)

    async def run_job(self, item: Item) -> None:
        """Submit a job, follow it to its end and get its result."""

        def show(job: View) -> None:
            item.job = job
            self.bar.show(item, progress_of(job))

        with self.bar.item(item):
            model, params = self.command.model, self.command.params
            show(await submission(self.server, model, params, None, alone=True)(item))
            job = await follow(self.server, item.job or {}, show)
            if job["status"] != "succeeded":
                item.failure = failure_of(job)
                return
            data = io.BytesIO()
            await self.server.with_retries(lambda: download(self.server, job, data))
            if self.target:
                await self.target.save(item, data.getvalue())
            else:
                item.result = json.loads(data.getvalue())
