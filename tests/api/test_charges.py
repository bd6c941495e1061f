"""What predictions and jobs cost their caller over HTTP, and what is refused to it."""

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import http_sf
import httpx2
import pytest
from sqlalchemy import event

from project.accounts.credentials import new_secret
from project.db.records import new_id
from project.db.usage import Usage, month_bounds
from tests.account_api import ME, TOKENS, AccountApi, account_api, bearer
from tests.conftest import picture
from tests.database import LEASE, PROBLEM, RESULT
from tests.job_api import PNG, SHADE

pytestmark = pytest.mark.anyio
PREDICT = "/v1/models/shade/predictions"
QUOTA = 3
AT_ONCE = 50


def limits(answer: httpx2.Response) -> dict[str, tuple[int, int, int]]:
    """Policy → its limit, what is left, and seconds until there is more."""
    policies = http_sf.parse(answer.headers["RateLimit-Policy"].encode(), tltype="list")
    left = dict(http_sf.parse(answer.headers["RateLimit"].encode(), tltype="list"))
    for name, policy in policies:
        assert policy["w"] >= 1
        assert left[name]["t"] >= 1
    return {name: (policy["q"], left[name]["r"], left[name]["t"]) for name, policy in policies}


def checked(answer: httpx2.Response, slug: str) -> httpx2.Response:
    """A refusal, which says when to come back, and not too early."""
    assert answer.status_code == 429, answer.text
    assert answer.json()["type"] == f"urn:vitrine:problem:{slug}"
    retry_after = int(answer.headers["Retry-After"])
    assert retry_after >= max(reset for _, _, reset in limits(answer).values())
    return answer


async def predict(api: AccountApi, caller: dict[str, str], **changes: Any) -> httpx2.Response:
    sent = {"content": picture(), "headers": PNG | caller} | changes
    return await api.client.post(PREDICT, **sent)


async def submit(api: AccountApi, caller: dict[str, str], **headers: str) -> httpx2.Response:
    return await api.client.post(SHADE, content=picture(), headers=PNG | caller | headers)


async def month(api: AccountApi, caller: dict[str, str]) -> tuple[int, int]:
    """Used and left, as the user sees it."""
    me = (await api.client.get(ME, headers=caller)).json()
    return me["month_used"], me["month_left"]


async def test_a_prediction_costs_one_and_a_failed_one_costs_nothing(tmp_path: Path):
    """Every answer says what is left; the refusal when the month ends."""
    async with account_api(tmp_path, monthly_quota=QUOTA, caller_rate="100/hour") as api:
        ann, bob = [api.token(await api.user(name)) for name in ("ann", "bob")]
        assert await month(api, ann) == (0, QUOTA)
        assert (await predict(api, ann, content=b"none")).status_code == 422
        for made in range(1, QUOTA + 1):
            answer = await predict(api, ann)
            assert answer.status_code == 200
            found = limits(answer)
            assert found["month"][:2] == (QUOTA, QUOTA - made)
            assert found["rate"][0] == 100
            assert (await predict(api, ann, content=b"none")).status_code in {422, 429}
        refused = checked(await predict(api, ann), "quota-exceeded")
        ends_in = month_bounds(time.time())[1] - time.time()
        assert abs(int(refused.headers["Retry-After"]) - ends_in) < 120
        checked(await submit(api, ann), "quota-exceeded")
        assert await month(api, ann) == (QUOTA, 0)
        assert (await predict(api, bob)).status_code == 200


async def test_of_fifty_at_once_exactly_one_passes_one_below_the_quota(tmp_path: Path):
    """The others are told that the quota is used up."""
    async with account_api(tmp_path, monthly_quota=QUOTA, caller_rate="1000/hour") as api:
        ann = api.token(await api.user())
        for _ in range(QUOTA - 1):
            assert (await predict(api, ann)).status_code == 200
        answers = await asyncio.gather(*(predict(api, ann) for _ in range(AT_ONCE)))
        statuses = [answer.status_code for answer in answers]
        assert (statuses.count(200), statuses.count(429)) == (1, AT_ONCE - 1)


async def test_a_caller_that_sends_too_much_is_slowed_down(tmp_path: Path):
    """Its keys count together; another user is not concerned."""
    async with account_api(tmp_path, caller_rate="2/hour") as api:
        user = await api.user()
        ann, key = api.token(user), bearer(await api.key(user))
        assert limits(await predict(api, ann))["rate"][:2] == (2, 1)
        assert limits(await submit(api, key))["rate"][:2] == (2, 0)
        for refused in (await predict(api, key), await submit(api, ann)):
            checked(refused, "rate-limited")
        assert (await predict(api, api.token(await api.user("bob")))).status_code == 200


async def test_an_address_without_a_caller_is_slowed_down(tmp_path: Path):
    """It guesses passwords or keys, each by itself; who has a key is served at the same address."""
    async with account_api(tmp_path, address_rate="2/hour") as api:
        good = api.token(await api.user())
        form = {"username": "ann", "password": "wrong password"}
        for guess in (
            partial(predict, api, bearer("vitrine_guess")),
            partial(api.client.post, TOKENS, data=form),
        ):
            wrong = [await guess() for _ in range(3)]
            assert [answer.status_code for answer in wrong] == [401, 401, 429]
            checked(wrong[-1], "rate-limited")
        assert (await predict(api, good)).status_code == 200


async def test_guessed_keys_cost_no_query_once_their_address_is_slowed_down(tmp_path: Path):
    """A known key, and a user who is signed in, are served at the same address."""
    async with account_api(tmp_path, address_rate="2/hour") as api:
        user = await api.user()
        known = bearer(await api.key(user))
        assert (await predict(api, known)).status_code == 200
        guesses = [bearer(new_secret(new_id(time.time()))) for _ in range(6)]
        queries: list[object] = []
        engine = api.accounts.engine.sync_engine
        event.listen(engine, "before_cursor_execute", lambda *given: queries.append(given[2]))
        answers = [await api.client.get(ME, headers=guess) for guess in guesses]
        assert [answer.status_code for answer in answers] == [401, 401, 429, 429, 429, 429]
        assert len(queries) == 3
        checked(answers[-1], "rate-limited")
        for caller in (known, api.token(user)):
            assert (await predict(api, caller)).status_code == 200


async def test_a_job_is_charged_when_it_succeeds(tmp_path: Path):
    """Until then its prediction is reserved; a cancelled or a failed one gives it back."""
    async with account_api(tmp_path, monthly_quota=QUOTA) as api:
        ann = api.token(await api.user())
        transitions, sender = api.api.jobs.transitions, api.api.job_services.submission.sender

        async def running() -> str:
            job_id = str((await submit(api, ann)).json()["id"])
            assert await transitions.claim(job_id, "worker", time.time(), LEASE)
            return job_id

        good = await running()
        assert await month(api, ann) == (0, QUOTA - 1)
        await transitions.succeed(good, "worker", time.time(), RESULT, {})
        await sender.job_ended(await api.api.jobs.get(good))
        assert await month(api, ann) == (1, QUOTA - 1)
        bad = await running()
        await transitions.fail(bad, "worker", time.time(), PROBLEM)
        await sender.job_ended(await api.api.jobs.get(bad))
        assert await month(api, ann) == (1, QUOTA - 1)
        again = await api.client.post(f"/v1/jobs/{bad}/retry", headers=ann)
        assert again.status_code == 202
        assert await month(api, ann) == (1, QUOTA - 2)
        waiting = (await submit(api, ann)).json()["id"]
        checked(await submit(api, ann), "quota-exceeded")
        for job_id in (waiting, bad):
            assert (await api.client.delete(f"/v1/jobs/{job_id}", headers=ann)).status_code == 200
        assert await month(api, ann) == (1, QUOTA - 1)


async def test_a_job_that_is_retried_before_it_is_settled_costs_one(tmp_path: Path):
    """Its first prediction is given back before another one is reserved."""
    async with account_api(tmp_path, monthly_quota=QUOTA) as api:
        ann, admin = api.token(await api.user()), api.token(await api.user("root", "admin"))
        transitions, sender = api.api.jobs.transitions, api.api.job_services.submission.sender
        job_id = str((await submit(api, ann)).json()["id"])
        for caller in (ann, ann, admin):
            assert await transitions.claim(job_id, "worker", time.time() + LEASE, LEASE)
            await transitions.fail(job_id, "worker", time.time(), PROBLEM)
            again = await api.client.post(f"/v1/jobs/{job_id}/retry", headers=caller)
            assert again.status_code == 202
            assert await month(api, ann) == (0, QUOTA if caller is admin else QUOTA - 1)
        assert await transitions.claim(job_id, "worker", time.time() + LEASE, LEASE)
        await transitions.succeed(job_id, "worker", time.time(), RESULT, {})
        await sender.job_ended(await api.api.jobs.get(job_id))
        assert await month(api, ann) == (0, QUOTA)


async def test_the_jobs_of_a_user_that_deletes_itself_are_cancelled(tmp_path: Path):
    """Those that wait at once, one that runs by its worker; others' stay."""
    async with account_api(tmp_path, monthly_quota=QUOTA) as api:
        user = await api.user()
        ann, bob = api.token(user), api.token(await api.user("bob"))
        runs, waits = [(await submit(api, ann)).json()["id"] for _ in range(2)]
        other = (await submit(api, bob)).json()["id"]
        assert await api.api.jobs.transitions.claim(runs, "worker", time.time(), LEASE)
        assert (await api.client.delete(ME, headers=ann)).status_code == 204
        rows = {row.id: row for row in await api.api.rows()}
        assert rows[waits].status == "cancelled"
        assert (rows[runs].status, rows[runs].cancel_requested) == ("running", True)
        assert rows[other].status == "accepted"
        usage = Usage(api.accounts.engine)
        assert await usage.unsettled_jobs(10) == [waits]
        await usage.settle_job(waits)
        assert await usage.get(user.id, rows[runs].quota_month) == (1, 0)


async def test_a_job_that_is_not_added_costs_nothing(tmp_path: Path):
    """It is known by its key, or its files cannot be stored."""
    async with account_api(tmp_path, monthly_quota=QUOTA) as api:
        ann = api.token(await api.user())
        for _ in range(2):
            assert (await submit(api, ann, **{"Idempotency-Key": "one"})).status_code == 202
        both = [submit(api, ann, **{"Idempotency-Key": "two"}) for _ in range(2)]
        assert {answer.status_code for answer in await asyncio.gather(*both)} == {202}
        assert await month(api, ann) == (0, QUOTA - 2)
        storage = tmp_path / "storage"
        storage.rename(tmp_path / "away")
        storage.write_bytes(b"no folder")
        assert (await submit(api, ann)).status_code == 503
        assert await month(api, ann) == (0, QUOTA - 2)


async def test_a_users_jobs_wait_until_there_is_room_for_them(tmp_path: Path):
    """Two of them are sent; the end of one sends the oldest that waits."""
    async with account_api(tmp_path, user_jobs=2, monthly_quota=100) as api:
        ann, bob = [api.token(await api.user(name)) for name in ("ann", "bob")]
        mine = [(await submit(api, ann)).json()["id"] for _ in range(4)]
        other = (await submit(api, bob)).json()["id"]
        assert api.api.queue.sent == [*mine[:2], other]
        await api.client.delete(f"/v1/jobs/{mine[1]}", headers=ann)
        assert api.api.queue.sent == [*mine[:2], other, mine[2]]
        api.api.queue.down = True
        await api.client.delete(f"/v1/jobs/{mine[0]}", headers=ann)
        assert (await api.api.jobs.get(mine[3])).sent_at is None  # a sweep of the workers sends it


async def test_batch_predictions_are_refused_when_half_of_the_slots_are_taken(tmp_path: Path):
    """Interactive ones have the other half; what is refused costs nothing."""
    async with account_api(tmp_path, queue_limit=4) as api:
        user = await api.user()
        batch = bearer(await api.key(user, priority="batch"))
        runner = api.api.state["runner"]
        with ExitStack() as slots:
            for _ in range(2):
                slots.enter_context(runner.admit("shade"))
            assert (await predict(api, batch)).status_code == 200
            slots.enter_context(runner.admit("shade"))
            refused = await predict(api, batch)
            assert refused.status_code == 503
            assert refused.json()["type"] == "urn:vitrine:problem:overloaded"
            assert int(refused.headers["Retry-After"]) >= 1
            assert (await predict(api, api.token(user))).status_code == 200
        assert (await month(api, batch))[0] == 2


async def test_batch_jobs_are_refused_when_half_of_the_limit_waits(tmp_path: Path):
    """Interactive ones have the other half."""
    async with account_api(tmp_path, job_limit=4) as api:
        user = await api.user()
        batch = bearer(await api.key(user, priority="batch"))
        statuses = [(await submit(api, batch)).status_code for _ in range(4)]
        assert statuses == [202, 202, 202, 503]
        assert (await submit(api, api.token(user))).status_code == 202
        assert {row.priority for row in await api.api.rows()} == {"batch", "interactive"}


async def test_the_store_of_the_rates_is_in_the_metrics(tmp_path: Path):
    """It is asked at each scrape."""
    async with account_api(tmp_path) as api:
        lines = (await api.client.get("/metrics")).text.splitlines()
        assert "limit_store_up 1.0" in lines


@contextmanager
def without_accounts(folder: Path) -> Iterator[None]:
    """A database without the tables of accounts."""
    with closing(sqlite3.connect(folder / "jobs.db")) as other:
        for table in ("users", "usage"):
            other.execute(f"ALTER TABLE {table} RENAME TO {table}_away")
        try:
            yield
        finally:
            for table in ("users", "usage"):
                other.execute(f"ALTER TABLE {table}_away RENAME TO {table}")


async def test_a_known_caller_predicts_from_its_block_while_the_database_is_away(tmp_path: Path):
    """What it has reserved is its own; any other gets a 503 that says when to come back."""
    async with account_api(tmp_path, monthly_quota=100_000) as api:
        api.accounts.authenticator.cache_seconds = 0  # each request asks
        ann, bob = [api.token(await api.user(name)) for name in ("ann", "bob")]
        for _ in range(2):  # the second reserves a block
            assert (await predict(api, ann)).status_code == 200
        with without_accounts(tmp_path):
            for _ in range(5):
                assert (await predict(api, ann)).status_code == 200
            refused = await predict(api, bob)
            assert refused.status_code == 503
            assert refused.json()["type"] == "urn:vitrine:problem:database-unavailable"
            assert int(refused.headers["Retry-After"]) >= 1
        assert (await predict(api, bob)).status_code == 200
        assert (await month(api, ann))[0] == 7
