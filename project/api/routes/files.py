"""GET /v1/files/{key}: what the signed addresses of a local folder name.

In a cloud the bucket does this, so the route is there for a local folder alone and, as such an
address is taken as it is given out, stands in no schema.
"""

from fastapi import APIRouter
from fastapi.responses import Response

from project.storage.local import FILES, LocalStorage
from project.storage.names import disposition

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    # Whatever a file holds, a browser that shows it lets it do nothing.
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "Cache-Control": "private, no-store",
    "Referrer-Policy": "no-referrer",  # the address itself is the key to the file
}


def files_router(storage: LocalStorage) -> APIRouter:
    """The route that serves this folder."""
    router = APIRouter(include_in_schema=False)

    @router.api_route(f"{FILES}/{{key:path}}", methods=["GET", "HEAD"])
    async def download(
        key: str, expires: str = "", media_type: str = "", filename: str = "", signature: str = ""
    ) -> Response:
        """The file, if the address is one that we gave out and has not expired."""
        await storage.verify(
            key,
            expires=expires,
            media_type=media_type,
            filename=filename,
            signature=signature,
        )
        headers = {
            "Content-Type": media_type,
            "Content-Disposition": disposition(filename),
            **HEADERS,
        }
        return Response(await storage.get(key), headers=headers)

    return router
