"""GET /: the page for a browser, `{"status": "ok"}` for other clients; and the page's files."""

from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, JSONResponse
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

STATIC = Path(__file__).parent.parent / "static"
POLICY = "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'; base-uri 'none'"

CACHING = {"Cache-Control": "no-cache"}  # revalidate: a deployment must not mix old and new files

router = APIRouter(include_in_schema=False)


class PageFiles(StaticFiles):
    """The page's files; a browser may store them and revalidates before each use."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """Respond as StaticFiles does (304 where the browser has the same), with our caching."""
        response = super().file_response(*args, **kwargs)
        response.headers.update(CACHING)
        return response


@router.api_route("/", methods=["GET", "HEAD"])
async def page(request: Request) -> Response:
    """The page where the client accepts HTML, else `{"status": "ok"}`."""
    if "text/html" in request.headers.get("accept", ""):
        headers = {"Content-Security-Policy": POLICY, "Vary": "Accept", **CACHING}
        return FileResponse(STATIC / "index.html", headers=headers)
    return JSONResponse({"status": "ok"}, headers={"Vary": "Accept"})
