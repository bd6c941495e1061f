"""GET /: the page for a browser, a sign of life for everyone else; and the page's files."""

from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, JSONResponse
from starlette.responses import Response

STATIC = Path(__file__).parent.parent / "static"
POLICY = "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'; base-uri 'none'"

router = APIRouter(include_in_schema=False)


@router.api_route("/", methods=["GET", "HEAD"])
async def page(request: Request) -> Response:
    """The page where the caller takes HTML, else `{"status": "ok"}`."""
    if "text/html" in request.headers.get("accept", ""):
        headers = {"Content-Security-Policy": POLICY, "Vary": "Accept"}
        return FileResponse(STATIC / "index.html", headers=headers)
    return JSONResponse({"status": "ok"}, headers={"Vary": "Accept"})
