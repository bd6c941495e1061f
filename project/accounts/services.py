"""The account services of one API process, opened after the fork and closed at its end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from loguru import logger
from sqlalchemy.ext.asyncio import AsyncEngine

from project.observability import metrics
from project.settings import Settings


@dataclass(frozen=True)
class AccountServices:
    """What routes use where AUTH=keys."""

    settings: Settings
    engine: AsyncEngine


@asynccontextmanager
async def open_account_services(
    settings: Settings, engine: AsyncEngine
) -> AsyncIterator[AccountServices]:
    """Open the services while the context is open, without connecting to anything yet."""
    metrics.declare(accounts=True)
    logger.bind(
        registration=settings.registration,
        monthly_quota=settings.monthly_quota,
        caller_rate=settings.caller_rate,
        address_rate=settings.address_rate,
        limits_fail=settings.limits_fail,
    ).info("accounts_on")
    yield AccountServices(settings, engine)
