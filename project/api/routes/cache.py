"""DELETE /v1/cache: clears the result cache, which all workers share."""

from fastapi import APIRouter, Request

from project.api import auth
from project.api.dependencies import RunnerDep, SettingsDep
from project.api.openapi import problem_responses
from project.errors import Forbidden

router = APIRouter(tags=["operations"])


@router.delete("/v1/cache", status_code=204, responses=problem_responses(401, 403, 503))
async def clear_cache(request: Request, settings: SettingsDep, runner: RunnerDep) -> None:
    """Delete every cached result.

    With AUTH=keys this needs an administrator. Else it needs ADMIN_TOKEN; without one it works in
    `local` alone.
    """
    if settings.auth == "keys":
        auth.check_scope(request, "admin")
    elif settings.admin_token is not None:
        auth.require_bearer(request, settings.admin_token, "ADMIN_TOKEN")
    elif settings.environment != "local":
        raise Forbidden("this deployment has no ADMIN_TOKEN; its operators can set one")
    if cache := runner.cache:
        await cache.store.clear()
