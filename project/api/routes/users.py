"""/v1/users and /v1/passwords: register, see and change oneself, set a new password."""

from fastapi import APIRouter, Request

from project.accounts.services import AccountServices
from project.api.accounts.schemas import (
    Deletion,
    KeyOwnView,
    NewUser,
    OwnView,
    PasswordChange,
    PasswordReset,
    ProfileChange,
    ResetRequest,
    UserView,
)
from project.api.auth import SignedInDep, UserDep, confirm_caller, limit_password_attempts
from project.api.dependencies import AccountsDep
from project.api.openapi import problem_responses
from project.db.account_records import User
from project.db.records import is_id
from project.errors import AccountConflict, UserNotFound

USERS = "/v1/users"

router = APIRouter(tags=["accounts"])


@router.post(USERS, status_code=201, responses=problem_responses(400, 403, 409, 422, 429, 503))
async def register(body: NewUser, accounts: AccountsDep) -> UserView:
    """Create an account, where REGISTRATION allows it."""
    return _view(await accounts.registration.register(body.profile(), body.invitation), accounts)


@router.get(f"{USERS}/me", responses=problem_responses(404))
async def show_me(caller: UserDep, accounts: AccountsDep) -> OwnView | KeyOwnView:
    """The caller's own account, and what it has used of this month; with a key nothing personal."""
    month = await accounts.month(caller)
    if caller.key_id is not None:
        scopes, quota = sorted(caller.scopes), caller.quota
        return KeyOwnView.of_month(month, id=caller.user_id, scopes=scopes, monthly_quota=quota)
    view = _view(await find_user(caller.user_id, accounts), accounts)
    return OwnView.of_month(month, **view.model_dump())


@router.patch(f"{USERS}/me", responses=problem_responses(400, 403, 404, 409, 422, 503))
async def change_me(
    request: Request, body: ProfileChange, caller: SignedInDep, accounts: AccountsDep
) -> UserView:
    """Change one's own e-mail, username or name; a key cannot, and an e-mail takes a password."""
    changes = body.model_dump(exclude_none=True, exclude={"password"})
    if "email" in changes:
        await limit_password_attempts(request, accounts)
    me = await find_user(caller.user_id, accounts)
    changed = await accounts.registration.change_profile(me, changes, body.password or "")
    return _view(changed, accounts)


@router.delete(
    f"{USERS}/me", status_code=204, responses=problem_responses(400, 403, 404, 409, 422, 503)
)
async def delete_me(
    request: Request, caller: SignedInDep, accounts: AccountsDep, body: Deletion | None = None
) -> None:
    """Delete one's own account with its keys; its jobs are cancelled, or administrators' alone.

    It takes the password, as a new e-mail does.
    """
    if caller.role == "admin":
        raise AccountConflict("an administrator stays: have another one take the role from you")
    me = await find_user(caller.user_id, accounts)
    await confirm_caller(request, me, body.password if body else None, accounts)
    await accounts.delete_user(caller.user_id)


@router.post(
    f"{USERS}/me/password", status_code=204, responses=problem_responses(400, 403, 404, 422, 503)
)
async def change_password(
    request: Request, body: PasswordChange, caller: SignedInDep, accounts: AccountsDep
) -> None:
    """Set a new password; every token is void then, keys stay."""
    await limit_password_attempts(request, accounts)
    me = await find_user(caller.user_id, accounts)
    await accounts.registration.change_password(me, body.current, body.new)
    accounts.authenticator.forget(me.id)


@router.post(
    "/v1/passwords/reset-requests",
    status_code=202,
    responses=problem_responses(400, 403, 422, 429, 503),
)
async def request_reset(body: ResetRequest, accounts: AccountsDep) -> None:
    """Mail a link that sets a new password; the answer is the same for an unknown e-mail."""
    accounts.registration.request_reset(body.email)


@router.post("/v1/passwords", status_code=204, responses=problem_responses(400, 403, 422, 429, 503))
async def reset_password(body: PasswordReset, accounts: AccountsDep) -> None:
    """Set a new password by the token of a link; every token and key of the user is void then."""
    user_id = await accounts.registration.reset(
        body.token, body.password, revoke_keys=body.revoke_keys
    )
    accounts.authenticator.forget(user_id)


async def find_user(user_id: str, accounts: AccountServices) -> User:
    """The user with this id. Raises UserNotFound, for a malformed id too."""
    user = await accounts.users.get(user_id) if is_id(user_id) else None
    if user is None:
        raise UserNotFound("there is no user of this id; GET /v1/users lists the existing ones")
    return user


def _view(user: User, accounts: AccountServices) -> UserView:
    return UserView.of(user, accounts.settings.monthly_quota)
