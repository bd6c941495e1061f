"""The caller of a request: its rights and its limits, and nothing personal."""

from dataclasses import dataclass
from typing import Literal, get_args

from project.db.records import Priority
from project.db.tables import Role
from project.errors import Forbidden

Scope = Literal["predict", "jobs", "feedback", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
ROLE_SCOPES: dict[Role, frozenset[Scope]] = {
    "user": frozenset(SCOPES) - {"admin"},
    "admin": frozenset(SCOPES),
}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sends a request.

    scopes: with an access token those of the role; with an API key those of the key that the role
    still has. quota: predictions a month. key_id: of the API key, if it was one. issued_at: of the
    access token, seconds since 1970.
    """

    user_id: str
    role: Role
    scopes: frozenset[Scope]
    quota: int
    priority: Priority = "interactive"
    key_id: str | None = None
    issued_at: float | None = None

    @property
    def is_admin(self) -> bool:
        """Whether it may see and change what belongs to others."""
        return "admin" in self.scopes

    def check(self, scope: Scope) -> None:
        """Raise Forbidden where the caller lacks a scope."""
        if scope not in self.scopes:
            raise Forbidden(
                f"this needs the scope {scope}: use a key that has it, or sign in as a user who may"
            )
