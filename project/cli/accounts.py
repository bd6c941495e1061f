"""What `users` and `keys` share: the accounts in the database itself, for operators."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from project.cli.output import fail
from project.errors import ProjectError, UserNotFound
from project.observability.logging import configure_logging
from project.settings import Settings
from project.settings.loading import load_settings

if TYPE_CHECKING:
    from project.accounts.keys import ApiKeys
    from project.accounts.registration import Registration
    from project.db.account_records import User
    from project.db.users import Users

Login = Annotated[str, typer.Argument(metavar="LOGIN", help="E-mail or username.")]


@dataclass(frozen=True)
class Accounts:
    """The accounts of the database that DATABASE_URL names."""

    settings: Settings
    users: "Users"
    registration: "Registration"
    keys: "ApiKeys"

    async def user(self, login: str) -> "User":
        """The user with this e-mail or username. Raises UserNotFound."""
        found = await self.users.find(login.lower())
        if found is None:
            raise UserNotFound("there is no such user; `users list` shows all")
        return found


def with_accounts(go: Callable[[Accounts], Awaitable[Any]]) -> Any:
    """The result of `go` with the accounts; an error is printed, and exits with 1."""

    async def main() -> Any:
        from project.accounts.keys import ApiKeys  # noqa: PLC0415 - see __init__.py
        from project.accounts.passwords import Passwords  # noqa: PLC0415
        from project.accounts.registration import Registration  # noqa: PLC0415
        from project.db.engine import open_database  # noqa: PLC0415
        from project.db.users import Users  # noqa: PLC0415

        settings = load_settings()
        configure_logging(settings, to_stderr=True)
        async with open_database(settings) as engine:
            users = Users(engine)
            registration = Registration(settings, users, Passwords(), None)
            return await go(Accounts(settings, users, registration, ApiKeys(users)))

    try:
        return asyncio.run(main())
    except ProjectError as error:
        fail(error)
