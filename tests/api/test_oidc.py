"""Sign-in by an OpenID Connect provider, over HTTP and on live streams."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from project.api.factory import create_app
from project.db.usage import month_of
from project.observability.metrics import AUTH_ATTEMPTS
from tests.account_api import KEYS, ME, PASSWORD, SECRET, AccountApi, account_api, bearer
from tests.commands import command
from tests.conftest import make_settings, picture
from tests.database import create_tables, sqlite_url
from tests.deploy.http_stub import serve
from tests.fakes import ShadeModel
from tests.oidc_issuer import AUDIENCE, Issuer, ec_key

pytestmark = pytest.mark.anyio


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with serve(Issuer()) as issuer:
        yield issuer


@pytest.fixture
async def api(tmp_path: Path, issuer: Issuer) -> AsyncIterator[AccountApi]:
    given = {"oidc_issuer": issuer.url, "oidc_audience": AUDIENCE, "registration": "open"}
    async with account_api(tmp_path, **given) as api:
        yield api


def attempts(outcome: str) -> float:
    return AUTH_ATTEMPTS.labels("oidc", outcome)._value.get()


async def test_a_token_of_the_provider_has_the_rights_of_a_users_token(api, issuer):
    """It predicts, sees its own jobs, makes keys; it administrates nothing."""
    before = attempts("ok")
    headers = bearer(issuer.token())
    me = (await api.client.get(ME, headers=headers)).json()
    assert (me["email"], me["role"]) == ("ann@example.org", "user")
    for _ in range(3):
        assert (await api.client.get(ME, headers=headers)).json() == me
    assert attempts("ok") == before + 1
    png = {**headers, "Content-Type": "image/png"}
    path = "/v1/models/shade/predictions"
    assert (await api.client.post(path, content=picture(), headers=png)).status_code == 200
    made = await api.client.post("/v1/models/shade/jobs", content=picture(), headers=png)
    listed = (await api.client.get("/v1/jobs", headers=headers)).json()["jobs"]
    assert [job["id"] for job in listed] == [made.json()["id"]]
    key = await api.client.post(KEYS, json={"name": "camera"}, headers=headers)
    seen = (await api.client.get(ME, headers=bearer(key.json()["key"]))).json()
    assert (seen["id"], seen["scopes"]) == (me["id"], ["predict"])
    assert (await api.client.get("/v1/users", headers=headers)).status_code == 403


async def test_a_wrong_token_of_the_provider_is_401(api, issuer):
    """As any other; it is counted as an attempt that was refused."""
    before = attempts("refused")
    wrong = [issuer.token(aud="another"), issuer.token(key=ec_key("two"))]
    for token in wrong:
        answer = await api.client.get(ME, headers=bearer(token))
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert attempts("refused") == before + len(wrong)


async def test_who_signs_out_or_is_disabled_has_no_valid_token(api, issuer):
    """A token of the provider is valid for this server as long as this server agrees."""
    headers = bearer(issuer.token())
    user_id = (await api.client.get(ME, headers=headers)).json()["id"]
    assert (await api.client.delete("/v1/tokens", headers=headers)).status_code == 204
    assert (await api.client.get(ME, headers=headers)).status_code == 401
    await api.accounts.users.change(user_id, signed_out_at=None, active=False)
    assert (await api.client.get(ME, headers=headers)).status_code == 401


async def test_who_deletes_its_account_does_not_get_another_quota(api, issuer):
    """Nor out of what an administrator decided; an operator can restore the account."""
    headers = bearer(issuer.token())
    user = (await api.client.get(ME, headers=headers)).json()
    users = api.accounts.users
    await users.change(user["id"], monthly_quota=3)
    month = month_of(time.time())
    await api.accounts.quota.usage.reserve(user["id"], month, 1, 3)
    assert (await api.client.delete(ME, headers=headers)).status_code == 204
    for _ in range(2):
        answer = await api.client.get(ME, headers=bearer(issuer.token()))
        assert answer.status_code == 403
        assert user["id"] in answer.json()["detail"]
    await users.change(user["id"], active=True)
    assert (await api.client.get(ME, headers=headers)).status_code == 401  # from before
    later = {"iat": time.time() + 2}
    restored = (await api.client.get(ME, headers=bearer(issuer.token(**later)))).json()
    assert (restored["id"], restored["email"]) == (user["id"], user["email"])
    assert (restored["monthly_quota"], restored["month_left"]) == (3, 2)


async def test_a_user_of_the_provider_gets_no_password_of_this_server(api, issuer):
    """Who is disabled at the provider has no other way in."""
    headers = bearer(issuer.token())
    assert (await api.client.get(ME, headers=headers)).status_code == 200
    assert (await api.sign_in("ann@example.org")).status_code == 401
    change = {"current": PASSWORD, "new": PASSWORD}
    answer = await api.client.post(f"{ME}/password", json=change, headers=headers)
    assert answer.status_code == 403


async def test_a_provider_that_never_answered_is_a_503(api, issuer, tmp_path):
    """Passwords and keys work meanwhile."""
    issuer.status = 503
    (tmp_path / "other").mkdir()
    given = {"oidc_issuer": issuer.url, "oidc_audience": AUDIENCE}
    async with account_api(tmp_path / "other", **given) as other:
        answer = await other.client.get(ME, headers=bearer(issuer.token()))
        assert answer.status_code == 503
        assert answer.json()["type"] == "urn:vitrine:problem:provider-unavailable"
        bob = await other.user("bob")
        assert (await other.client.get(ME, headers=other.token(bob))).status_code == 200


async def test_an_operator_links_a_user_to_its_subject(api, issuer):
    """An account that was there before, such as the first administrator's."""
    root = await api.user("root", "admin")
    variables = {
        "DATABASE_URL": api.settings.database_url.get_secret_value(),
        "OIDC_ISSUER": issuer.url,
        "OIDC_AUDIENCE": AUDIENCE,
    }
    linking = ("users", "link", "root", "root-at-the-provider")
    done = await asyncio.to_thread(command, *linking, variables=variables)
    assert done.returncode == 0, done.stderr
    headers = bearer(issuer.token(sub="root-at-the-provider", email=None))
    me = (await api.client.get(ME, headers=headers)).json()
    assert (me["id"], me["role"]) == (root.id, "admin")
    assert (await api.client.get("/v1/users", headers=headers)).status_code == 200


def test_a_token_of_the_provider_opens_a_stream(tmp_path, issuer):
    """As a header, and as a page sends it; a wrong one is told and closed."""
    settings = make_settings(
        auth="keys",
        token_keys=f"one:{SECRET}",
        database_url=sqlite_url(tmp_path),
        oidc_issuer=issuer.url,
        oidc_audience=AUDIENCE,
        oidc_registration="open",
    )
    asyncio.run(create_tables(settings))
    path = "/v1/models/shade/stream"
    offered = ["vitrine.v1", f"vitrine.bearer.{issuer.token()}"]
    with TestClient(create_app(settings, [ShadeModel()])) as client:
        for options in ({"headers": bearer(issuer.token())}, {"subprotocols": offered}):
            with client.websocket_connect(path, **options) as socket:
                assert socket.receive_json()["type"] == "hello"
        wrong = bearer(issuer.token(aud="another"))
        with client.websocket_connect(path, headers=wrong) as socket:
            assert socket.receive_json()["problem"]["status"] == 401
            with pytest.raises(WebSocketDisconnect) as ended:
                socket.receive_json()
    assert ended.value.code == 4401
