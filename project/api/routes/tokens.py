"""/v1/tokens: sign in, renew the access token, sign out."""

from typing import Annotated, Literal

from fastapi import APIRouter, Form, Request

from project.accounts.fields import MAX_EMAIL
from project.accounts.passwords import MAX_PASSWORD
from project.api.accounts.schemas import Refresh, SignOut, Tokens
from project.api.auth import SignedInDep
from project.api.dependencies import AccountsDep
from project.api.openapi import problem_responses
from project.errors import Unauthorized

TOKENS = "/v1/tokens"

router = APIRouter(prefix=TOKENS, tags=["accounts"])


@router.post("", responses=problem_responses(400, 401, 422, 429, 503))
async def sign_in(
    accounts: AccountsDep,
    username: Annotated[str, Form(max_length=MAX_EMAIL, description="Or the e-mail.")],
    password: Annotated[
        str, Form(max_length=MAX_PASSWORD, json_schema_extra={"format": "password"})
    ],
    grant_type: Annotated[Literal["password"], Form()] = "password",  # noqa: ARG001 - RFC 6749
) -> Tokens:
    """Sign in by the OAuth2 password form."""
    return Tokens.of(await accounts.sign_in.by_password(username, password))


@router.post("/refresh", responses=problem_responses(400, 401, 422, 429, 503))
async def renew(body: Refresh, accounts: AccountsDep, request: Request) -> Tokens:
    """Renew the access token; the refresh token works once, and brings the next."""
    try:
        pair = await accounts.sign_in.by_refresh(body.refresh_token, accounts.rates.take_renewal)
    except Unauthorized:
        await accounts.rates.take_address(request.client.host if request.client else None)
        raise
    return Tokens.of(pair)


@router.delete("", status_code=204, responses=problem_responses(400, 422))
async def sign_out(caller: SignedInDep, accounts: AccountsDep, body: SignOut | None = None) -> None:
    """Sign out; keys stay.

    Everywhere: every access and refresh token of the user is void. With a refresh token: those that
    followed from its sign-in are void; an access token of it stays valid to its end.
    """
    if body is None or body.refresh_token is None:
        await accounts.sign_in.out(caller.user_id)
    else:
        await accounts.sign_in.out_of_session(caller.user_id, body.refresh_token)
