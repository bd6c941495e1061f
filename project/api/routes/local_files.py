"""GET /v1/files/{key}: serves the files of a local storage folder under signed URLs.

In a cloud the bucket does this, so the route exists for a local folder alone. It is in no schema,
because clients take its URLs from redirects.
"""

from fastapi import APIRouter
from fastapi.responses import Response

from project.storage.local import FILES, LocalStorage
from project.storage.names import disposition

HEADERS = {
    # A browser that shows a file runs nothing in it.
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "Cache-Control": "private, no-store",
}


def files_router(storage: LocalStorage) -> APIRouter:
    """The route that serves a storage folder."""
    router = APIRouter(include_in_schema=False)

    @router.api_route(f"{FILES}/{{key:path}}", methods=["GET", "HEAD"])
    async def download(
        key: str, expires: str = "", media_type: str = "", filename: str = "", signature: str = ""
    ) -> Response:
        """The file, if the signature is valid and has not expired."""
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
