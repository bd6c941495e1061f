"""GET /: the page for a browser, `{"status": "ok"}` for other clients; and the page's files."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, JSONResponse
from loguru import logger
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from project.api import security_headers
from project.api.dependencies import StateDep
from project.api.state import State
from project.errors import StorageUnavailable
from project.storage import LocalStorage

STATIC = Path(__file__).parent.parent / "static"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src {images}; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
IMAGES = "'self' blob: data:"

CACHING = {"Cache-Control": "no-cache"}  # revalidate: a deployment must not mix old and new files

router = APIRouter(include_in_schema=False)


class PageFiles(StaticFiles):
    """The page's files; a browser may store them and revalidates before each use.

    The page itself is one of them, and here too no other page may frame it.
    """

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """Respond as StaticFiles does (304 where the browser has the same), with our caching."""
        response = super().file_response(*args, **kwargs)
        response.headers.update(CACHING)
        if response.headers.get("content-type", "").startswith("text/html"):
            policy = {"Content-Security-Policy": POLICY.format(images=IMAGES)}
            response.headers.update({**policy, **security_headers.OF_PAGES})
        return response


@router.api_route("/", methods=["GET", "HEAD"])
async def page(request: Request, state: StateDep) -> Response:
    """The page where the client accepts HTML, else `{"status": "ok"}`."""
    if "text/html" in request.headers.get("accept", ""):
        images = " ".join([IMAGES, *await _buckets(state)])
        headers = {
            "Content-Security-Policy": POLICY.format(images=images),
            "Vary": "Accept",
            **security_headers.OF_PAGES,
            **CACHING,
        }
        return FileResponse(STATIC / "index.html", headers=headers)
    return JSONResponse({"status": "ok"}, headers={"Vary": "Accept"})


async def _buckets(state: State) -> list[str]:
    """Return the origin of the bucket that serves the pictures of jobs, where there is one.

    It is read from a signed URL, which no request is made for: the clouds spell it in many ways.
    """
    services = state["job_services"]
    if services is None or isinstance(services.storage, LocalStorage):
        return []
    try:
        url = urlsplit(await services.storage.url("page", "image/png", "page.png"))
    except StorageUnavailable as error:
        logger.bind(reason=str(error)).warning("bucket_not_in_page_policy")
        return []
    return [f"{url.scheme}://{url.netloc}"]
