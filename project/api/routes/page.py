"""GET /: the page for a browser, a sign of life for everyone else; and the page's files."""

from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, JSONResponse
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

STATIC = Path(__file__).parent.parent / "static"
POLICY = "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'; base-uri 'none'"

CACHING = {"Cache-Control": "no-cache"}  # ask each time: a deploy must not mix old and new files

router = APIRouter(include_in_schema=False)


class PageFiles(StaticFiles):
    """The page's files, which a browser may keep but asks about before it uses them."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """As StaticFiles does, or 304 where the browser has the same."""
        response = super().file_response(*args, **kwargs)
        response.headers.update(CACHING)
        return response


@router.api_route("/", methods=["GET", "HEAD"])
async def page(request: Request) -> Response:
    """The page where the caller takes HTML, else `{"status": "ok"}`."""
    if "text/html" in request.headers.get("accept", ""):
        headers = {"Content-Security-Policy": POLICY, "Vary": "Accept", **CACHING}
        return FileResponse(STATIC / "index.html", headers=headers)
    return JSONResponse({"status": "ok"}, headers={"Vary": "Accept"})
