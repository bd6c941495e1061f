"""The API with accounts in the test's event loop: a real SQLite, users and keys without a hash."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from project.accounts.caller import ROLE_SCOPES
from project.accounts.registration import Profile
from project.accounts.services import AccountServices
from project.db.account_records import User
from project.db.records import new_id
from project.db.tables import Role
from project.settings import Settings
from tests.job_api import JobApi, job_api, job_settings

SECRET = "s" * 32
PASSWORD = "correct horse battery"
TOKENS, ME, KEYS = "/v1/tokens", "/v1/users/me", "/v1/users/me/keys"


def account_settings(folder: Path, **changes: Any) -> Settings:
    """Settings with accounts and jobs on; all data are in a folder."""
    fixed = {
        "auth": "keys",
        "token_keys": f"one:{SECRET}",
        "address_rate": "100000/minute",  # all tests come from one address
    }
    return job_settings(folder, **fixed | changes)


def bearer(token: str) -> dict[str, str]:
    """The header of a caller."""
    return {"Authorization": f"Bearer {token}"}


@dataclass
class AccountApi:
    """The API within its lifespan, with accounts."""

    api: JobApi
    settings: Settings

    @property
    def client(self) -> httpx2.AsyncClient:
        return self.api.client

    @property
    def accounts(self) -> AccountServices:
        accounts = self.api.state["accounts"]
        assert accounts is not None
        return accounts

    async def user(self, name: str = "ann", role: Role = "user", **changes: Any) -> User:
        """A user without a password."""
        now = time.time()
        fixed: dict[str, Any] = {
            "id": new_id(now),
            "email": f"{name}@example.org",
            "username": name,
            "full_name": f"{name.title()} Example",
            "password_hash": None,
            "role": role,
            "active": True,
            "document": None,
            "monthly_quota": None,
            "issuer": None,
            "subject": None,
            "signed_out_at": None,
            "created_at": now,
        }
        user = User(**fixed | changes)
        await self.accounts.users.add(user)
        return user

    async def registered(self, name: str = "ann", role: Role = "user") -> User:
        """A user with PASSWORD, which costs a hash."""
        profile = Profile(f"{name}@example.org", name, f"{name.title()} Example", PASSWORD)
        return await self.accounts.registration.create(profile, role)

    async def key(self, user: User, scopes: Sequence[str] | None = None, **changes: Any) -> str:
        """The text of a key; by default with all scopes that the user has."""
        chosen = sorted(ROLE_SCOPES[user.role]) if scopes is None else scopes
        return (await self.accounts.keys.create(user, "test", chosen, **changes))[1]

    def token(self, user: User) -> dict[str, str]:
        """The header of a user who is signed in."""
        return bearer(self.accounts.authenticator.tokens.issue(user.id))

    async def sign_in(self, login: str = "ann", password: str = PASSWORD) -> httpx2.Response:
        """The answer to the password form."""
        return await self.client.post(TOKENS, data={"username": login, "password": password})


@asynccontextmanager
async def account_api(folder: Path, **changes: Any) -> AsyncIterator[AccountApi]:
    """The API while the context is open."""
    settings = account_settings(folder, **changes)
    async with job_api(settings, folder) as api:
        yield AccountApi(api, settings)
