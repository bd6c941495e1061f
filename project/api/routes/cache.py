"""DELETE /v1/cache: forget every kept result, in all workers."""

from fastapi import APIRouter, Request

from project.api import auth
from project.api.dependencies import ServicesDep
from project.api.problems import documented
from project.errors import Forbidden

router = APIRouter(tags=["operations"])


@router.delete("/v1/cache", status_code=204, responses=documented(401, 403, 503))
async def clear_cache(request: Request, services: ServicesDep) -> None:
    """Forget every kept result. Demands ADMIN_TOKEN; without one it works in `local` alone."""
    settings = services.settings
    if settings.admin_token is not None:
        auth.demand(request, settings.admin_token, "ADMIN_TOKEN")
    elif settings.environment != "local":
        raise Forbidden("this deployment has no ADMIN_TOKEN; its operators can set one")
    if cache := services.runner.cache:
        await cache.store.clear()
