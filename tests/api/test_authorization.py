"""Every route under /v1, from the table of routes: without a caller, with a wrong one, as another.

A new route is tried the day it is added; where it may be open, or needs no scope, is said here.
"""

import base64
import json
import re
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi.routing import iter_route_contexts
from joserfc import jwt
from joserfc.jwk import OctKey
from starlette.requests import HTTPConnection

from project.api.auth import OPEN, check_scope
from project.api.factory import create_app
from project.db.account_records import User
from project.db.records import new_id
from project.errors import Unauthorized
from project.observability.metrics import AUTH_REFUSALS
from tests.account_api import SECRET, AccountApi, account_api, account_settings, bearer
from tests.conftest import picture
from tests.database import added
from tests.fakes import BlendModel, PaintModel, ShadeModel
from tests.job_api import Stream

pytestmark = pytest.mark.anyio

ANY_CALLER = {  # what a caller without any scope may do
    ("GET", "/v1/models"),
    ("GET", "/v1/models/{model}"),
    ("GET", "/v1/users/me"),
}
SIGNED_IN = {  # what no key may do, whatever its scopes
    ("PATCH", "/v1/users/me"),
    ("DELETE", "/v1/users/me"),
    ("POST", "/v1/users/me/password"),
    ("DELETE", "/v1/tokens"),
    ("GET", "/v1/users/me/keys"),
    ("POST", "/v1/users/me/keys"),
    ("DELETE", "/v1/users/me/keys/{key_id}"),
}
ADMINISTRATORS = {  # what needs the role
    ("GET", "/v1/users"),
    ("GET", "/v1/users/{user_id}"),
    ("PATCH", "/v1/users/{user_id}"),
    ("GET", "/v1/users/{user_id}/keys"),
    ("DELETE", "/v1/users/{user_id}/keys/{key_id}"),
    ("POST", "/v1/invitations"),
    ("DELETE", "/v1/cache"),
}
SIGNED_URLS = "/v1/files/"


def routes() -> Iterator[tuple[str, str]]:
    """Method and path of every route under /v1, of the application as it is built."""
    models = [ShadeModel(), BlendModel(), PaintModel()]
    settings = account_settings(Path("nowhere"))
    for route in iter_route_contexts(create_app(settings, models).routes):
        if (route.path or "").startswith("/v1/"):
            yield from ((method, str(route.path)) for method in route.methods or ())


ALL = sorted(set(routes()))
CLOSED = [one for one in ALL if one not in OPEN and not one[1].startswith(SIGNED_URLS)]
each = pytest.mark.parametrize(
    ("method", "path"), [pytest.param(*one, id=" ".join(one)) for one in CLOSED]
)


@pytest.fixture(scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AccountApi]:
    async with account_api(tmp_path_factory.mktemp("api")) as api:
        yield api


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def ann(api: AccountApi) -> User:
    return await api.user("ann")


@pytest.fixture(scope="module")
async def bob(api: AccountApi) -> User:
    return await api.user("bob")


@pytest.fixture(scope="module")
async def of_ann(api: AccountApi, ann: User) -> dict[str, str]:
    """What paths name: all of it belongs to Ann."""
    job = await added(api.api.jobs, time.time(), user_id=ann.id)
    key = await api.key(ann)
    return {
        "{model}": "shade",
        "{job_id}": job.id,
        "{name}": "image",
        "{key_id}": key.split("_")[1],
        "{user_id}": ann.id,
    }


async def ask(
    api: AccountApi, method: str, path: str, names: dict[str, str], headers: dict[str, str]
) -> httpx2.Response:
    """A request that would be valid, were it not for the caller."""
    for name, value in names.items():
        path = path.replace(name, value)
    body: dict[str, Any] = {}
    if method in {"POST", "PATCH"}:
        is_picture = path.endswith(("/jobs", "/predictions"))
        body = {"content": picture()} if is_picture else {"json": VALID.get(path, {})}
    return await api.client.request(method, path, headers=headers, **body)


VALID: dict[str, Any] = {
    "/v1/users/me/keys": {"name": "mine"},
    "/v1/users/me/password": {"current": "x" * 12, "new": "y" * 12},
}


def counted(reason: str) -> float:
    return AUTH_REFUSALS.labels(reason)._value.get()


def claims(user: User, **changes: Any) -> dict[str, Any]:
    now = time.time()
    valid = {"iss": "urn:vitrine", "aud": "vitrine-api", "sub": user.id, "iat": now}
    return valid | {"exp": now + 60} | changes


def signed(claims: dict[str, Any], *, secret: str = SECRET, kid: str = "one") -> str:
    key = OctKey.import_key(secret.encode(), {"kid": kid})
    return jwt.encode({"alg": "HS256", "kid": kid, "typ": "at+jwt"}, claims, key)


def unsigned(claims: dict[str, Any]) -> str:
    """A token with `alg: none`, which is not signed."""
    parts = [{"alg": "none", "kid": "one", "typ": "at+jwt"}, claims]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()) for part in parts]
    return b".".join(part.rstrip(b"=") for part in encoded).decode() + "."


def test_the_table_of_routes_is_read():
    """Else this file would pass by trying nothing."""
    assert len(CLOSED) > 25
    assert set(ALL) >= OPEN | ANY_CALLER | SIGNED_IN | ADMINISTRATORS
    assert ("POST", "/v1/models/shade/predictions") in CLOSED
    assert ("POST", "/v1/models/paint/jobs") in CLOSED
    assert ("DELETE", "/v1/cache") in CLOSED


@each
async def test_without_credentials_it_is_401(api, of_ann, method, path):
    """With the header that says which credentials are taken, and a counted refusal."""
    before = counted("missing")
    answer = await ask(api, method, path, of_ann, {})
    assert answer.status_code == 401, answer.text
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["type"] == "urn:vitrine:problem:unauthorized"
    assert counted("missing") == before + 1


@each
async def test_with_credentials_that_are_none_it_is_401(api, of_ann, ann, method, path):
    """Garbage, no signature, another issuer, another key, other types of token; all are counted."""
    other = {"iss": "https://login.example.org"}
    key = await api.key(ann)
    tried = {
        "x": "invalid",
        unsigned(claims(ann)): "invalid",
        signed(claims(ann, **other)): "issuer",
        signed(claims(ann, aud="another")): "issuer",
        signed(claims(ann), secret="o" * 32): "invalid",
        signed(claims(ann), kid="unknown"): "invalid",
        signed(claims(ann, exp=time.time() - 100)): "expired",
        signed(claims(ann, sub="0" * 32)): "unknown",
        key[:-1] + ("A" if key[-1] != "A" else "B"): "unknown",
        f"vitrine_{'0' * 32}_{'x' * 43}": "unknown",
        "vitrine_": "unknown",
        "a" * 5000: "malformed",
    }
    for token, reason in tried.items():
        before = counted(reason)
        answer = await ask(api, method, path, of_ann, bearer(token))
        assert answer.status_code == 401, (token, answer.text)
        assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'
        assert counted(reason) == before + 1, token
    for authorization in ("Basic YTpi", "Bearer", "Bearer  ", "bearer\tx"):
        answer = await ask(api, method, path, of_ann, {"Authorization": authorization})
        assert answer.status_code == 401, authorization


@pytest.mark.parametrize("wrong", [{"sub": 5}, {"iat": "now"}])
async def test_a_claim_that_is_wrong_is_not_told_as_another_issuers(api, ann, wrong):
    """That one would send an operator to the settings of the provider."""
    answer = await api.client.get("/v1/models", headers=bearer(signed(claims(ann, **wrong))))
    assert answer.status_code == 401
    assert "issuer" not in answer.json()["detail"]


@each
async def test_with_a_key_that_is_expired_or_revoked_it_is_401(api, of_ann, ann, method, path):
    """And the answer says which, as only the owner has the key."""
    expired = await api.key(ann, valid_seconds=-1)
    revoked = await api.key(ann)
    await api.accounts.keys.revoke(revoked.split("_")[1], ann.id)
    for key, word in ((expired, "expired"), (revoked, "revoked")):
        before = counted(word)
        answer = await ask(api, method, path, of_ann, bearer(key))
        assert answer.status_code == 401
        assert word in answer.json()["detail"]
        assert counted(word) == before + 1


@each
async def test_with_a_key_without_the_scope_it_is_403(api, of_ann, ann, method, path):
    """It is counted; the few routes that need no scope are listed above."""
    headers = bearer(await api.key(ann, []))
    before = counted("scope")
    answer = await ask(api, method, path, of_ann, headers)
    if (method, path) in ANY_CALLER:
        assert answer.status_code == 200
        return
    assert answer.status_code == 403, answer.text
    assert counted("scope") == before + 1


@each
async def test_a_key_with_every_scope_is_not_the_user_itself(api, of_ann, ann, method, path):
    """A stolen key makes no other keys, and changes no password."""
    if (method, path) in SIGNED_IN:
        answer = await ask(api, method, path, of_ann, bearer(await api.key(ann)))
        assert answer.status_code == 403, answer.text


@each
async def test_what_is_anns_is_not_there_for_another_user(api, of_ann, method, path):
    """Signed in with all that a user may: other users' things are as if they did not exist.

    A route that names something new has to be tried here with Ann's, and an administrators' one
    listed above.
    """
    assert set(re.findall(r"\{\w+\}", path)) <= set(of_ann)
    another = await api.user(f"another-{new_id(time.time())[-12:]}")  # it may delete itself
    answer = await ask(api, method, path, of_ann, api.token(another))
    if (method, path) in ADMINISTRATORS:
        assert answer.status_code == 403, answer.text
    elif "{job_id}" in path or "{key_id}" in path:
        assert answer.status_code == 404, answer.text
    else:
        assert "{user_id}" not in path
        wrong_password = path == "/v1/users/me/password" and answer.status_code == 403
        assert answer.status_code not in {401, 403, 404} or wrong_password, answer.text


@pytest.mark.parametrize(
    ("method", "path"),
    [one for one in ALL if re.match(r"/v1/(users|tokens|passwords|invitations)\b", one[1])],
)
async def test_no_cache_stores_what_has_credentials_or_personal_data(api, of_ann, method, path):
    """Neither the answer nor a refusal, which says something of an account too."""
    root = await api.user(f"root-{new_id(time.time())[-12:]}", "admin")
    names = of_ann | {"{user_id}": root.id}
    for headers in (api.token(root), bearer("wrong")):
        answer = await ask(api, method, path, names, headers)
        assert answer.headers.get_list("cache-control") == ["no-store"], answer.text


async def test_a_file_is_its_urls_and_the_url_is_its_owners(api):
    """Inputs and results of jobs: the link is told to the owner, and is signed for one file."""
    owner, other_user = await api.user("owner"), await api.user("another")
    png = {"Content-Type": "image/png"}
    job = await api.api.submit(headers={**png, **api.token(owner)})
    url = f"/v1/jobs/{job['id']}/inputs/image"
    assert (await api.client.get(url, headers=api.token(other_user))).status_code == 404
    link = (await api.client.get(url, headers=api.token(owner))).headers["Location"]
    assert (await api.client.get(link)).content == picture()
    other = await api.api.submit(headers={**png, **api.token(other_user)})
    for path in (link.partition("?")[0], link.replace(job["id"], other["id"])):
        answer = await api.client.get(path, headers=api.token(other_user))
        assert answer.status_code == 403, path


async def test_a_user_lists_its_own_jobs_and_an_administrator_all(api, of_ann, ann, bob):
    """Those that were there before accounts belong to nobody: administrators alone see them."""
    nobodys = await added(api.api.jobs, time.time())
    root = await api.user("root", "admin")

    async def listed(headers: dict[str, str]) -> set[str]:
        answer = await api.client.get("/v1/jobs?limit=100", headers=headers)
        return {job["id"] for job in answer.json()["jobs"]}

    assert of_ann["{job_id}"] in await listed(api.token(ann))
    assert nobodys.id not in await listed(api.token(ann))
    assert await listed(api.token(bob)) == set()
    assert {of_ann["{job_id}"], nobodys.id} <= await listed(api.token(root))
    jobs_alone = bearer(await api.key(root, ["jobs"]))
    assert await listed(jobs_alone) == set()
    for job_id in (of_ann["{job_id}"], nobodys.id):
        answer = await api.client.get(f"/v1/jobs/{job_id}", headers=api.token(root))
        assert answer.status_code == 200


async def test_two_users_may_choose_the_same_idempotency_key(api):
    """A key is its user's: neither sees the other's job, and each repeats its own."""
    one, other = await api.user("one"), await api.user("other")
    made = []
    for user in (one, other, one):
        headers = {**api.token(user), "Idempotency-Key": "same", "Content-Type": "image/png"}
        answer = await api.client.post("/v1/models/shade/jobs", content=picture(), headers=headers)
        assert answer.status_code == 202, answer.text
        made.append(answer.json()["id"])
    assert made[0] == made[2] != made[1]
    rows = {row.id: row for row in await api.api.rows()}
    assert [rows[job_id].user_id for job_id in made[:2]] == [one.id, other.id]
    assert rows[made[0]].priority == "interactive"


async def test_the_priority_of_a_job_is_that_of_its_key(api, ann):
    """A key for batches makes jobs that are shed first."""
    key = await api.key(ann, ["jobs"], priority="batch")
    answer = await api.client.post(
        "/v1/models/shade/jobs",
        content=picture(),
        headers={**bearer(key), "Content-Type": "image/png"},
    )
    rows = {row.id: row for row in await api.api.rows()}
    assert rows[answer.json()["id"]].priority == "batch"


@pytest.mark.parametrize("path", ["/", "/health", "/ready", "/metadata", "/openapi.json", "/docs"])
async def test_what_is_not_under_v1_stays_open(api, path):
    """Probes, the page, which signs in by itself, and the documentation."""
    assert (await api.client.get(path)).status_code == 200


async def test_a_route_that_the_middleware_does_not_protect_is_closed_if_it_needs_a_scope(api):
    """One that is added under another path must not be open by mistake."""
    scope = {
        "type": "http",
        "headers": [],
        "state": dict(api.api.state),
    }
    with pytest.raises(Unauthorized):
        check_scope(HTTPConnection(scope), "predict")
    scope["state"]["accounts"] = None  # AUTH=off
    assert check_scope(HTTPConnection(scope), "predict") is None


async def test_behind_a_prefix_each_route_needs_a_caller_too(api):
    """A server's root_path stands in front of every path."""
    transport = httpx2.ASGITransport(api.api.app, root_path="/api")
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        assert (await client.get("/api/health")).status_code == 200
        assert (await client.get("/api/v1/models")).status_code == 401
        assert (await client.post("/api/v1/tokens")).status_code == 422


async def test_events_end_when_the_token_is_not_valid_any_more(api, ann):
    """A job may take hours; nothing of it is told after the revocation."""
    job = await added(api.api.jobs, time.time(), user_id=ann.id)
    key = await api.key(ann, ["jobs"])
    path = f"/v1/jobs/{job.id}/events"
    following = Stream(api.api.app, path, authorization=f"Bearer {key}")
    assert (await following.start())[0] == 200
    assert await following.next()
    await api.accounts.keys.revoke(key.split("_")[1], ann.id)
    assert await api.api.jobs.transitions.claim(job.id, "worker", 1e10, 1e10)
    assert await following.next() is None
    await following.task


async def test_a_request_and_a_job_are_logged_with_their_user(api, ann, capsys):
    """By its id alone; a refused request has none."""
    headers = {**bearer(await api.key(ann)), "Content-Type": "image/png"}
    await api.client.post("/v1/models/shade/jobs", content=picture(), headers=headers)
    await api.client.get("/v1/models")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    users = [
        (line["message"], line.get("user_id"))
        for line in lines
        if line["message"] in {"job_accepted", "request_served"}
    ]
    assert users == [("job_accepted", ann.id), ("request_served", ann.id), ("request_served", None)]


async def test_a_refused_request_is_logged_by_its_route(api, capsys):
    """As any other, without its path; a path that is none is refused too, and shows nothing."""
    assert (await api.client.get("/v1/jobs/x")).status_code == 401
    assert (await api.client.get("/v1/nowhere")).status_code == 401
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    handlers = [line["handler"] for line in lines if line["message"] == "request_served"]
    assert handlers == ["/v1/jobs/{job_id}", "none"]
