"""WS /v1/models/{model}/stream: the live stream of every model that answers at once."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import cast

from fastapi import APIRouter, WebSocket
from loguru import logger
from starlette.exceptions import HTTPException
from starlette.websockets import WebSocketDisconnect

from project.accounts.authentication import Authenticator
from project.accounts.caller import Caller
from project.accounts.services import AccountServices
from project.api.auth import authenticate, caller_of, check_caller, token_of_socket
from project.api.requests.reader import unique_values
from project.api.state import State
from project.api.streams import messages
from project.api.streams.charges import StreamMinutes, charge_minutes
from project.api.streams.inputs import StreamInputs
from project.api.streams.messages import StreamLimits
from project.api.streams.origin import check_origin
from project.api.streams.session import (
    INTERNAL,
    LOST_CLIENT,
    RESTART,
    SEND_SECONDS,
    Counts,
    Ending,
    StreamSession,
    refusal,
)
from project.errors import DatabaseUnavailable, Forbidden, ProjectError, ProviderUnavailable
from project.models.base import AnyModel
from project.observability import metrics

PATH = "/v1/models/{model}/stream"
SUBPROTOCOL = "vitrine.v1"
MAX_NAME = 100  # characters of a header that are logged

router = APIRouter()


@router.websocket(PATH)
async def stream(socket: WebSocket, model: str) -> None:
    """Check who asks for what; then accept, and tell every refusal as a problem.

    A page learns nothing of a handshake that fails, so that only what no page of ours does is
    answered with plain HTTP: another origin, and an unknown model.
    """
    state = cast("State", socket.state)
    try:
        check_origin(socket.headers, state["settings"].cors_origins)
    except Forbidden:  # a proxy that changes Host is the usual reason, and both names show it
        seen = {name: socket.headers.get(name, "")[:MAX_NAME] for name in ("origin", "host")}
        logger.bind(handler=PATH, **seen).warning("stream_origin_refused")
        raise
    found = state["models"].get(model)
    if found is None or found.background:
        raise HTTPException(404)
    began = time.perf_counter()
    offered = socket.scope["subprotocols"]
    with suppress(OSError):  # the client has gone
        await socket.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
    counts = Counts()
    ending = Ending(RESTART, "restart", gone=True)  # if it is cancelled: the server cannot wait
    try:
        ending = await _serve(socket, found, state, counts)
        await _close(socket, ending)
    finally:
        metrics.STREAMS.labels(found.name, ending.outcome).inc()
        _log(socket, found, counts, ending, time.perf_counter() - began)


async def _serve(socket: WebSocket, model: AnyModel, state: State, counts: Counts) -> Ending:
    settings, runner, sessions = state["settings"], state["runner"], state["streams"]
    accounts = state["accounts"]
    limits = StreamLimits(
        settings.stream_frame_bytes,
        settings.stream_frames_per_second,
        settings.stream_idle_seconds,
    )
    try:
        token, caller = await _authenticate(socket, accounts)
        with sessions.admit(caller.user_id if caller else None):
            runner.queues[model.name].check_available()
            query = unique_values(socket.query_params.multi_items(), model.params)
            inputs = StreamInputs(model, settings.max_text_length, query)
            session = StreamSession(socket, model, runner, inputs, limits, counts)
            with sessions.serving(session):
                async with (
                    charge_minutes(accounts, caller, session) as minutes,
                    _checking_again(accounts, token, session, minutes),
                ):
                    return await session.serve()
    except ProjectError as error:
        return refusal(error)
    except (WebSocketDisconnect, TimeoutError):
        return LOST_CLIENT
    except Exception as error:  # noqa: BLE001 - else the connection ends without a close frame
        logger.opt(exception=error).bind(model=model.name).error("stream_failed")
        return Ending(INTERNAL, "error", error)


async def _authenticate(
    socket: WebSocket, accounts: AccountServices | None
) -> tuple[str, Caller | None]:
    """The token of a caller who may predict, and the caller; none with AUTH=off.

    Raises what `authenticate` raises, and Forbidden.
    """
    if accounts is None:
        return "", None
    caller = await authenticate(accounts, socket.scope, partial(token_of_socket, socket))
    socket.state.caller = caller
    check_caller(caller, "predict")
    return token_of_socket(socket), caller


@asynccontextmanager
async def _checking_again(
    accounts: AccountServices | None,
    token: str,
    session: StreamSession,
    minutes: StreamMinutes | None,
) -> AsyncIterator[None]:
    """End the session if its token is not valid any more, while the context is open.

    A session lasts for hours: without this, a revocation or another quota would not reach it.
    """
    if accounts is None or minutes is None:
        yield
        return
    task = asyncio.create_task(_check_again(accounts.authenticator, token, session, minutes))
    try:
        yield
    finally:
        task.cancel()


async def _check_again(
    authenticator: Authenticator, token: str, session: StreamSession, minutes: StreamMinutes
) -> None:
    while True:
        await asyncio.sleep(authenticator.cache_seconds)
        try:
            caller = await authenticator.authenticate(token)
            check_caller(caller, "predict")
            minutes.caller = caller
        except (
            DatabaseUnavailable,
            ProviderUnavailable,
        ):  # logged where it was raised; the session goes on
            continue
        except ProjectError as error:
            session.end(refusal(error))
            return


async def _close(socket: WebSocket, ending: Ending) -> None:
    """Tell why, and close; without waiting for a client that does not read."""
    if ending.gone:
        return
    with suppress(WebSocketDisconnect, OSError, RuntimeError, TimeoutError):
        async with asyncio.timeout(SEND_SECONDS):
            if ending.error is not None:
                await socket.send_text(messages.problem(ending.error))
            await socket.close(ending.code, ending.reason)


def _log(
    socket: WebSocket, model: AnyModel, counts: Counts, ending: Ending, seconds: float
) -> None:
    """Log the session by its template, as every request; neither path nor query is in the log."""
    client, caller = socket.client, caller_of(socket)
    user = {"user_id": caller.user_id} if caller else {}
    level = "WARNING" if ending.outcome == "error" else "INFO"
    logger.bind(
        handler=PATH,
        model=model.name,
        close_code=ending.code,
        outcome=ending.outcome,
        frames=counts.received,
        answered=counts.processed,
        dropped=counts.dropped,
        rejected=counts.rejected,
        duration_seconds=round(seconds, 6),
        bytes_in=counts.bytes_in,
        bytes_out=counts.bytes_out,
        client=client.host if client else None,
        **user,
    ).log(level, "stream_served")
