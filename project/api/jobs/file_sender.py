"""How a job's file is sent: by a redirect to a signed URL, as that URL, or as base64 in JSON."""

import base64
import time
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import Depends, Query, Response
from pydantic import BaseModel, Field

from project.api.dependencies import JobServicesDep, SettingsDep
from project.api.jobs.schemas import rfc3339
from project.api.openapi import problem_responses
from project.db.records import StoredFile
from project.errors import FileTooLarge, InvalidInput
from project.settings import Settings
from project.storage import Storage
from project.storage.names import download_name

NOT_STORED = {"Cache-Control": "no-store"}


class FileLink(BaseModel):
    """Where a file is for a limited time; the answer to `redirect=false`."""

    url: str = Field(description="Signed; a path belongs to this server, as in a `Location`.")
    media_type: str
    size: int = Field(description="Bytes.")
    expires_at: str = Field(description="RFC 3339, in UTC.")


class InlineFile(BaseModel):
    """A file itself; the answer to `inline=base64`."""

    media_type: str
    size: int = Field(description="Bytes, before they are encoded.")
    data: str = Field(description="The file in base64, whatever its media type.")


RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "model": FileLink | InlineFile,
        "description": "With `redirect=false` the link, with `inline=base64` the file.",
    },
    307: {"description": "The file is at `Location`, for a limited time."},
    **problem_responses(404, 413, 422, 503),
}


@dataclass(frozen=True)
class FileSender:
    """Sends files as one request wants them; with neither `link` nor `inline`, by a redirect."""

    storage: Storage
    settings: Settings
    link: bool
    inline: bool

    async def send(self, file: StoredFile, *words: str) -> Response:
        """The response with the file. words: of the name under which a client saves it.

        Raises FileTooLarge, FileMissing and StorageUnavailable.
        """
        if self.inline:
            return await self._send_inline(file)
        media_type = file["media_type"]
        expires_at = rfc3339(time.time() + self.settings.storage_url_seconds)
        filename = download_name(*words, media_type=media_type)
        url = await self.storage.url(file["key"], media_type, filename)
        if not self.link:
            return Response(status_code=307, headers={"Location": url, **NOT_STORED})
        return _json(
            FileLink(url=url, media_type=media_type, size=file["size"], expires_at=expires_at)
        )

    async def _send_inline(self, file: StoredFile) -> Response:
        limit = self.settings.max_body_bytes
        if file["size"] > limit:
            raise FileTooLarge(
                f"the file has {file['size']:,} bytes, and at most {limit:,} are sent inside JSON; "
                "send redirect=false instead, and download the file from the URL"
            )
        data = await self.storage.get(file["key"])
        text = base64.b64encode(data).decode()
        return _json(InlineFile(media_type=file["media_type"], size=len(data), data=text))


async def _file_sender(
    settings: SettingsDep,
    services: JobServicesDep,
    *,
    redirect: Annotated[
        bool,
        Query(description="`false`: the URL as JSON, for clients that cannot follow a redirect."),
    ] = True,
    inline: Annotated[
        Literal["base64"] | None,
        Query(description="The file itself as base64 in JSON, up to MAX_BODY_BYTES."),
    ] = None,
) -> FileSender:
    """Raises InvalidInput for parameters that exclude each other."""
    if not redirect and inline:
        advice = "send redirect=false for a link, or inline=base64 for the file, not both"
        raise InvalidInput(advice, fields={"redirect": advice, "inline": advice})
    return FileSender(services.storage, settings, link=not redirect, inline=bool(inline))


FileSenderDep = Annotated[FileSender, Depends(_file_sender)]


def _json(body: BaseModel) -> Response:
    return Response(body.model_dump_json(), headers=NOT_STORED, media_type="application/json")
