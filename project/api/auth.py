"""Authentication and authorization: from a request or a WebSocket to its caller and its rights.

With AUTH=keys the middleware lets nothing under /v1 through without a caller, except OPEN; each
route then checks the scope that it needs. With AUTH=off there is no caller, and nothing is checked.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Annotated, Any, cast

from fastapi import Depends, Request
from fastapi.routing import iter_route_contexts
from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from project.accounts.caller import Caller
from project.accounts.caller import Scope as Right
from project.accounts.refusal import refused
from project.accounts.services import AccountServices
from project.db.account_records import User
from project.errors import DatabaseUnavailable, Forbidden, ProjectError, Unauthorized
from project.observability.metrics import AUTH_REFUSALS, RATE_LIMIT_REFUSALS
from project.observability.scrape_auth import equals_token, may_scrape

PROTECTED = "/v1/"
OPEN = frozenset(  # method and path of what a client without an account may ask
    {
        ("POST", "/v1/users"),
        ("POST", "/v1/tokens"),
        ("POST", "/v1/tokens/refresh"),
        ("POST", "/v1/passwords/reset-requests"),
        ("POST", "/v1/passwords"),
    }
)
RENEWAL = ("POST", "/v1/tokens/refresh")  # counts for its session; what fails, for its address
PRIVATE = ("/v1/users", "/v1/tokens", "/v1/passwords", "/v1/invitations")  # no cache stores these
OPEN_FOLDER = "/v1/files/"  # its URLs are signed
SEND_TOKEN = "send the header `Authorization: Bearer` with an API key or a token"  # noqa: S105
BEARER_PROTOCOL = "vitrine.bearer."  # a subprotocol, as pages cannot send headers for a WebSocket

Answer = Callable[[Request, ProjectError], Awaitable[Response]]


class Authentication:
    """Middleware that sets the caller of each request under /v1, or answers 401.

    What needs no caller, and what fails here, counts against the rate of the client's address.
    No cache may store the answer of a route that has credentials or personal data.
    answer: turns an error into a response, and counts it.
    """

    def __init__(self, app: ASGIApp, answer: Answer) -> None:
        self._app = app
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; a WebSocket's route authenticates it, as it answers otherwise."""
        if scope["type"] == "http":
            accounts: AccountServices = scope["state"]["accounts"]
            route = scope["method"], _route_path(scope)
            if route[1].startswith(PRIVATE):
                send = partial(_send_not_stored, send)
            try:
                if needs_caller(*route):
                    authorization = Headers(scope=scope).get("authorization", "")
                    caller = await authenticate(
                        accounts, scope, partial(bearer_token, authorization)
                    )
                    scope["state"]["caller"] = caller
                elif route in OPEN and route != RENEWAL:
                    await accounts.rates.take_address(_address(scope), "sign-in")
            except ProjectError as error:
                _set_route(scope)
                response = await self._answer(Request(scope), error)
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)


async def _send_not_stored(send: Send, message: Message) -> None:
    """Send a part of a response that no cache may store (RFC 9111, section 5.2.2.5)."""
    if message["type"] == "http.response.start":
        message["headers"] = [*message.get("headers", ()), (b"cache-control", b"no-store")]
    await send(message)


def _route_path(scope: Scope) -> str:
    """The path that routes match: without the server's root_path."""
    path, prefix = scope["path"], scope.get("root_path")
    return str(path.removeprefix(prefix) if prefix else path)


async def authenticate(accounts: AccountServices, scope: Scope, token: Callable[[], str]) -> Caller:
    """The caller of a request or WebSocket. token: returns its token, or raises Unauthorized.

    A failure counts against the rate of the address; where that is used up, an unknown API key is
    refused without a query. Raises Unauthorized, RateLimited,
    LimitsUnavailable and DatabaseUnavailable.
    """
    try:
        text = token()
        refusal = accounts.rates.refusal_of(_address(scope))
        if refusal is not None and accounts.authenticator.is_unknown_key(text):
            RATE_LIMIT_REFUSALS.labels("address").inc()
            raise refusal
        return await accounts.authenticator.authenticate(text)
    except Unauthorized:
        await accounts.rates.take_address(_address(scope))
        raise


async def limit_password_attempts(request: Request, accounts: AccountServices) -> None:
    """Count a check of the current password as a sign-in: a stolen token must not guess it.

    Call it before the check. Raises RateLimited and LimitsUnavailable.
    """
    await accounts.rates.take_address(_address(request.scope), "sign-in")


async def confirm_caller(
    request: Request, user: User, password: str | None, accounts: AccountServices
) -> None:
    """Check that it is the user itself, and not somebody who has its token alone.

    Raises Forbidden, RateLimited and LimitsUnavailable.
    """
    await limit_password_attempts(request, accounts)
    caller = caller_of(request)
    issued_at = caller.issued_at if caller else None
    await accounts.registration.confirm(user, password, issued_at)


def _address(scope: Scope) -> str | None:
    client = scope.get("client")
    return client[0] if client else None


def needs_caller(method: str, path: str) -> bool:
    """Whether a request needs a caller, where accounts are on."""
    return (
        path.startswith(PROTECTED)
        and (method, path) not in OPEN
        and not path.startswith(OPEN_FOLDER)
    )


def bearer_token(authorization: str) -> str:
    """The token in an Authorization header. Raises Unauthorized."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() == "bearer" and token:
        return token.strip()
    reason = "malformed" if authorization else "missing"
    raise refused(reason, SEND_TOKEN)


def caller_of(connection: HTTPConnection) -> Caller | None:
    """The caller of a request; None with AUTH=off."""
    return cast("Caller | None", getattr(connection.state, "caller", None))


def check_scope(connection: HTTPConnection, right: Right) -> Caller | None:
    """The caller, if it has the scope; None with AUTH=off.

    Raises Forbidden, and Unauthorized for a route that the middleware does not protect, and counts
    the refusal.
    """
    caller = caller_of(connection)
    if caller is not None:
        check_caller(caller, right)
    elif getattr(connection.state, "accounts", None) is not None:
        raise refused("missing", SEND_TOKEN)
    return caller


async def while_valid(
    connection: HTTPConnection, right: Right, events: AsyncGenerator[str, None]
) -> AsyncGenerator[str, None]:
    """Pass events on until the token of the request is not valid any more, or loses the scope."""
    accounts: AccountServices | None = connection.state.accounts
    async with aclosing(events):
        async for event in events:
            if accounts is not None:
                token = bearer_token(connection.headers["authorization"])
                try:
                    check_caller(await accounts.authenticator.authenticate(token), right)
                except DatabaseUnavailable:  # logged where it was raised; the events go on
                    pass
                except ProjectError:
                    return
            yield event


def check_caller(caller: Caller, right: Right) -> None:
    """Raise Forbidden where the caller lacks a scope, and count the refusal."""
    try:
        caller.check(right)
    except Forbidden:
        AUTH_REFUSALS.labels("scope").inc()
        raise


def require(right: Right) -> Any:
    """The dependency of routes that need a scope; of a route without dependencies: check_scope."""

    async def check(request: Request) -> Caller | None:
        return check_scope(request, right)

    return Depends(check)


async def _caller(request: Request) -> Caller | None:
    return caller_of(request)


async def _user(request: Request) -> Caller:
    """The caller of a route that exists only where accounts are on."""
    caller = caller_of(request)
    if caller is None:
        raise Unauthorized("sign in, or send an API key")
    return caller


async def _signed_in(caller: "UserDep") -> Caller:
    """The caller by a token: no key may make other keys, or change what its user is."""
    if caller.key_id is not None:
        AUTH_REFUSALS.labels("scope").inc()
        raise Forbidden("an API key cannot do this: sign in at POST /v1/tokens")
    return caller


CallerDep = Annotated[Caller | None, Depends(_caller)]
UserDep = Annotated[Caller, Depends(_user)]
SignedInDep = Annotated[Caller, Depends(_signed_in)]


def token_of_socket(connection: HTTPConnection) -> str:
    """The token of a WebSocket: of its header, or of the subprotocol vitrine.bearer.TOKEN.

    Raises Unauthorized.
    """
    if authorization := connection.headers.get("authorization"):
        return bearer_token(authorization)
    for protocol in connection.scope["subprotocols"]:
        if protocol.startswith(BEARER_PROTOCOL):
            return cast("str", protocol).removeprefix(BEARER_PROTOCOL)
    raise refused(
        "missing", f"send a token as `Authorization: Bearer` or the subprotocol {BEARER_PROTOCOL}…"
    )


def _set_route(scope: Scope) -> None:
    """Name the route that the request was for, so that the log has its template."""
    for route in iter_route_contexts(scope["app"].routes):
        if route.matches(scope)[0] is Match.FULL:
            scope["route"] = route
            return


def require_bearer(request: Request, token: SecretStr, setting: str) -> None:
    """Raise Unauthorized unless the request carries the token as a bearer token.

    setting: the name of the token's setting, for the error's detail. HTTP Basic is not accepted:
    a browser adds stored credentials to each request, whichever page makes it, and these routes
    change something.
    """
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not equals_token(credentials.encode(), token):
        raise Unauthorized(f"send the header `Authorization: Bearer` with {setting}")


def require_scrape_token(request: Request, token: SecretStr) -> None:
    """Raise Unauthorized unless the request carries METRICS_TOKEN, in one of two ways."""
    if not may_scrape(request.headers.get("authorization", ""), token):
        raise Unauthorized(
            "send METRICS_TOKEN as `Authorization: Bearer`, or as the password of HTTP Basic"
        )
