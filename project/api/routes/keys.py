"""/v1/users/me/keys: the API keys of the caller, who has to be signed in."""

from fastapi import APIRouter, Request

from project.api.accounts.schemas import CreatedKey, Keys, KeyView, NewKey
from project.api.auth import SignedInDep, confirm_caller
from project.api.dependencies import AccountsDep
from project.api.openapi import problem_responses
from project.api.routes.users import USERS, find_user
from project.db.records import is_id
from project.errors import KeyNotFound

DAY_SECONDS = 86_400.0

router = APIRouter(prefix=f"{USERS}/me/keys", tags=["accounts"])


@router.get("")
async def list_keys(caller: SignedInDep, accounts: AccountsDep) -> Keys:
    """One's own keys that are not revoked, the newest first."""
    keys = await accounts.users.keys_of(caller.user_id)
    return Keys(keys=[KeyView.of(key) for key in keys])


@router.post("", status_code=201, responses=problem_responses(400, 403, 404, 409, 422, 503))
async def create_key(
    request: Request, body: NewKey, caller: SignedInDep, accounts: AccountsDep
) -> CreatedKey:
    """Create a key, which is shown this once; it takes the password, as it outlives the token."""
    me, days = await find_user(caller.user_id, accounts), body.expires_in_days
    await confirm_caller(request, me, body.password, accounts)
    key, text = await accounts.keys.create(
        me,
        body.name,
        body.scopes,
        priority=body.priority,
        valid_seconds=None if days is None else days * DAY_SECONDS,
    )
    return CreatedKey.with_secret(key, text)


@router.delete("/{key_id}", status_code=204, responses=problem_responses(404))
async def revoke_key(key_id: str, caller: SignedInDep, accounts: AccountsDep) -> None:
    """Revoke a key; every process refuses it within five seconds."""
    if not is_id(key_id):
        raise KeyNotFound("there is no such key; GET /v1/users/me/keys lists yours")
    await accounts.keys.revoke(key_id, caller.user_id)
