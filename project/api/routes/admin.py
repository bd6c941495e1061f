"""/v1/users and /v1/invitations for administrators: users, their rights and their keys."""

import time
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from project.accounts.audit import audit
from project.api.accounts.schemas import (
    Invitation,
    Keys,
    KeyView,
    NewInvitation,
    UserChange,
    UserPage,
    UserView,
)
from project.api.auth import UserDep, require
from project.api.dependencies import AccountsDep
from project.api.openapi import problem_responses
from project.api.routes.users import USERS, find_user
from project.db.records import ID_PATTERN, is_id
from project.errors import AccountConflict, KeyNotFound

MAX_LISTED = 100

router = APIRouter(tags=["administration"], dependencies=[require("admin")])


class UserListing(BaseModel):
    """Which users to list."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(20, ge=1, le=MAX_LISTED, description="Users on a page.")
    before: str | None = Field(
        None, pattern=ID_PATTERN, description="Id of a user: those that are older."
    )


@router.get(USERS, responses=problem_responses(422))
async def list_users(query: Annotated[UserListing, Query()], accounts: AccountsDep) -> UserPage:
    """All users, the newest first."""
    found = await accounts.users.page(query.limit + 1, query.before)
    users = found[: query.limit]
    more = len(found) > len(users)
    default = accounts.settings.monthly_quota
    return UserPage(
        users=[UserView.of(user, default) for user in users],
        next=f"{USERS}?limit={query.limit}&before={users[-1].id}" if more else None,
    )


@router.get(f"{USERS}/{{user_id}}", responses=problem_responses(404))
async def show_user(user_id: str, accounts: AccountsDep) -> UserView:
    """One user."""
    user = await find_user(user_id, accounts)
    return UserView.of(user, accounts.settings.monthly_quota)


@router.patch(f"{USERS}/{{user_id}}", responses=problem_responses(400, 404, 409, 422))
async def change_user(
    user_id: str, body: UserChange, caller: UserDep, accounts: AccountsDep
) -> UserView:
    """Disable or enable a user, change its role or its quota; it holds within five seconds.

    Tokens and keys of a disabled user stay void once it is enabled again.
    """
    user = await find_user(user_id, accounts)
    changes = body.model_dump(exclude_unset=True)
    nulls = {"active", "role"} & {name for name, value in changes.items() if value is None}
    changes = {name: value for name, value in changes.items() if name not in nulls}
    if user.id == caller.user_id and changes.keys() & {"active", "role"}:
        raise AccountConflict("you cannot disable yourself or change your own role; another can")
    if changes:
        demotes = changes.get("role") == "user" or changes.get("active") is False
        change = accounts.users.demote if demotes else accounts.users.change
        changed = await change(user.id, **changes)
        if changed is None:
            await find_user(user.id, accounts)  # raises where it was deleted meanwhile
            raise AccountConflict("this is the last administrator; give another user the role")
        user = changed
        if changes.get("active") is False:
            await accounts.users.void_credentials(user.id, time.time())
        accounts.authenticator.forget(user.id)
        audit("user_changed", actor=caller.user_id, subject=user.id, **changes)
    return UserView.of(user, accounts.settings.monthly_quota)


@router.get(f"{USERS}/{{user_id}}/keys", responses=problem_responses(404))
async def list_keys_of(user_id: str, accounts: AccountsDep) -> Keys:
    """The keys of a user that are not revoked, the newest first."""
    user = await find_user(user_id, accounts)
    return Keys(keys=[KeyView.of(key) for key in await accounts.users.keys_of(user.id)])


@router.delete(
    f"{USERS}/{{user_id}}/keys/{{key_id}}", status_code=204, responses=problem_responses(404)
)
async def revoke_key_of(user_id: str, key_id: str, caller: UserDep, accounts: AccountsDep) -> None:
    """Revoke a key of a user; every process refuses it within five seconds."""
    user = await find_user(user_id, accounts)
    if not is_id(key_id):
        raise KeyNotFound(f"there is no such key; GET {USERS}/{user.id}/keys lists the user's")
    await accounts.keys.revoke(key_id, user.id, actor=caller.user_id)


@router.post("/v1/invitations", status_code=201, responses=problem_responses(400, 422))
async def invite(body: NewInvitation, caller: UserDep, accounts: AccountsDep) -> Invitation:
    """Create an invitation, which is shown this once, and works once within a week."""
    return Invitation(invitation=await accounts.registration.invite(body.email, caller.user_id))
