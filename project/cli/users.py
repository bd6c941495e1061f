"""`users`: an operator's commands, on the database itself."""

import secrets
import sys
import time
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from project.accounts.audit import OPERATOR, audit
from project.cli.accounts import Accounts, Login, with_accounts
from project.cli.output import plain, print_error
from project.errors import ConfigurationError, UserNotFound
from project.settings.accounts import MAX_QUOTA

if TYPE_CHECKING:
    from project.db.account_records import User

app = typer.Typer(no_args_is_help=True, help="Create users and change what they may.")

PAGE = 100
PasswordFromStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password; default: generate one.")
]


@app.command()
def create(
    email: str,
    username: str,
    full_name: Annotated[str, typer.Argument(help='"First Last"')],
    role: Annotated[Literal["user", "admin"], typer.Option(help="What the user may do.")] = "user",
    document: Annotated[str | None, typer.Option(help="One of USER_DOCUMENT.")] = None,
    password_stdin: PasswordFromStdin = False,
) -> None:
    """Create a user; a generated password is printed once."""
    from project.accounts import fields  # noqa: PLC0415 - see __init__.py
    from project.accounts.registration import Profile  # noqa: PLC0415

    try:
        password = fields.password(_password(from_stdin=password_stdin))
        profile = Profile(
            fields.email(email),
            fields.username(username),
            fields.full_name(full_name),
            password,
            document,
        )
    except ValueError as error:
        print_error(str(error))
        raise typer.Exit(1) from None
    user = with_accounts(lambda given: given.registration.create(profile, role, actor=OPERATOR))
    typer.echo(user.id if password_stdin else f"{user.id}  {password}")


@app.command("list")
def list_users() -> None:
    """List all users, the newest first."""

    async def go(accounts: Accounts) -> "list[User]":
        users: list[User] = []
        while page := await accounts.users.page(PAGE, users[-1].id if users else None):
            users += page
        return users

    for user in with_accounts(go):
        quota = "default" if user.monthly_quota is None else user.monthly_quota
        state = "active" if user.active else "disabled"
        typer.echo(
            plain("  ".join([user.id, user.username, user.email, user.role, state, str(quota)]))
        )


@app.command()
def disable(login: Login) -> None:
    """Refuse whatever a user sends, within seconds; its tokens and keys are void for good."""

    async def go(accounts: Accounts) -> None:
        user = await accounts.user(login)
        await accounts.users.change(user.id, active=False)
        await accounts.users.void_credentials(user.id, time.time())
        audit("user_changed", actor=OPERATOR, subject=user.id, active=False)

    with_accounts(go)


@app.command()
def enable(login: Login) -> None:
    """Let a disabled user in again: it signs in, and needs new keys."""
    _change(login, active=True)


@app.command("set-role")
def set_role(login: Login, role: Literal["user", "admin"]) -> None:
    """Make a user an administrator, or the other way round."""
    _change(login, role=role)


@app.command("set-quota")
def set_quota(
    login: Login,
    quota: Annotated[
        int | None, typer.Argument(min=0, max=MAX_QUOTA, help="Default: MONTHLY_QUOTA.")
    ] = None,
) -> None:
    """Set how many predictions a user may make in a month."""
    _change(login, monthly_quota=quota)


@app.command()
def link(login: Login, subject: Annotated[str, typer.Argument(help="Of its tokens.")]) -> None:
    """Link a user to a subject of OIDC_ISSUER, whose tokens are then this user's."""

    async def go(accounts: Accounts) -> None:
        issuer = accounts.settings.oidc_issuer
        if issuer is None:
            raise ConfigurationError("OIDC_ISSUER: not set, so there is no provider to link to")
        user = await accounts.user(login)
        await accounts.users.change(user.id, issuer=issuer, subject=subject)
        audit("user_linked", actor=OPERATOR, subject=user.id)

    with_accounts(go)


@app.command()
def document(login: Login) -> None:
    """Print the document of a user, as KIND:NUMBER; the audit log has that it was."""
    from project.accounts.credentials import DocumentCipher  # noqa: PLC0415 - see __init__.py

    async def go(accounts: Accounts) -> str:
        user = await accounts.user(login)
        if user.document is None:
            raise UserNotFound("this user has given no document")
        text = DocumentCipher(accounts.settings).decrypt(user.document)
        if text is None:
            raise ConfigurationError("DOCUMENT_KEY: not the one that encrypted this document")
        audit("document_shown", actor=OPERATOR, subject=user.id)
        return text

    typer.echo(with_accounts(go))


@app.command("reset-password")
def reset_password(
    login: Login,
    password_stdin: PasswordFromStdin = False,
    keep_keys: Annotated[bool, typer.Option(help="Do not revoke the API keys.")] = False,
) -> None:
    """Set a new password, printed once where it is generated; tokens and API keys are void then."""
    from project.accounts import fields  # noqa: PLC0415 - see __init__.py

    try:
        password = fields.password(_password(from_stdin=password_stdin))
    except ValueError as error:
        print_error(str(error))
        raise typer.Exit(1) from None

    async def go(accounts: Accounts) -> None:
        user = await accounts.user(login)
        await accounts.registration.set_password(
            user.id, password, OPERATOR, revoke_keys=not keep_keys
        )

    with_accounts(go)
    if not password_stdin:
        typer.echo(password)


def _password(*, from_stdin: bool) -> str:
    return sys.stdin.readline().rstrip("\n") if from_stdin else secrets.token_urlsafe(16)


def _change(login: str, **changes: object) -> None:
    async def go(accounts: Accounts) -> None:
        user = await accounts.user(login)
        await accounts.users.change(user.id, **changes)
        audit("user_changed", actor=OPERATOR, subject=user.id, **changes)

    with_accounts(go)
