"""The queries of accounts on SQLite and PostgreSQL: what holds when many do the same at once."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import event

from project.accounts.authentication import ENDED_KEY_SECONDS, Authenticator
from project.accounts.keys import MAX_KEYS, ApiKeys
from project.db.account_records import ApiKey, OneTimeToken, RefreshToken, User
from project.db.engine import open_database
from project.db.records import new_id
from project.db.users import Users
from project.errors import AccountConflict, DatabaseUnavailable
from project.settings import Settings
from tests.database import create_tables, database_settings, sqlite_url
from tests.services.postgres import Postgres, run_postgres
from tests.unit.test_authentication import USER

AT_ONCE = 20
NOW = 1e9


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with run_postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    if request.param == "sqlite":
        return database_settings(sqlite_url(tmp_path))
    return database_settings(request.getfixturevalue("postgres").new_database())


def run(settings: Settings, test: Callable[[Users], Awaitable[None]]) -> None:
    """Run a test on a database with one user."""

    async def go() -> None:
        await create_tables(settings)
        async with open_database(settings) as engine:
            users = Users(engine)
            await users.add(USER)
            await test(users)

    asyncio.run(go())


def user(name: str, **changes: object) -> User:
    fixed = {"id": new_id(time.time()), "email": f"{name}@example.org", "username": name}
    return replace(USER, **fixed | changes)


def key(key_id: str, **changes: object) -> ApiKey:
    fixed = ApiKey(
        id=key_id,
        user_id=USER.id,
        name="🐘 '; DROP TABLE users; --",
        digest="d",
        scopes=["predict", "jobs"],
        priority="batch",
        created_at=NOW,
        expires_at=None,
        revoked_at=None,
        last_used_at=None,
    )
    return replace(fixed, **changes)


def refresh(digest: str, **changes: object) -> RefreshToken:
    fixed = RefreshToken(new_id(NOW), "family", USER.id, digest, NOW, NOW + 100)
    return replace(fixed, **changes)


def test_a_user_is_found_changed_and_deleted(settings):
    """By id, e-mail, username and subject; what was stored comes back."""

    async def test(users: Users) -> None:
        provided = {"issuer": "https://login.example.org", "subject": "7", "monthly_quota": 5}
        other = user("bob", document="sealed", document_digest="digest", **provided)
        await users.add(other)
        assert await users.get(other.id) == other
        for login in ("bob", "bob@example.org"):
            assert await users.find(login) == other
        assert await users.find_subject("https://login.example.org", "7") == other
        assert await users.find("nobody") is None
        assert await users.page(1) == [other]
        assert await users.page(1, other.id) == [USER]
        assert not await users.has_admin()
        changed = await users.change(other.id, role="admin", monthly_quota=None)
        assert changed == replace(other, role="admin", monthly_quota=None)
        assert await users.has_admin()
        await users.replace_hash(other.id, "another", "new")
        assert (await users.get(other.id)).password_hash is None
        assert await users.change(new_id(NOW), role="user") is None
        await users.delete(other.id, NOW)
        left = await users.get(other.id)
        assert left.is_deleted
        for value in ("bob", "bob@example.org"):
            assert await users.find(value) is None
            assert value not in str(left)
        assert (left.active, left.signed_out_at, left.full_name) == (False, NOW, "")
        assert (left.document, left.document_digest) == (None, None)
        assert await users.find_subject("https://login.example.org", "7") == left
        await users.add(user("bob"))
        await users.delete(USER.id, NOW)  # no two tombstones are the same

    run(settings, test)


@pytest.mark.parametrize(
    "taken",
    [
        {"email": USER.email},
        {"username": USER.username},
        {"issuer": "https://login.example.org", "subject": "7"},
    ],
)
def test_a_name_has_one_user_however_many_want_it_at_once(settings, taken):
    """Adding and changing."""

    async def test(users: Users) -> None:
        await users.change(USER.id, issuer="https://login.example.org", subject="7")
        adding = [users.add(user(f"u{n}", **taken)) for n in range(AT_ONCE)]
        ends = await asyncio.gather(*adding, return_exceptions=True)
        assert {type(end) for end in ends} == {AccountConflict}
        other = user("bob")
        await users.add(other)
        with pytest.raises(AccountConflict):
            await users.change(other.id, **taken)
        assert await users.get(other.id) == other

    run(settings, test)


def test_keys_are_of_their_user_and_are_deleted_with_it(settings):
    """Found with it by one query; revoked once, by their user alone."""

    async def test(users: Users) -> None:
        one, two = key("1" * 32), key("2" * 32)
        await users.add_key(one)
        await users.add_key(two)
        assert await users.get_key(one.id) == (one, USER)
        assert await users.keys_of(USER.id) == [two, one]
        assert await users.count_keys(USER.id) == 2
        await users.touch_keys({one.id}, NOW + 1)
        assert not await users.revoke_key(one.id, "another", NOW)
        assert await users.revoke_key(one.id, USER.id, NOW + 2)
        assert not await users.revoke_key(one.id, USER.id, NOW + 3)
        found = await users.get_key(one.id)
        assert found[0] == replace(one, last_used_at=NOW + 1, revoked_at=NOW + 2)
        assert await users.keys_of(USER.id) == [two]
        await users.delete(USER.id, NOW)
        assert await users.get_key(two.id) is None
        await users.add_key(key("3" * 32))  # it was under way
        assert await users.get_key("3" * 32) is None
        await users.add_refresh(refresh("late"), USER)
        assert await users.get_refresh("late") is None

    run(settings, test)


def test_a_refresh_token_is_used_by_one_of_many(settings):
    """And by none once it has expired, is revoked, or another of its family is."""

    async def test(users: Users) -> None:
        await users.add_refresh(refresh("a"), USER)
        uses = await asyncio.gather(*(users.use_refresh("a", NOW) for _ in range(AT_ONCE)))
        assert [use.digest for use in uses if use] == ["a"]
        assert (await users.get_refresh("a")).used_at == NOW
        await users.add_refresh(refresh("b", expires_at=NOW + 1), USER)
        assert await users.use_refresh("b", NOW + 1) is None
        await users.revoke_family("family", NOW)
        await users.add_refresh(refresh("late"), USER)  # it was under way
        assert await users.use_refresh("late", NOW) is None
        await users.add_refresh(refresh("other", family="other"), USER)
        assert await users.use_refresh("other", NOW)
        await users.add_refresh(refresh("next", family="third"), USER)
        await users.sign_out(USER.id, NOW + 5)
        assert await users.use_refresh("next", NOW) is None
        assert (await users.get(USER.id)).signed_out_at == NOW + 5
        link = OneTimeToken(new_id(NOW), "reset", USER.id, None, "link", NOW + 100)
        await users.add_one_time(link, NOW)
        await users.sign_out(USER.id, NOW + 6)
        assert await users.use_one_time("reset", "link", NOW) is None

    run(settings, test)


def test_a_used_refresh_token_has_one_successor_that_was_not_used(settings):
    """However many renew it at once; a sign-out meanwhile leaves none."""

    async def test(users: Users) -> None:
        def renew(digest: str, successor: str, *, after: float = 0.0) -> Awaitable[bool]:
            token = refresh(successor, created_at=NOW + after)
            return users.renew_refresh(digest, token, USER, 10.0)

        await users.add_refresh(refresh("a"), USER)
        names = [f"b{n}" for n in range(AT_ONCE)]
        assert await asyncio.gather(*(renew("a", name) for name in names)) == [True] * AT_ONCE
        found = {name: await users.get_refresh(name) for name in names}
        (kept,) = [name for name, token in found.items() if token.used_at is None]
        assert not await renew("a", "late", after=10.0)
        assert await renew(kept, "c")
        assert not await renew("a", "d")  # its successor was used
        leaving = [users.sign_out(USER.id, NOW + 1), *(renew("c", f"d{n}") for n in range(AT_ONCE))]
        await asyncio.gather(*leaving)
        assert [await users.get_refresh(f"d{n}") for n in range(AT_ONCE)] == [None] * AT_ONCE
        assert not await renew("c", "e")

    run(settings, test)


@pytest.mark.parametrize("change", [{"signed_out_at": NOW}, {"active": False}])
def test_a_refresh_token_is_not_added_to_a_user_that_is_signed_out_or_disabled_since(
    settings, change
):
    """Its password was checked before that, which takes a while."""

    async def test(users: Users) -> None:
        assert await users.add_refresh(refresh("before"), USER)
        changed = await users.change(USER.id, **change)
        assert not await users.add_refresh(refresh("late"), USER)
        assert await users.get_refresh("late") is None
        assert await users.add_refresh(refresh("after"), changed) == changed.active

    run(settings, test)


def test_a_sign_out_leaves_no_refresh_token_that_is_added_meanwhile(settings):
    """Of those that are added at once, each is refused or deleted."""

    async def test(users: Users) -> None:
        adding = [users.add_refresh(refresh(f"t{n}"), USER) for n in range(AT_ONCE)]
        adding.insert(AT_ONCE // 2, users.sign_out(USER.id, NOW, password_hash="new"))
        await asyncio.gather(*adding)
        found = [await users.get_refresh(f"t{n}") for n in range(AT_ONCE)]
        assert found == [None] * AT_ONCE
        assert (await users.get(USER.id)).password_hash == "new"

    run(settings, test)


@pytest.mark.parametrize("table", ["one_time_tokens", "refresh_tokens"])
def test_a_sign_out_that_fails_in_the_middle_changes_nothing(settings, table):
    """A new password is not stored while the tokens of the old one stay."""

    async def go() -> None:
        async with open_database(settings) as engine:

            def fail(_connection, _cursor, statement: str, *_: object) -> None:
                if statement.startswith(f"DELETE FROM {table}"):
                    raise ConnectionResetError

            users = Users(engine)
            await users.add(USER)
            await users.add_refresh(refresh("mine"), USER)
            event.listen(engine.sync_engine, "before_cursor_execute", fail)
            with pytest.raises(DatabaseUnavailable):
                await users.sign_out(USER.id, NOW, password_hash="new")
            event.remove(engine.sync_engine, "before_cursor_execute", fail)
            assert await users.get(USER.id) == USER
            assert await users.use_refresh("mine", NOW)

    asyncio.run(create_tables(settings))
    asyncio.run(go())


def test_a_refresh_token_of_before_a_sign_out_is_void(settings):
    """Wherever it comes from: its row may have been restored from a backup."""

    async def test(users: Users) -> None:
        await users.add_refresh(refresh("before"), USER)
        later = await users.change(USER.id, signed_out_at=NOW + 1)
        assert await users.use_refresh("before", NOW + 2) is None
        await users.add_refresh(refresh("after", created_at=NOW + 2), later)
        assert await users.use_refresh("after", NOW + 2)

    run(settings, test)


def test_of_administrators_that_demote_each_other_at_once_one_stays(settings):
    """Whoever is the first; a user who is none can be changed at any time."""

    async def test(users: Users) -> None:
        for n in range(AT_ONCE):
            pair = [user(f"a{n}", role="admin"), user(f"b{n}", role="admin")]
            for admin in pair:
                await users.add(admin)
            changes = ({"active": False}, {"role": "user"})
            demoting = [
                users.demote(admin.id, **change)
                for admin, change in zip(pair, changes, strict=True)
            ]
            demoted = [one for one in await asyncio.gather(*demoting) if one]
            assert len(demoted) == 1
            (left,) = {admin.id for admin in pair} - {demoted[0].id}
            assert await users.demote(left, role="user") is None
            assert (await users.demote(USER.id, active=False)).active is False
            await users.change(left, active=False)

    run(settings, test)


def test_expired_tokens_are_deleted_when_others_are_added(settings):
    """So that the tables do not grow with the years."""

    async def test(users: Users) -> None:
        await users.add_refresh(refresh("old"), USER)
        await users.add_refresh(refresh("new", created_at=NOW + 200, expires_at=NOW + 300), USER)
        assert await users.get_refresh("old") is None
        old = OneTimeToken(new_id(NOW), "reset", USER.id, None, "old", NOW + 1)
        await users.add_one_time(old, NOW)
        assert await users.has_link(USER.id, NOW)
        assert not await users.has_link(USER.id, NOW + 1)
        await users.add_one_time(replace(old, id=new_id(NOW), digest="new"), NOW + 2)
        assert await users.use_one_time("reset", "old", NOW) is None

    run(settings, test)


def test_what_has_ended_is_deleted_without_its_user(settings):
    """Keys some days after their end, refresh tokens at it; what is valid stays."""

    async def test(users: Users) -> None:
        for number, ended in enumerate(
            [{}, {"expires_at": NOW + 1}, {"revoked_at": NOW + 1}, {"expires_at": NOW + 10**9}]
        ):
            await users.add_key(key(str(number) * 32, **ended))
        await users.add_refresh(refresh("old"), USER)
        await users.add_refresh(refresh("new", expires_at=NOW + 10**9), USER)
        clock = NOW + 1000
        authenticator = Authenticator(users, None, 10, clock=lambda: clock)
        await authenticator.delete_ended()
        assert await users.get_refresh("old") is None
        assert await users.get_refresh("new")
        assert await users.count_keys(USER.id) == 4
        clock += ENDED_KEY_SECONDS
        await authenticator.delete_ended()
        assert [one.id for one in await users.keys_of(USER.id)] == ["3" * 32, "0" * 32]
        assert await users.count_keys(USER.id) == 2

    run(settings, test)


def test_keys_that_are_made_and_revoked_do_not_fill_the_table(settings):
    """A user has so many rows at most; those that have ended make room."""

    async def test(users: Users) -> None:
        keys = ApiKeys(users, clock=lambda: NOW)
        first, _ = await keys.create(USER, "stays", ["predict"])
        for _ in range(MAX_KEYS + 5):
            made, _ = await keys.create(USER, "goes", ["predict"])
            await users.revoke_key(made.id, USER.id, NOW - 1)
        assert await users.count_keys(USER.id) <= MAX_KEYS
        assert [one.id for one in await users.keys_of(USER.id)] == [first.id]
        for _ in range(MAX_KEYS - 1):
            await keys.create(USER, "stays", ["predict"])
        with pytest.raises(AccountConflict):
            await keys.create(USER, "too many", ["predict"])

    run(settings, test)


def test_a_one_time_token_works_for_one_of_many_and_its_purpose_alone(settings):
    """It can be made valid again where its use has failed."""

    async def test(users: Users) -> None:
        token = OneTimeToken(new_id(NOW), "invitation", None, "x@example.org", "d", NOW + 1)
        await users.add_one_time(token, NOW)
        assert await users.use_one_time("reset", "d", NOW) is None
        assert await users.use_one_time("invitation", "d", NOW + 1) is None
        asked = [users.use_one_time("invitation", "d", NOW) for _ in range(AT_ONCE)]
        (used,) = [one for one in await asyncio.gather(*asked) if one]
        assert used == replace(token, used_at=NOW)
        await users.restore_one_time(token.id)
        assert await users.use_one_time("invitation", "d", NOW)

    run(settings, test)
