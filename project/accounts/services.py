"""The account services of one API process, opened after the fork and closed at its end."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from loguru import logger
from sqlalchemy.ext.asyncio import AsyncEngine

from project.accounts.authentication import Authenticator
from project.accounts.credentials import token_keys
from project.accounts.keys import ApiKeys
from project.accounts.mail import Mailer
from project.accounts.passwords import Passwords
from project.accounts.registration import Registration
from project.accounts.sign_in import SignIn
from project.accounts.tokens import AccessTokens
from project.db.users import Users
from project.observability import metrics
from project.settings import Settings


@dataclass(frozen=True)
class AccountServices:
    """What routes use where AUTH=keys."""

    settings: Settings
    engine: AsyncEngine
    users: Users
    authenticator: Authenticator
    sign_in: SignIn
    registration: Registration
    keys: ApiKeys


@asynccontextmanager
async def open_account_services(
    settings: Settings, engine: AsyncEngine
) -> AsyncIterator[AccountServices]:
    """Open the services while the context is open, without connecting to anything yet.

    Raises ConfigurationError where TOKEN_KEYS is not set and no key can be generated.
    """
    metrics.declare(accounts=True)
    users, passwords = Users(engine), Passwords()
    await passwords.prepare()
    tokens = AccessTokens(
        token_keys(settings),
        seconds=settings.access_token_seconds,
        encrypted=settings.token_encryption,
        clock=time.time,
    )
    authenticator = Authenticator(users, tokens, settings.monthly_quota)
    refresh_seconds = settings.refresh_token_seconds
    sign_in = SignIn(users, passwords, tokens, authenticator, refresh_seconds=refresh_seconds)
    mailer = Mailer(settings) if settings.smtp_url else None
    registration = Registration(settings, users, passwords, mailer)
    keys = ApiKeys(users, authenticator)
    recording = asyncio.create_task(authenticator.record_last_use())
    logger.bind(
        registration=settings.registration,
        monthly_quota=settings.monthly_quota,
        caller_rate=settings.caller_rate,
        address_rate=settings.address_rate,
        limits_fail=settings.limits_fail,
        user_jobs=settings.user_jobs,
    ).info("accounts_on")
    try:
        yield AccountServices(settings, engine, users, authenticator, sign_in, registration, keys)
    finally:
        recording.cancel()
        await asyncio.wait([recording])
        await authenticator.flush_last_use()
        if mailer is not None:
            await mailer.aclose()
