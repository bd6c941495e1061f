"""What a prediction costs its caller: one request of the rate, and one prediction of the quota."""

from types import TracebackType
from typing import Self

from project.accounts.caller import Caller
from project.accounts.limits import RateLimits
from project.accounts.quota import Quota, Reservation
from project.accounts.rate_limit_fields import LimitState, rate_limit_fields


class Charge:
    """One prediction of a caller, from before it is made until it has succeeded or failed.

    An asynchronous context manager. Entering it raises RateLimited, QuotaExceeded,
    LimitsUnavailable or DatabaseUnavailable; an exception inside gives the prediction back.
    """

    __slots__ = ("_caller", "_quota", "_rate", "_rates", "_reservation")

    _reservation: Reservation

    def __init__(self, caller: Caller, rates: RateLimits, quota: Quota) -> None:
        self._caller = caller
        self._rates = rates
        self._quota = quota
        self._rate: LimitState | None = None

    async def __aenter__(self) -> Self:
        self._rate = await self._rates.take_caller(self._caller.user_id)
        self._reservation = await self._quota.reserve(self._caller.user_id, self._caller.quota)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._reservation.count()
        else:
            await self._reservation.give_back()

    @property
    def headers(self) -> dict[str, str]:
        """What is left, for the answer."""
        return limit_headers(self._caller, self._quota, self._rate)


def limit_headers(caller: Caller, quota: Quota, rate: LimitState | None) -> dict[str, str]:
    """The header fields of a caller's limits, as far as they are known.

    rate: None where its store did not answer.
    """
    known = [state for state in (quota.state(caller.user_id, caller.quota), rate) if state]
    return rate_limit_fields(known) if known else {}
