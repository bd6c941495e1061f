"""`keys`: an operator's commands for API keys, on the database itself."""

import time
from typing import Annotated, Literal

import typer

from project.accounts.audit import OPERATOR
from project.cli.accounts import Accounts, Login, with_accounts
from project.cli.output import plain
from project.errors import KeyNotFound

app = typer.Typer(no_args_is_help=True, help="Create and revoke API keys of users.")

DAY_SECONDS = 86_400.0


@app.command()
def create(
    login: Login,
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(help="predict, jobs, feedback or admin; repeatable. Default: predict."),
    ] = None,
    priority: Annotated[
        Literal["interactive", "batch"], typer.Option(help="batch is shed first.")
    ] = "interactive",
    days: Annotated[int, typer.Option(min=0, help="Days until it expires; 0: never.")] = 90,
) -> None:
    """Create a key, which is printed this once."""

    async def go(accounts: Accounts) -> str:
        _, text = await accounts.keys.create(
            await accounts.user(login),
            name,
            scope or ["predict"],
            priority=priority,
            valid_seconds=days * DAY_SECONDS if days else None,
            actor=OPERATOR,
        )
        return text

    typer.echo(with_accounts(go))


@app.command("list")
def list_keys(login: Login) -> None:
    """List the keys of a user that are not revoked."""

    async def go(accounts: Accounts) -> list[str]:
        user = await accounts.user(login)
        return [
            "  ".join(
                [
                    key.id,
                    ",".join(key.scopes),
                    key.priority,
                    f"expires {_day(key.expires_at)}",
                    f"used {_day(key.last_used_at)}",
                    key.name,
                ]
            )
            for key in await accounts.users.keys_of(user.id)
        ]

    for line in with_accounts(go):
        typer.echo(plain(line))


@app.command()
def revoke(key_id: Annotated[str, typer.Argument(metavar="ID", help="Id of a key.")]) -> None:
    """Revoke a key; every process refuses it within seconds."""

    async def go(accounts: Accounts) -> None:
        found = await accounts.users.get_key(key_id)
        if found is None:
            raise KeyNotFound("there is no such key; `keys list LOGIN` shows those of a user")
        await accounts.keys.revoke(key_id, found[1].id, actor=OPERATOR)

    with_accounts(go)


def _day(seconds: float | None) -> str:
    return "never" if seconds is None else time.strftime("%Y-%m-%d", time.gmtime(seconds))
