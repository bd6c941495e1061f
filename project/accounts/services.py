"""The account services of one API process, opened after the fork and closed at its end."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loguru import logger
from sqlalchemy.ext.asyncio import AsyncEngine

from project.accounts.audit import audit
from project.accounts.authentication import Authenticator
from project.accounts.caller import Caller
from project.accounts.charge import Charge, limit_headers
from project.accounts.credentials import token_keys
from project.accounts.keys import ApiKeys
from project.accounts.limits import RateLimits
from project.accounts.mail import Mailer
from project.accounts.passwords import Passwords
from project.accounts.quota import MonthUsage, Quota
from project.accounts.rate_limit_fields import LimitState
from project.accounts.registration import Registration
from project.accounts.sign_in import SignIn
from project.accounts.tokens import AccessTokens
from project.db.job_transitions import JobTransitions
from project.db.usage import Usage
from project.db.users import Users
from project.observability import metrics
from project.settings import Settings

if TYPE_CHECKING:
    from project.accounts.oidc import OidcProvider


@dataclass(frozen=True)
class AccountServices:
    """What routes use where AUTH=keys."""

    settings: Settings
    engine: AsyncEngine
    rates: RateLimits
    quota: Quota
    users: Users
    authenticator: Authenticator
    sign_in: SignIn
    registration: Registration
    keys: ApiKeys

    def charge(self, caller: Caller) -> Charge:
        """One prediction of a caller, as a context manager around it."""
        return Charge(caller, self.rates, self.quota)

    async def take_rate(self, caller: Caller) -> LimitState | None:
        """Count a request of a caller that is charged later, or not at all.

        Raises RateLimited and LimitsUnavailable.
        """
        return await self.rates.take_caller(caller.user_id)

    def limit_headers(self, caller: Caller, rate: LimitState | None) -> dict[str, str]:
        """What a caller has left, for an answer. rate: of `take_rate`."""
        return limit_headers(caller, self.quota, rate)

    async def delete_user(self, user_id: str) -> None:
        """Delete a user at its own wish: its jobs are cancelled, and what is personal goes.

        Raises DatabaseUnavailable; then it can be called again.
        """
        for model in await JobTransitions(self.engine).cancel_of_user(user_id, time.time()):
            metrics.JOBS.labels(model, "cancelled").inc()  # a sweep of the workers settles it
        await self.users.delete(user_id, time.time())
        self.authenticator.forget(user_id)
        audit("user_deleted", actor=user_id, subject=user_id)

    async def month(self, caller: Caller) -> MonthUsage:
        """What the caller has used of this month, and what is left. Raises DatabaseUnavailable."""
        return await self.quota.month(caller.user_id, caller.quota)


@asynccontextmanager
async def _limits(
    settings: Settings, engine: AsyncEngine
) -> AsyncIterator[tuple[RateLimits, Quota]]:
    """The rates and the quota; what was used is written when the context closes."""
    rates, quota = RateLimits.of(settings), Quota(Usage(engine))
    flushing = asyncio.create_task(quota.flush_forever())
    try:
        yield rates, quota
    finally:
        flushing.cancel()
        await asyncio.wait([flushing])
        await quota.aclose()
        await rates.aclose()


@asynccontextmanager
async def open_account_services(
    settings: Settings, engine: AsyncEngine
) -> AsyncIterator[AccountServices]:
    """Open the services while the context is open, without connecting to anything yet.

    Raises ConfigurationError where TOKEN_KEYS or DOCUMENT_KEY is missing.
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
    provider = _provider(settings, users)
    authenticator = Authenticator(users, tokens, settings.monthly_quota, provider=provider)
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
        async with _limits(settings, engine) as (rates, quota):
            yield AccountServices(
                settings,
                engine,
                rates,
                quota,
                users,
                authenticator,
                sign_in,
                registration,
                keys,
            )
    finally:
        recording.cancel()
        await asyncio.wait([recording])
        await authenticator.flush_last_use()
        if mailer is not None:
            await mailer.aclose()
        if provider is not None:
            await provider.aclose()


def _provider(settings: Settings, users: Users) -> "OidcProvider | None":
    """The OpenID Connect provider, if there is one; its keys are loaded in the background."""
    if settings.oidc_issuer is None:
        return None
    from project.accounts.oidc import OidcProvider  # noqa: PLC0415 - only some have one
    from project.accounts.oidc_keys import ProviderKeys  # noqa: PLC0415

    keys = ProviderKeys(settings.oidc_issuer)
    keys.refresh()
    return OidcProvider(settings, users, keys)
