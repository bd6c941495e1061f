"""The authentication of requests: its cache, its cost, and what a database that is away means."""

import asyncio
import statistics
import time
from dataclasses import replace
from pathlib import Path

import pytest

from project.accounts.authentication import (
    CACHE_SECONDS,
    MAX_CACHED,
    OUTAGE_SECONDS,
    Authenticator,
)
from project.accounts.credentials import digest, new_secret
from project.accounts.first_administrator import ensure_administrator
from project.accounts.limits import RateLimits
from project.accounts.tokens import AccessTokens
from project.api.auth import Authentication
from project.db.account_records import ApiKey, User
from project.db.engine import open_database
from project.db.records import new_id
from project.db.users import Users
from project.errors import ConfigurationError, DatabaseUnavailable, Unauthorized
from tests.conftest import make_settings
from tests.database import create_tables, sqlite_url

pytestmark = pytest.mark.anyio

NOW = 1e9
MAX_MICROSECONDS = 60
USER = User(
    id=new_id(NOW),
    email="ann@example.org",
    username="ann",
    full_name="Ann Example",
    password_hash=None,
    role="user",
    active=True,
    document=None,
    monthly_quota=None,
    issuer=None,
    subject=None,
    signed_out_at=None,
    created_at=NOW,
)
KEY_ID = new_id(NOW)
TEXT = new_secret(KEY_ID)
KEY = ApiKey(
    id=KEY_ID,
    user_id=USER.id,
    name="camera",
    digest=digest(TEXT),
    scopes=["predict"],
    priority="interactive",
    created_at=NOW,
    expires_at=None,
    revoked_at=None,
    last_used_at=None,
)


class FakeUsers(Users):
    """One user with one key; it counts the queries."""

    def __init__(self) -> None:
        self.user: User | None = USER
        self.key = KEY
        self.queries = 0
        self.error: Exception | None = None
        self.touched: list[set[str]] = []

    async def get(self, user_id: str) -> User | None:
        self.queries += 1
        await asyncio.sleep(0)  # as a query does: other requests run meanwhile
        if self.error:
            raise self.error
        return self.user

    async def get_key(self, key_id: str) -> tuple[ApiKey, User] | None:
        user = await self.get(USER.id)
        return (self.key, user) if user and key_id == KEY_ID else None

    async def touch_keys(self, key_ids, now) -> None:
        if self.error:
            raise self.error
        self.touched.append(set(key_ids))


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def users() -> FakeUsers:
    return FakeUsers()


@pytest.fixture
def tokens(clock: Clock) -> AccessTokens:
    return AccessTokens([("one", b"s" * 32)], seconds=60, encrypted=False, clock=clock)


@pytest.fixture
def authenticator(users: FakeUsers, tokens: AccessTokens, clock: Clock) -> Authenticator:
    return Authenticator(users, tokens, 10, clock=clock)


async def test_a_request_costs_no_query_in_the_usual_case(authenticator, users, clock):
    """One query in CACHE_SECONDS, for a key as for a token."""
    for token in (TEXT, authenticator.tokens.issue(USER.id)):
        users.queries = 0
        for _ in range(10):
            assert (await authenticator.authenticate(token)).user_id == USER.id
        assert users.queries == 1
        clock.now += CACHE_SECONDS
        await authenticator.authenticate(token)
        assert users.queries == 2


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"revoked_at": NOW}, "revoked"),
        ({"expires_at": NOW + 1}, "expired"),
        ({"digest": "0" * 64}, "not valid"),
    ],
)
async def test_a_change_of_a_key_holds_when_the_cache_lapses(
    authenticator, users, clock, change, reason
):
    """Wherever it was made."""
    await authenticator.authenticate(TEXT)
    users.key = replace(KEY, **change)
    await authenticator.authenticate(TEXT)
    clock.now += CACHE_SECONDS
    with pytest.raises(Unauthorized, match=reason):
        await authenticator.authenticate(TEXT)


async def test_a_key_is_not_cached_beyond_its_expiry(authenticator, users, clock):
    """Nor a token."""
    users.key = replace(KEY, expires_at=NOW + 1)
    await authenticator.authenticate(TEXT)
    clock.now += 1
    with pytest.raises(Unauthorized, match="expired"):
        await authenticator.authenticate(TEXT)


@pytest.mark.parametrize(
    "change", [None, {"active": False}, {"signed_out_at": NOW}, {"signed_out_at": NOW + 1}]
)
async def test_a_user_that_is_gone_disabled_or_signed_out_has_no_valid_token(
    authenticator, users, tokens, change
):
    """A token that was issued after it is another matter."""
    token = tokens.issue(USER.id)
    users.user = change and replace(USER, **change)
    with pytest.raises(Unauthorized):
        await authenticator.authenticate(token)
    users.user = replace(USER, signed_out_at=NOW - 0.001)
    assert (await authenticator.authenticate(token)).quota == 10


async def test_refused_tokens_are_not_cached(authenticator, users):
    """Else a flood of them would push the callers out; a key that is made is known at once."""
    with pytest.raises(Unauthorized):
        await authenticator.authenticate(TEXT[:-1] + "~")
    assert authenticator._cached == {}


async def test_the_cache_is_bounded(authenticator, tokens):
    """By the number of callers."""
    caller = await authenticator.authenticate(TEXT)
    authenticator._cached = {bytes([n % 256, n // 256]): (1e10, caller) for n in range(MAX_CACHED)}
    await authenticator.authenticate(tokens.issue(USER.id))
    assert len(authenticator._cached) == 1


async def test_a_database_that_is_away_is_a_503_and_no_401(authenticator, users):
    """A client must not take it for a wrong key. The last use is not recorded, and that is all."""
    await authenticator.authenticate(TEXT)
    users.error = DatabaseUnavailable("the database does not answer; try again")
    assert await authenticator.authenticate(TEXT)
    await authenticator.flush_last_use()
    authenticator.forget(USER.id)
    with pytest.raises(DatabaseUnavailable):
        await authenticator.authenticate(TEXT)


async def test_a_known_caller_is_served_for_a_minute_without_the_database(
    authenticator, users, clock
):
    """Nothing can be revoked meanwhile; one query in CACHE_SECONDS finds out whether it is back."""
    await authenticator.authenticate(TEXT)
    users.error, users.queries = DatabaseUnavailable("the database does not answer; try again"), 0
    while clock.now + CACHE_SECONDS < NOW + OUTAGE_SECONDS:
        clock.now += CACHE_SECONDS
        for _ in range(10):
            assert (await authenticator.authenticate(TEXT)).user_id == USER.id
    assert users.queries == OUTAGE_SECONDS / CACHE_SECONDS - 1
    clock.now = NOW + OUTAGE_SECONDS
    for _ in range(2):
        with pytest.raises(DatabaseUnavailable):
            await authenticator.authenticate(TEXT)
    users.error, users.key = None, replace(KEY, revoked_at=clock.now)
    with pytest.raises(Unauthorized, match="revoked"):
        await authenticator.authenticate(TEXT)
    users.error = DatabaseUnavailable("the database does not answer; try again")
    with pytest.raises(DatabaseUnavailable):
        await authenticator.authenticate(TEXT)


async def test_a_key_does_not_outlive_its_expiry_without_the_database(authenticator, users, clock):
    """Its expiry is known."""
    users.key = replace(KEY, expires_at=NOW + 20)
    await authenticator.authenticate(TEXT)
    users.error = DatabaseUnavailable("the database does not answer; try again")
    clock.now += 19
    assert await authenticator.authenticate(TEXT)
    clock.now += 1
    with pytest.raises(DatabaseUnavailable):
        await authenticator.authenticate(TEXT)


async def test_only_one_request_of_a_caller_waits_for_a_database_that_hangs(
    authenticator, users, clock
):
    """The others are served with what is known."""
    await authenticator.authenticate(TEXT)
    clock.now += CACHE_SECONDS
    users.error = DatabaseUnavailable("the database does not answer; try again")
    await authenticator.authenticate(TEXT)
    users.error = None
    clock.now += CACHE_SECONDS
    answers, get_key = asyncio.Event(), users.get_key

    async def hang(key_id):
        await answers.wait()
        return await get_key(key_id)

    users.get_key = hang
    waiting = asyncio.create_task(authenticator.authenticate(TEXT))
    await asyncio.sleep(0)  # it asks
    assert (await authenticator.authenticate(TEXT)).user_id == USER.id
    assert not waiting.done()
    users.key = replace(KEY, revoked_at=clock.now)
    answers.set()
    with pytest.raises(Unauthorized, match="revoked"):
        await waiting
    with pytest.raises(Unauthorized, match="revoked"):
        await authenticator.authenticate(TEXT)


async def test_a_database_that_answers_is_waited_for(authenticator, users, clock):
    """Of two requests at once, neither is served with what was known long ago."""
    await authenticator.authenticate(TEXT)
    clock.now += OUTAGE_SECONDS - 1
    users.key = replace(KEY, revoked_at=clock.now)
    found = await asyncio.gather(
        *(authenticator.authenticate(TEXT) for _ in range(2)), return_exceptions=True
    )
    assert [type(one) for one in found] == [Unauthorized] * 2


async def test_the_last_use_of_all_keys_is_one_statement(authenticator, users, clock):
    """However many requests there were; none where no key was used."""
    for _ in range(5):
        await authenticator.authenticate(TEXT)
        clock.now += CACHE_SECONDS
    await authenticator.flush_last_use()
    await authenticator.flush_last_use()
    assert users.touched == [{KEY_ID}]


async def test_authentication_costs_a_prediction_less_than_a_hundredth(authenticator):
    """The middleware with a cached key, by the processor's time."""
    called = 0

    class Services:
        def __init__(self) -> None:
            self.authenticator = authenticator
            self.rates = RateLimits.of(make_settings())

    async def app(scope, receive, send) -> None:
        nonlocal called
        called += scope["state"]["caller"].user_id == USER.id

    middleware = Authentication(app, answer=None)
    state = {"accounts": Services()}
    headers = [(b"host", b"x"), (b"accept", b"*/*"), (b"user-agent", b"test")]
    headers += [(b"content-type", b"image/png"), (b"authorization", f"Bearer {TEXT}".encode())]
    path = "/v1/models/shade/predictions"
    batches = []
    for _ in range(20):
        began = time.process_time()
        for _ in range(200):
            scope = {"type": "http", "method": "POST", "path": path, "headers": headers}
            await middleware({**scope, "state": dict(state)}, None, None)
        batches.append((time.process_time() - began) / 200 * 1e6)
    assert called == 20 * 200
    assert statistics.median(batches) < MAX_MICROSECONDS


async def test_the_first_administrator_is_created_once(tmp_path: Path):
    """At the first start; a later one changes nothing, whatever the settings say then."""
    fixed = {"auth": "keys", "database_url": sqlite_url(tmp_path)}
    given = {"admin_email": "Root@example.org", "admin_password": "p" * 12}
    settings = make_settings(**fixed, **given)
    await create_tables(settings)
    for _ in range(2):
        await ensure_administrator(settings)
    other = given | {"admin_email": "other@example.org"}
    await ensure_administrator(make_settings(**fixed, **other))
    async with open_database(settings) as engine:
        (user,) = await Users(engine).page(10)
    assert (user.email, user.role, user.active) == ("root@example.org", "admin", True)
    with pytest.raises(ConfigurationError, match="ADMIN_EMAIL"):
        await ensure_administrator(make_settings(**fixed, **given | {"admin_email": "root"}))


@pytest.mark.parametrize(
    ("other", "named"),
    [({"email": "root@example.org"}, "e-mail"), ({"username": "admin"}, "username admin")],
)
async def test_a_start_that_cannot_create_its_administrator_fails(tmp_path: Path, other, named):
    """And says why: else no one could sign in as one."""
    settings = make_settings(
        auth="keys",
        database_url=sqlite_url(tmp_path),
        admin_email="root@example.org",
        admin_password="p" * 12,
    )
    await create_tables(settings)
    async with open_database(settings) as engine:
        await Users(engine).add(replace(USER, **other))
        with pytest.raises(ConfigurationError, match=f"ADMIN_EMAIL: the {named} "):
            await ensure_administrator(settings)
        await Users(engine).change(USER.id, role="admin")
        await ensure_administrator(settings)
        assert len(await Users(engine).page(10)) == 1
