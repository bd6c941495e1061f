"""Reads and changes users, their API keys, refresh tokens and one-time tokens.

The caller passes the times, in seconds since 1970. Every method raises DatabaseUnavailable. Of
secrets the tables hold digests alone (SHA-256, hexadecimal), and of passwords Argon2id hashes.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from sqlalchemy import Executable, delete, exists, func, insert, literal, not_, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import aliased

from project.db.account_records import ApiKey, OneTimeToken, RefreshToken, User, tombstone
from project.db.engine import Rows, StatementRunner, translating
from project.db.tables import (
    ApiKeyRow,
    Base,
    OneTimeTokenRow,
    Purpose,
    RefreshTokenRow,
    UserRow,
)
from project.errors import AccountConflict

REPLACED = 0.0  # used_at of a refresh token that another one has replaced
TAKEN = "the e-mail, the username or the document is taken; choose another, or sign in"


class Users:
    """The accounts of one database. engine: of one that project/db/migrate.py has upgraded."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._statements = StatementRunner(engine)

    async def check(self) -> None:
        """Read at most one row, to see that the database answers and has every column."""
        await self._statements.rows(select(UserRow).limit(1))

    async def add(self, user: User) -> None:
        """Add a user. Raises AccountConflict where something unique is another's."""
        if not await self._insert(UserRow, vars(user)):
            raise AccountConflict(TAKEN)

    async def get(self, user_id: str) -> User | None:
        """The user with this id."""
        return await self._one_user(UserRow.id == user_id)

    async def find(self, login: str) -> User | None:
        """The user with this e-mail or username, in lower case."""
        return await self._one_user(or_(UserRow.email == login, UserRow.username == login))

    async def find_subject(self, issuer: str, subject: str) -> User | None:
        """The user that an OpenID Connect provider knows by this subject."""
        return await self._one_user((UserRow.issuer == issuer) & (UserRow.subject == subject))

    async def page(self, limit: int, before: str | None = None) -> list[User]:
        """The newest users, or those that are older than the one with the id `before`."""
        statement = select(UserRow).order_by(UserRow.id.desc()).limit(limit)
        if before is not None:
            statement = statement.where(UserRow.id < before)
        return [User(**row._asdict()) for row in await self._statements.rows(statement)]

    async def has_admin(self) -> bool:
        """Whether there is an administrator."""
        statement = select(UserRow.id).where(UserRow.role == "admin").limit(1)
        return bool(await self._statements.rows(statement))

    async def change(self, user_id: str, **values: object) -> User | None:
        """Change columns of a user; None where it does not exist. Raises AccountConflict."""
        statement = update(UserRow).where(UserRow.id == user_id).values(values).returning(UserRow)
        try:
            rows = await self._statements.rows(statement)
        except IntegrityError:  # its text has the values
            raise AccountConflict(TAKEN) from None
        return User(**rows[0]._asdict()) if rows else None

    async def demote(self, user_id: str, **values: object) -> User | None:
        """Change columns of a user; None where no active administrator would be left.

        Two administrators who demote each other lock the same rows in the same order, so that the
        second one finds itself demoted.
        """
        active = (UserRow.role == "admin") & UserRow.active
        admins = select(UserRow.id).where(active).order_by(UserRow.id).with_for_update()
        found = admins.cte("admins")
        others = exists().where(found.c.id != user_id)
        statement = update(UserRow).where(UserRow.id == user_id, or_(not_(active), others))
        rows = await self._statements.rows(statement.values(values).returning(UserRow))
        return User(**rows[0]._asdict()) if rows else None

    async def replace_hash(self, user_id: str, old: str, new: str) -> None:
        """Store a hash of the same password, unless the password was changed meanwhile."""
        same = (UserRow.id == user_id) & (UserRow.password_hash == old)
        await self._run(update(UserRow).where(same).values(password_hash=new), UserRow.id)

    async def delete(self, user_id: str, now: float) -> None:
        """Delete what is personal of a user, and its keys and tokens; it is disabled.

        Its quota and usage stay, and its subject at a provider: a new account of the same subject
        would begin with a whole quota, and without what an administrator decided.
        """
        name, user = tombstone(user_id), update(UserRow).where(UserRow.id == user_id)
        tables = (ApiKeyRow, OneTimeTokenRow, RefreshTokenRow)
        await self._transact(
            user.values(
                email=name,
                username=name,
                full_name="",
                password_hash=None,
                document=None,
                document_digest=None,
                active=False,
                signed_out_at=now,
            ),
            *(delete(table).where(table.user_id == user_id) for table in tables),
        )

    async def add_key(self, key: ApiKey) -> None:
        """Add an API key, unless its user has been disabled or deleted meanwhile."""
        columns = ApiKeyRow.__table__.c
        row = select(*(literal(value, columns[name].type) for name, value in vars(key).items()))
        active = row.where(UserRow.id == key.user_id, UserRow.active).with_for_update(read=True)
        await self._run(insert(ApiKeyRow).from_select(list(vars(key)), active), ApiKeyRow.id)

    async def keys_of(self, user_id: str) -> list[ApiKey]:
        """The keys of a user that are not revoked, the newest first."""
        statement = select(ApiKeyRow).where(
            ApiKeyRow.user_id == user_id, ApiKeyRow.revoked_at.is_(None)
        )
        rows = await self._statements.rows(statement.order_by(ApiKeyRow.id.desc()))
        return [ApiKey(**row._asdict()) for row in rows]

    async def count_keys(self, user_id: str) -> int:
        """The number of keys of a user, with those that are revoked or have expired."""
        statement = select(func.count()).where(ApiKeyRow.user_id == user_id)
        return int((await self._statements.rows(statement))[0][0])

    async def get_key(self, key_id: str) -> tuple[ApiKey, User] | None:
        """A key and its user, by one query."""
        key, user = ApiKeyRow.__table__.c, UserRow.__table__.c
        statement = select(*key, *user).where(key.id == key_id, user.id == key.user_id)
        rows = await self._statements.rows(statement)
        if not rows:
            return None
        values = tuple(rows[0])
        count = len(key)
        return (
            ApiKey(**dict(zip(key.keys(), values[:count], strict=True))),
            User(**dict(zip(user.keys(), values[count:], strict=True))),
        )

    async def revoke_key(self, key_id: str, user_id: str, now: float) -> bool:
        """Revoke a key of a user; False where it has no such key."""
        ours = (ApiKeyRow.id == key_id) & (ApiKeyRow.user_id == user_id)
        statement = update(ApiKeyRow).where(ours, ApiKeyRow.revoked_at.is_(None))
        return bool(await self._run(statement.values(revoked_at=now), ApiKeyRow.id))

    async def void_credentials(self, user_id: str, now: float) -> None:
        """Make every token and link of a user void, and revoke its keys, for a disabled one.

        It may be disabled because they were stolen; they stay void once it is enabled again.
        """
        await self.sign_out(user_id, now)
        await self.revoke_keys(user_id, now)

    async def revoke_keys(self, user_id: str, now: float) -> list[str]:
        """Revoke all keys of a user; returns the ids of those that were not."""
        ours = (ApiKeyRow.user_id == user_id) & ApiKeyRow.revoked_at.is_(None)
        revoked = await self._run(
            update(ApiKeyRow).where(ours).values(revoked_at=now), ApiKeyRow.id
        )
        return [row.id for row in revoked]

    async def delete_ended_keys(self, before: float, user_id: str | None = None) -> None:
        """Delete keys that were revoked or expired before then. user_id: whose; None: of all."""
        ended = or_(ApiKeyRow.revoked_at < before, ApiKeyRow.expires_at < before)
        statement = delete(ApiKeyRow).where(ended)
        if user_id is not None:
            statement = statement.where(ApiKeyRow.user_id == user_id)
        await self._run(statement, ApiKeyRow.id)

    async def delete_expired_refresh(self, now: float) -> None:
        """Delete refresh tokens that have expired, of users who do not come back too."""
        expired = delete(RefreshTokenRow).where(RefreshTokenRow.expires_at < now)
        await self._run(expired, RefreshTokenRow.id)

    async def touch_keys(self, key_ids: Iterable[str], now: float) -> None:
        """Note that these keys were used."""
        statement = update(ApiKeyRow).where(ApiKeyRow.id.in_(key_ids)).values(last_used_at=now)
        await self._run(statement, ApiKeyRow.id)

    async def add_refresh(self, token: RefreshToken, user: User) -> bool:
        """Add a refresh token of a user, and delete its expired ones.

        user: as it was before its password or its last token was checked. False where it has been
        signed out, disabled or deleted since: the new token would outlive that.
        """
        await self._delete_expired_refresh(token)
        columns = RefreshTokenRow.__table__.c
        values = {name: value for name, value in vars(token).items() if value is not None}
        row = select(*(literal(value, columns[name].type) for name, value in values.items()))
        unchanged = row.where(*_unchanged(user)).with_for_update(
            read=True
        )  # `sign_out` waits for the row, and then deletes it
        statement = insert(RefreshTokenRow).from_select(list(values), unchanged)
        return bool(await self._run(statement, RefreshTokenRow.id))

    async def renew_refresh(
        self, digest: str, successor: RefreshToken, user: User, grace_seconds: float
    ) -> bool:
        """Use up a refresh token and add its successor, in one transaction; False where it is void.

        A token that was used for less than grace_seconds, and whose successor was not, gets another
        one, as the answer may have been lost; the successor before counts as used long ago then.
        user: as `add_refresh` has it; its row is locked, so that renewals run one by one.
        """
        await self._delete_expired_refresh(successor)
        now, family = successor.created_at, RefreshTokenRow.family == successor.family
        lock = select(UserRow.id).where(*_unchanged(user)).with_for_update(key_share=True)
        later = aliased(RefreshTokenRow)
        recent = exists().where(
            RefreshTokenRow.digest == digest,
            RefreshTokenRow.used_at > now - grace_seconds,
            ~exists().where(
                later.family == RefreshTokenRow.family,
                later.id != RefreshTokenRow.id,
                later.used_at >= RefreshTokenRow.used_at,
            ),
        )
        unused = update(RefreshTokenRow).where(
            family,
            RefreshTokenRow.used_at.is_(None),
            RefreshTokenRow.revoked_at.is_(None),
        )
        with translating():
            async with self._engine.begin() as connection:

                async def rows(statement: Any) -> Rows:
                    return (await connection.execute(statement)).all()

                if not await rows(lock):
                    return False
                if await self.use_refresh(digest, now, rows) is None:
                    if not (await rows(select(recent)))[0][0]:
                        return False
                    void = unused.values(used_at=REPLACED).returning(RefreshTokenRow.id)
                    if not await rows(void):
                        return False
                await connection.execute(insert(RefreshTokenRow).values(vars(successor)))
        return True

    async def use_refresh(
        self, digest: str, now: float, rows: Callable[[Any], Awaitable[Rows]] | None = None
    ) -> RefreshToken | None:
        """Use up a valid refresh token; None for every other, and for all but the first call.

        A token is void too if another of its family is revoked, as it may have been added
        meanwhile, and if its user has signed out since. rows: runs a statement in a transaction;
        None: the statement is one of its own.
        """
        other = aliased(RefreshTokenRow)
        revoked = exists().where(
            other.family == RefreshTokenRow.family, other.revoked_at.is_not(None)
        )
        signed_out_at = select(func.coalesce(UserRow.signed_out_at, 0.0)).where(
            UserRow.id == RefreshTokenRow.user_id
        )
        statement = update(RefreshTokenRow).where(
            ~revoked,
            RefreshTokenRow.created_at > signed_out_at.scalar_subquery(),
            RefreshTokenRow.digest == digest,
            RefreshTokenRow.used_at.is_(None),
            RefreshTokenRow.revoked_at.is_(None),
            RefreshTokenRow.expires_at > now,
        )
        found = await (rows or self._statements.rows)(
            statement.values(used_at=now).returning(RefreshTokenRow)
        )
        return RefreshToken(**found[0]._asdict()) if found else None

    async def get_refresh(self, digest: str) -> RefreshToken | None:
        """The refresh token with this digest, whatever its state."""
        rows = await self._statements.rows(
            select(RefreshTokenRow).where(RefreshTokenRow.digest == digest)
        )
        return RefreshToken(**rows[0]._asdict()) if rows else None

    async def revoke_family(self, family: str, now: float) -> None:
        """Revoke every refresh token that followed from one sign-in."""
        statement = update(RefreshTokenRow).where(
            RefreshTokenRow.family == family, RefreshTokenRow.revoked_at.is_(None)
        )
        await self._run(statement.values(revoked_at=now), RefreshTokenRow.id)

    async def sign_out(self, user_id: str, now: float, **values: object) -> None:
        """Make every token of a user void that was issued before, and links to set a password.

        All of it or nothing. values: of columns that change with it.
        """
        user = update(UserRow).where(UserRow.id == user_id)
        await self._transact(
            user.values(signed_out_at=now, **values),  # first: `add_refresh` locks it too
            delete(OneTimeTokenRow).where(OneTimeTokenRow.user_id == user_id),
            delete(RefreshTokenRow).where(RefreshTokenRow.user_id == user_id),
        )

    async def add_one_time(self, token: OneTimeToken, now: float) -> None:
        """Add a one-time token, and delete those that have expired."""
        old = OneTimeTokenRow.expires_at < now
        await self._run(delete(OneTimeTokenRow).where(old), OneTimeTokenRow.id)
        await self._insert(OneTimeTokenRow, vars(token))

    async def has_link(self, user_id: str, expires_after: float) -> bool:
        """Whether a user has a link to set a password that expires after then."""
        statement = select(OneTimeTokenRow.id).where(
            OneTimeTokenRow.user_id == user_id,
            OneTimeTokenRow.purpose == "reset",
            OneTimeTokenRow.expires_at > expires_after,
        )
        return bool(await self._statements.rows(statement.limit(1)))

    async def use_one_time(self, purpose: Purpose, digest: str, now: float) -> OneTimeToken | None:
        """Use up a one-time token; None where it is unknown, used or expired."""
        statement = update(OneTimeTokenRow).where(
            OneTimeTokenRow.purpose == purpose,
            OneTimeTokenRow.digest == digest,
            OneTimeTokenRow.used_at.is_(None),
            OneTimeTokenRow.expires_at > now,
        )
        rows = await self._statements.rows(statement.values(used_at=now).returning(OneTimeTokenRow))
        return OneTimeToken(**rows[0]._asdict()) if rows else None

    async def restore_one_time(self, token_id: str) -> None:
        """Make a one-time token valid again, whose use has failed."""
        statement = update(OneTimeTokenRow).where(OneTimeTokenRow.id == token_id)
        await self._run(statement.values(used_at=None), OneTimeTokenRow.id)

    async def _delete_expired_refresh(self, token: RefreshToken) -> None:
        """Delete the tokens of a user that have expired when this one is created."""
        old = (RefreshTokenRow.user_id == token.user_id) & (
            RefreshTokenRow.expires_at < token.created_at
        )
        await self._run(delete(RefreshTokenRow).where(old), RefreshTokenRow.id)

    async def _one_user(self, where: Any) -> User | None:
        rows = await self._statements.rows(select(UserRow).where(where).limit(1))
        return User(**rows[0]._asdict()) if rows else None

    async def _insert(self, table: type[Base], values: Mapping[str, object]) -> bool:
        """Insert a row; False where a unique value has another row, or its user is deleted."""
        dialect = sqlite if self._statements.is_sqlite else postgresql
        statement = dialect.insert(table).values(**values).on_conflict_do_nothing()
        try:
            return bool(await self._run(statement, table.__table__.c[next(iter(values))]))
        except IntegrityError:
            return False

    async def _transact(self, *statements: Executable) -> None:
        """Run statements in one transaction."""
        with translating():
            async with self._engine.begin() as connection:
                for statement in statements:
                    await connection.execute(statement)

    async def _run(self, statement: Any, column: Any) -> list[Any]:
        return list(await self._statements.rows(statement.returning(column)))


def _unchanged(user: User) -> tuple[Any, ...]:
    """Conditions of a user that is neither signed out, disabled nor deleted since it was read."""
    same = UserRow.signed_out_at.is_not_distinct_from(user.signed_out_at)
    return UserRow.id == user.id, UserRow.active, same
