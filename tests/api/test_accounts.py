"""Accounts over HTTP: register, sign in, renew, sign out, keys, passwords, and administration."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from email import message_from_bytes
from email.policy import default
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from sqlalchemy import update

from drills.server import free_port
from project.accounts import authentication
from project.accounts.credentials import digest
from project.accounts.mail import MAX_WAITING, Mailer
from project.accounts.passwords import Passwords
from project.accounts.registration import FRESH_SECONDS, RESET_PAUSE_SECONDS, Registration
from project.accounts.sign_in import GRACE_SECONDS, SignIn
from project.accounts.tokens import AccessTokens
from project.db.account_records import OneTimeToken, User
from project.db.records import new_id
from project.db.tables import RefreshTokenRow
from project.db.users import Users
from project.errors import Overloaded, Unauthorized
from project.observability.metrics import AUTH_ATTEMPTS, AUTH_REFUSALS
from tests.account_api import (
    KEYS,
    ME,
    PASSWORD,
    SECRET,
    TOKENS,
    AccountApi,
    account_api,
    bearer,
)
from tests.conftest import picture

pytestmark = pytest.mark.anyio

USERS = "/v1/users"
JSON = {"Content-Type": "application/json"}
REFRESH = f"{TOKENS}/refresh"
LIMITS = {"RateLimit", "RateLimit-Policy"}
MODELS = ("shade", "blend", "paint")
SUCCESSES = ("200", "202")
NEW = {
    "email": "Ann@Example.org",
    "username": "Ann",
    "full_name": "  Ann   Example ",
    "password": PASSWORD,
}
OTHER_PASSWORD = "another long password"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[AccountApi]:
    async with account_api(tmp_path, registration="open") as api:
        yield api


async def signed_in(api: AccountApi, login: str = "ann", password: str = PASSWORD) -> Any:
    answer = await api.sign_in(login, password)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def me(api: AccountApi, token: str) -> int:
    return (await api.client.get(ME, headers=bearer(token))).status_code


async def test_who_registers_signs_in_and_sees_itself(api):
    """Fields are normalised; nothing secret comes back."""
    answer = await api.client.post(USERS, json=NEW)
    assert answer.status_code == 201, answer.text
    user = answer.json()
    assert (user["email"], user["username"]) == ("ann@example.org", "ann")
    assert (user["full_name"], user["role"], user["monthly_quota"]) == ("Ann Example", "user", 10)
    for login in ("ann", "ANN", "ann@example.org"):
        answer = await api.sign_in(login)
        assert answer.headers["cache-control"] == "no-store"
        tokens = answer.json()
        assert (tokens["token_type"], tokens["expires_in"]) == ("bearer", 900)
        seen = await api.client.get(ME, headers=bearer(tokens["access_token"]))
        assert seen.json() | user == seen.json()
    assert "hash" not in str(user)
    assert PASSWORD not in str(user)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", "ann"),
        ("email", "Ann <ann@example.org>"),
        ("email", "ann\ud800@example.org"),
        ("username", "a"),
        ("username", "ann@example.org"),
        ("username", "a\0nn"),
        ("full_name", "Ann"),
        ("full_name", "Ann 7"),
        ("full_name", "Ann\0 Example"),
        ("full_name", "\ud800 Example"),
        ("password", "short"),
        ("password", "x" * 201),
        ("password", "\ud800" * 12),
        ("document", "52998224725"),
        ("role", "admin"),
    ],
)
async def test_a_field_that_cannot_be_is_named_and_never_repeated(api, field, value):
    """As a 422; no value of a client is in the answer."""
    body = json.dumps({**NEW, field: value})
    answer = await api.client.post(USERS, content=body, headers=JSON)
    assert answer.status_code == 422, answer.text
    assert any(field in name for name in answer.json()["errors"])
    assert PASSWORD not in answer.text


async def test_an_email_or_username_that_is_taken_is_409(api):
    """In any case of letters."""
    assert (await api.client.post(USERS, json=NEW)).status_code == 201
    for change in ({"email": "bob@example.org"}, {"username": "bob"}):
        answer = await api.client.post(USERS, json={**NEW, **change})
        assert answer.status_code == 409
        assert answer.json()["type"] == "urn:vitrine:problem:account-conflict"


async def test_the_username_of_the_first_administrator_cannot_be_taken(api):
    """Neither at registration nor later: the next start could not create it."""
    answer = await api.client.post(USERS, json={**NEW, "username": "ADMIN"})
    assert answer.status_code == 409
    headers = api.token(await api.user())
    answer = await api.client.patch(ME, json={"username": "admin"}, headers=headers)
    assert answer.status_code == 409


async def test_registration_can_be_closed(tmp_path):
    """Which is the default."""
    async with account_api(tmp_path) as api:
        assert (await api.client.post(USERS, json=NEW)).status_code == 403


async def test_an_invitation_works_once_and_for_its_email_alone(tmp_path):
    """One that is tried with a name that is taken can be used again."""
    async with account_api(tmp_path, registration="invitation") as api:
        root = api.token(await api.user("root", "admin"))
        assert (await api.client.post(USERS, json=NEW)).status_code == 403
        body = {"email": "ann@example.org"}
        made = await api.client.post("/v1/invitations", json=body, headers=root)
        invitation = made.json()
        other = {**NEW, **invitation, "email": "bob@example.org"}
        assert (await api.client.post(USERS, json=other)).status_code == 403
        taken = {**NEW, **invitation, "username": "root"}
        assert (await api.client.post(USERS, json=taken)).status_code == 409
        assert (await api.client.post(USERS, json={**NEW, **invitation})).status_code == 201
        again = {**NEW, **invitation, "username": "ann2"}
        assert (await api.client.post(USERS, json=again)).status_code == 403


async def test_a_document_is_demanded_checked_and_stored_encrypted(tmp_path):
    """Outside local; a number whose digits are all the same is refused, though its check fits."""
    deployed = {
        "environment": "staging",
        "metrics_port": 9090,
        "redis_url": "redis://localhost:1",
        "user_document": "br.cpf,br.cnpj",
        "document_key": "d" * 32,
        "registration": "open",
    }
    async with account_api(tmp_path, **deployed) as api:
        for wrong in (None, "529.982.247-24", "111.111.111-11", "12", "\ud800"):
            body = json.dumps({**NEW, "document": wrong})
            answer = await api.client.post(USERS, content=body, headers=JSON)
            assert answer.status_code == 422, wrong
            assert any("document" in name for name in answer.json()["errors"])
        for name, number in (("ann", "529.982.247-25"), ("bob", "12.ABC.345/01DE-35")):
            body = {**NEW, "username": name, "email": f"{name}@example.org", "document": number}
            answer = await api.client.post(USERS, json=body)
            assert answer.status_code == 201, answer.text
            assert "document" not in answer.json()
        stored = await api.accounts.users.find("ann")
        assert "52998224725" not in stored.document
        body = {**NEW, "username": "eve", "email": "eve@example.org", "document": "52998224725"}
        answer = await api.client.post(USERS, json=body)  # Ann's, written otherwise
        assert answer.status_code == 409
        assert "52998224725" not in stored.document_digest


async def test_an_unknown_user_and_a_wrong_password_cannot_be_told_apart(api):
    """Not by the answer: a disabled user, one without a password and none at all are one."""
    await api.registered("ann")
    await api.user("nopassword")
    disabled = await api.registered("off")
    await api.accounts.users.change(disabled.id, active=False)
    tried = [("ann", "x" * 12), ("nobody", PASSWORD), ("nopassword", PASSWORD), ("off", PASSWORD)]
    tried += [("a\0", PASSWORD), ("\x7f", PASSWORD)]
    answers = []
    for login, password in tried:
        answer = await api.sign_in(login, password)
        shown = {name: text for name, text in answer.json().items() if not name.endswith("_id")}
        answers.append((answer.status_code, shown, answer.headers["www-authenticate"]))
    assert answers == [answers[0]] * len(tried)
    assert answers[0][0] == 401


async def test_a_refresh_token_works_once_and_brings_its_successor(api):
    """A chain of them outlives the access tokens."""
    await api.registered()
    tokens = await signed_in(api)
    for _ in range(3):
        answer = await api.client.post(REFRESH, json={"refresh_token": tokens["refresh_token"]})
        assert answer.status_code == 200
        assert answer.json()["refresh_token"] != tokens["refresh_token"]
        tokens = answer.json()
        assert await me(api, tokens["access_token"]) == 200


async def renew(api: AccountApi, token: str) -> Any:
    return await api.client.post(REFRESH, json={"refresh_token": token})


async def lapse(api: AccountApi, token: str) -> None:
    """Have a refresh token be used as long ago as the grace lasts."""
    known = await api.accounts.users.get_refresh(digest(token))
    assert known is not None
    assert known.used_at is not None
    ago = known.used_at - GRACE_SECONDS
    statement = update(RefreshTokenRow).where(RefreshTokenRow.id == known.id).values(used_at=ago)
    async with api.accounts.engine.begin() as connection:
        await connection.execute(statement)


async def test_a_refresh_token_that_comes_twice_revokes_all_that_followed(api):
    """A thief and its victim both have to sign in again; another sign-in is not touched."""
    await api.registered()
    first, other = await signed_in(api), await signed_in(api)
    stolen = first["refresh_token"]
    second = (await renew(api, stolen)).json()
    await lapse(api, stolen)
    before = AUTH_REFUSALS.labels("reused")._value.get()
    assert (await renew(api, stolen)).status_code == 401
    assert AUTH_REFUSALS.labels("reused")._value.get() == before + 1
    assert (await renew(api, second["refresh_token"])).status_code == 401
    assert (await renew(api, other["refresh_token"])).status_code == 200


async def test_a_refresh_token_whose_answer_was_lost_works_again_for_a_moment(api):
    """A page that is loaded anew meanwhile stays signed in; the successor that was lost is void."""
    await api.registered()
    token = (await signed_in(api))["refresh_token"]
    await renew(api, token)  # its answer is lost
    again = await renew(api, token)
    assert again.status_code == 200
    following = (await renew(api, again.json()["refresh_token"])).json()
    assert (await renew(api, token)).status_code == 401  # its successor was used
    assert (await renew(api, following["refresh_token"])).status_code == 401
    other = (await signed_in(api))["refresh_token"]
    lost = (await renew(api, other)).json()["refresh_token"]
    kept = (await renew(api, other)).json()["refresh_token"]
    for used in (lost, kept):  # both are in somebody's hands
        assert (await renew(api, used)).status_code == 401


async def test_of_many_that_use_a_refresh_token_at_once_one_has_a_successor(api):
    """The others' are void; there is one way on."""
    await api.registered()
    token = (await signed_in(api))["refresh_token"]
    answers = await asyncio.gather(*(renew(api, token) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {200}
    found = [
        await api.accounts.users.get_refresh(digest(answer.json()["refresh_token"]))
        for answer in answers
    ]
    assert len([one for one in found if one.used_at is None]) == 1


def sign_in_of(api: AccountApi, users: Users, passwords: Passwords) -> SignIn:
    authenticator = api.accounts.authenticator
    return SignIn(users, passwords, authenticator.tokens, authenticator, refresh_seconds=60)


async def test_a_sign_in_that_a_new_password_overtakes_brings_no_tokens(api):
    """The old password was right when it was checked: who stole it must not stay signed in."""
    user = await api.registered()

    class Overtaken(Passwords):
        async def verify(self, password: str, stored: str | None) -> tuple[bool, str | None]:
            found = await super().verify(password, stored)
            await api.accounts.registration.set_password(user.id, OTHER_PASSWORD, user.id)
            return found

    with pytest.raises(Unauthorized):
        await sign_in_of(api, api.accounts.users, Overtaken()).by_password("ann", PASSWORD)
    await signed_in(api, password=OTHER_PASSWORD)


async def test_a_renewal_that_a_sign_out_overtakes_brings_no_tokens(api):
    """Else one browser would stay signed in."""
    await api.registered()
    token = (await signed_in(api))["refresh_token"]
    before = AUTH_REFUSALS.labels("revoked")._value.get()

    class Overtaken(Users):
        async def get(self, user_id: str) -> User | None:
            found = await super().get(user_id)
            await self.sign_out(user_id, time.time())
            return found

    with pytest.raises(Unauthorized):
        await sign_in_of(api, Overtaken(api.accounts.engine), Passwords()).by_refresh(token)
    assert AUTH_REFUSALS.labels("revoked")._value.get() == before + 1


async def test_a_script_that_fails_keeps_nobody_of_its_address_from_signing_in(tmp_path):
    """Failed requests, sign-ins and the renewals of each session are counted apart."""
    async with account_api(tmp_path, address_rate="3/hour") as api:
        await api.registered()
        for status in (401, 401, 401, 429):
            assert await me(api, "vitrine_revoked") == status
        one, two = await signed_in(api), await signed_in(api)
        for status in (200, 200, 200, 429):
            answer = await renew(api, one["refresh_token"])
            assert answer.status_code == status
            one = answer.json() if status == 200 else one
        assert (await renew(api, two["refresh_token"])).status_code == 200
        assert (await renew(api, "vitrine_refresh_x")).status_code == 429  # a failed request
        await signed_in(api)
        assert (await api.sign_in()).status_code == 429


@pytest.mark.parametrize("token", ["", "x", "\ud800", "a" * 5000, "vitrine_refresh_x"])
async def test_what_is_no_refresh_token_is_refused(api, token):
    """No text is a fault of ours."""
    answer = await api.client.post(
        REFRESH, content=json.dumps({"refresh_token": token}), headers=JSON
    )
    assert answer.status_code in {401, 422}


async def test_signing_out_ends_every_session_but_no_key(api):
    """Of this user alone; the next sign-in works at once."""
    user, other = await api.registered(), await api.registered("bob")
    key = await api.key(user)
    one, two, bobs = await signed_in(api), await signed_in(api), await signed_in(api, "bob")
    assert await me(api, two["access_token"]) == 200
    answer = await api.client.delete(TOKENS, headers=bearer(one["access_token"]))
    assert answer.status_code == 204
    for tokens in (one, two):
        assert await me(api, tokens["access_token"]) == 401
        body = {"refresh_token": tokens["refresh_token"]}
        assert (await api.client.post(REFRESH, json=body)).status_code == 401
    assert await me(api, key) == 200
    assert await me(api, bobs["access_token"]) == 200
    assert await me(api, (await signed_in(api))["access_token"]) == 200
    assert other.id != user.id


async def test_a_session_is_signed_out_alone_by_its_refresh_token(api):
    """The other browsers stay; a token of somebody else ends nothing."""
    await api.registered()
    await api.registered("bob")
    one, two, bobs = await signed_in(api), await signed_in(api), await signed_in(api, "bob")
    for token in (one["refresh_token"], bobs["refresh_token"], "unknown"):
        answer = await api.client.request(
            "DELETE",
            TOKENS,
            json={"refresh_token": token},
            headers=bearer(one["access_token"]),
        )
        assert answer.status_code == 204, answer.text
    assert (await renew(api, one["refresh_token"])).status_code == 401
    for tokens in (two, bobs):
        assert await me(api, tokens["access_token"]) == 200
        assert (await renew(api, tokens["refresh_token"])).status_code == 200


async def test_a_new_password_signs_out_and_the_old_one_is_gone(api):
    """The current one is asked for, so that an open browser is not enough."""
    await api.registered()
    tokens = await signed_in(api)
    headers = bearer(tokens["access_token"])
    body = {"current": "wrong password", "new": OTHER_PASSWORD}
    assert (await api.client.post(f"{ME}/password", json=body, headers=headers)).status_code == 403
    body["current"] = PASSWORD
    assert (await api.client.post(f"{ME}/password", json=body, headers=headers)).status_code == 204
    assert await me(api, tokens["access_token"]) == 401
    assert (await api.sign_in()).status_code == 401
    await signed_in(api, password=OTHER_PASSWORD)


async def test_a_wrong_current_password_counts_as_an_attempt(api):
    """With a stolen token it can be guessed, as at the sign-in."""
    headers = api.token(await api.registered())
    before = AUTH_ATTEMPTS.labels("password", "refused")._value.get()
    body = {"current": "wrong password", "new": OTHER_PASSWORD}
    await api.client.post(f"{ME}/password", json=body, headers=headers)
    change = {"email": "bob@example.org", "password": "wrong password"}
    await api.client.patch(ME, json=change, headers=headers)
    assert AUTH_ATTEMPTS.labels("password", "refused")._value.get() == before + 2


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", f"{ME}/password", {"current": "wrong password", "new": OTHER_PASSWORD}),
        ("PATCH", ME, {"email": "bob@example.org", "password": "wrong password"}),
        ("DELETE", ME, {"password": "wrong password"}),
    ],
)
async def test_current_passwords_are_limited_as_sign_ins_are(tmp_path, method, path, body):
    """By the address, before one is checked: a right guess beyond the rate is refused as well."""
    async with account_api(tmp_path, address_rate="2/hour") as api:
        headers = api.token(await api.registered())
        right = {name: PASSWORD if "wrong" in value else value for name, value in body.items()}
        for sent, status in ((body, 403), (body, 403), (body, 429), (right, 429)):
            answer = await api.client.request(method, path, json=sent, headers=headers)
            assert answer.status_code == status, answer.text
        assert (await api.sign_in()).status_code == 429
        change = {"full_name": "Ann Other"}
        assert (await api.client.patch(ME, json=change, headers=headers)).status_code == 200


async def test_a_link_to_an_email_that_the_user_has_left_is_void(api):
    """Whoever reads the old mailbox must not get the account."""
    user = await api.registered()
    now = time.time()
    link = OneTimeToken(new_id(now), "reset", user.id, user.email, digest("link"), now + 100)
    await api.accounts.users.add_one_time(link, now)
    change = {"email": "ann2@example.org", "password": PASSWORD}
    assert (await api.client.patch(ME, json=change, headers=api.token(user))).status_code == 200
    body = {"token": "link", "password": OTHER_PASSWORD}
    assert (await api.client.post("/v1/passwords", json=body)).status_code == 403
    await signed_in(api)


async def test_a_user_changes_and_deletes_itself(api):
    """Its keys fail with it; a name that is taken is refused."""
    user = await api.registered()
    await api.registered("bob")
    key, headers = await api.key(user), api.token(user)
    answer = await api.client.patch(ME, json={"full_name": "Ann Other"}, headers=headers)
    assert (answer.json()["full_name"], answer.json()["username"]) == ("Ann Other", "ann")
    change = {"email": "Ann2@example.org", "password": "x" * 12}
    assert (await api.client.patch(ME, json=change, headers=headers)).status_code == 403
    del change["password"]
    assert (await api.client.patch(ME, json=change, headers=headers)).status_code == 403
    change["password"] = PASSWORD
    answer = await api.client.patch(ME, json=change, headers=headers)
    assert answer.json()["email"] == "ann2@example.org"
    answer = await api.client.patch(ME, json={"username": "BOB"}, headers=headers)
    assert answer.status_code == 409
    assert (await api.client.patch(ME, json={}, headers=headers)).status_code == 200
    assert (await api.client.patch(ME, json={"role": "admin"}, headers=headers)).status_code == 422
    for body in (None, {}, {"password": "x" * 12}):
        answer = await api.client.request("DELETE", ME, json=body, headers=headers)
        assert answer.status_code == 403, answer.text
    assert await me(api, key) == 200
    body = {"password": PASSWORD}
    answer = await api.client.request("DELETE", ME, json=body, headers=bearer(key))
    assert answer.status_code == 403
    answer = await api.client.request("DELETE", ME, json=body, headers=headers)
    assert answer.status_code == 204
    assert await me(api, key) == 401
    assert (await api.client.get(ME, headers=headers)).status_code == 401
    assert (await api.sign_in()).status_code == 401
    assert (await api.client.post(USERS, json={**NEW, "email": "ann2@example.org"})).is_success
    root = api.token(await api.user("root", "admin"))
    assert (await api.client.delete(ME, headers=root)).status_code == 409


async def test_a_user_without_a_password_deletes_itself_by_its_token(api):
    """One of an OpenID Connect provider has nothing else to show."""
    user = await api.user(issuer="https://login.example.org", subject="7")
    assert (await api.client.delete(ME, headers=api.token(user))).status_code == 204
    found = await api.accounts.users.get(user.id)
    assert found is not None
    assert (found.is_deleted, found.active) == (True, False)


async def test_a_key_sees_what_is_left_and_nothing_personal_of_its_user(api):
    """Whatever its scopes: a program that has it needs no e-mail, and a thief gets none."""
    user = await api.user()
    for scopes in ([], ["jobs", "predict"]):
        key = await api.key(user, scopes)
        found = (await api.client.get(ME, headers=bearer(key))).json()
        assert found.pop("month_ends_at").endswith("Z")
        assert found == {
            "id": user.id,
            "scopes": scopes,
            "monthly_quota": 10,
            "month_used": 0,
            "month_left": 10,
        }
    seen = (await api.client.get(ME, headers=api.token(user))).json()
    assert (seen["email"], seen["month_left"]) == (user.email, 10)


async def test_a_key_is_shown_once_listed_without_its_secret_and_revoked(api):
    """Its prefix is what secret scanners look for."""
    headers = api.token(await api.user())
    body = {"name": "camera", "scopes": ["jobs", "predict"], "expires_in_days": 1}
    answer = await api.client.post(KEYS, json=body, headers=headers)
    assert answer.status_code == 201
    made = answer.json()
    text = made.pop("key")
    assert text.startswith(f"vitrine_{made['id']}_")
    assert len(text.removeprefix(f"vitrine_{made['id']}_")) == 43
    assert await me(api, text) == 200
    listed = await api.client.get(KEYS, headers=headers)
    assert listed.json() == {"keys": [made]}
    assert text not in listed.text
    assert (await api.client.delete(f"{KEYS}/{made['id']}", headers=headers)).status_code == 204
    assert await me(api, text) == 401
    assert (await api.client.get(KEYS, headers=headers)).json() == {"keys": []}
    for key_id in (made["id"], "0" * 32, "%00", "x"):
        answer = await api.client.delete(f"{KEYS}/{key_id}", headers=headers)
        assert answer.status_code == 404


async def test_a_token_alone_makes_no_key(api):
    """It would make itself permanent: the password is asked for, or a token that is fresh."""
    await api.registered()
    headers = bearer((await signed_in(api))["access_token"])
    for body in ({"name": "x"}, {"name": "x", "password": "wrong password"}):
        assert (await api.client.post(KEYS, json=body, headers=headers)).status_code == 403
    body = {"name": "x", "password": PASSWORD}
    assert (await api.client.post(KEYS, json=body, headers=headers)).status_code == 201
    user = await api.user("bob")  # as of a provider: without a password
    for age, status in ((FRESH_SECONDS - 60, 201), (FRESH_SECONDS + 1, 403)):
        tokens = AccessTokens(
            [("one", SECRET.encode())],
            seconds=900,
            encrypted=False,
            clock=lambda age=age: time.time() - age,
        )
        headers = bearer(tokens.issue(user.id))
        answer = await api.client.post(KEYS, json={"name": "x"}, headers=headers)
        assert answer.status_code == status, answer.text


async def test_an_administrator_lists_and_revokes_the_keys_of_others(api, capsys):
    """Those of the user that the path names alone; the audit log says who did it."""
    root, ann = await api.user("root", "admin"), await api.user("ann")
    key, roots = await api.key(ann), await api.key(root)
    headers, path = api.token(root), f"{USERS}/{ann.id}/keys"
    listed = (await api.client.get(path, headers=headers)).json()["keys"]
    assert [one["id"] for one in listed] == [key.split("_")[1]]
    assert key not in str(listed)
    for wrong in (roots.split("_")[1], "x"):
        assert (await api.client.delete(f"{path}/{wrong}", headers=headers)).status_code == 404
    answer = await api.client.delete(f"{path}/{key.split('_')[1]}", headers=headers)
    assert answer.status_code == 204
    assert await me(api, key) == 401
    assert await me(api, roots) == 200
    assert (await api.client.get(f"{USERS}/{'0' * 32}/keys", headers=headers)).status_code == 404
    (event,) = [line for line in capsys.readouterr().out.splitlines() if "key_revoked" in line]
    assert (json.loads(event)["actor"], json.loads(event)["subject"]) == (root.id, ann.id)


@pytest.mark.parametrize("given", [{}, {"revoke_keys": False}])
async def test_a_reset_revokes_the_keys_unless_they_are_kept(api, given):
    """Who knew the old password may have made them."""
    user, other = await api.registered(), await api.user("bob")
    key, others = await api.key(user), await api.key(other)
    token = "vitrine_reset_x"
    now = time.time()
    link = OneTimeToken(new_id(now), "reset", user.id, user.email, digest(token), now + 60)
    await api.accounts.users.add_one_time(link, now)
    assert await me(api, key) == 200  # and is cached
    body = {"token": token, "password": OTHER_PASSWORD, **given}
    assert (await api.client.post("/v1/passwords", json=body)).status_code == 204
    assert await me(api, key) == (200 if given else 401)
    assert await me(api, others) == 200


async def test_a_key_has_no_scope_that_its_user_lacks(api):
    """Nor keeps it one that the user loses."""
    user = await api.user("root", "admin")
    key, headers = await api.key(user, ["admin"]), api.token(await api.user("ann"))
    answer = await api.client.post(KEYS, json={"name": "x", "scopes": ["admin"]}, headers=headers)
    assert answer.status_code == 403
    assert (await api.client.get(USERS, headers=bearer(key))).status_code == 200
    await api.accounts.users.change(user.id, role="user")
    api.accounts.authenticator.forget(user.id)
    assert (await api.client.get(USERS, headers=bearer(key))).status_code == 403


async def test_a_user_that_was_disabled_elsewhere_makes_no_key(api):
    """It would work once the user is enabled again."""
    user = await api.user()
    headers = api.token(user)
    assert (await api.client.get(ME, headers=headers)).status_code == 200
    await api.accounts.users.change(user.id, active=False)  # by another process
    answer = await api.client.post(KEYS, json={"name": "x"}, headers=headers)
    assert answer.status_code == 403


@pytest.mark.parametrize(
    "body",
    [
        {"name": ""},
        {"name": "a\0b"},
        {"name": "\ud800"},
        {"name": "x", "scopes": ["root"]},
        {"name": "x", "expires_in_days": 0},
        {"name": "x", "priority": "first"},
    ],
)
async def test_a_key_that_cannot_be_is_422(api, body):
    """Before anything is stored."""
    headers = api.token(await api.user())
    answer = await api.client.post(KEYS, content=json.dumps(body), headers={**headers, **JSON})
    assert answer.status_code == 422


async def test_an_administrator_sees_and_changes_users(api):
    """Disabling one holds at once here; nobody disables itself."""
    user, root = await api.user("ann"), await api.user("root", "admin")
    headers, key = api.token(root), await api.key(user)
    page = (await api.client.get(f"{USERS}?limit=1", headers=headers)).json()
    assert [one["username"] for one in page["users"]] == ["root"]
    page = (await api.client.get(page["next"], headers=headers)).json()
    assert ([one["username"] for one in page["users"]], page["next"]) == (["ann"], None)
    path = f"{USERS}/{user.id}"
    answer = await api.client.patch(path, json={"monthly_quota": 500}, headers=headers)
    assert answer.json()["monthly_quota"] == 500
    answer = await api.client.patch(path, json={"monthly_quota": None}, headers=headers)
    assert answer.json()["monthly_quota"] == 10
    assert await me(api, key) == 200
    assert (await api.client.patch(path, json={"active": False}, headers=headers)).json()[
        "active"
    ] is False
    assert await me(api, key) == 401
    itself = f"{USERS}/{root.id}"
    for change in ({"active": False}, {"role": "user"}):
        assert (await api.client.patch(itself, json=change, headers=headers)).status_code == 409
    for user_id in ("0" * 32, "%00", "x"):
        assert (await api.client.get(f"{USERS}/{user_id}", headers=headers)).status_code == 404


async def test_what_a_disabled_user_had_stays_void_once_it_is_enabled(api):
    """It may have been disabled because a token or a key was stolen."""
    user, root = await api.registered(), api.token(await api.user("root", "admin"))
    key, tokens = await api.key(user), await signed_in(api)
    path = f"{USERS}/{user.id}"
    for change in ({"active": False}, {"active": True}):
        answer = await api.client.patch(path, json=change, headers=root)
        assert answer.status_code == 200, answer.text
    assert await me(api, key) == 401
    assert await me(api, tokens["access_token"]) == 401
    answer = await api.client.post(REFRESH, json={"refresh_token": tokens["refresh_token"]})
    assert answer.status_code == 401
    assert await me(api, (await signed_in(api))["access_token"]) == 200


@pytest.mark.parametrize("change", [{"active": False}, {"role": "user"}])
async def test_the_last_administrator_cannot_be_disabled_or_demoted(api, change):
    """One that another process has just disabled is cached here, and would leave none."""
    root, other = await api.user("root", "admin"), await api.user("other", "admin")
    headers = api.token(other)
    assert (await api.client.get(USERS, headers=headers)).status_code == 200
    await api.accounts.users.change(other.id, **change)
    answer = await api.client.patch(f"{USERS}/{root.id}", json=change, headers=headers)
    assert answer.status_code == 409
    assert (await api.accounts.users.get(root.id)) == root


async def test_each_change_of_rights_is_one_audit_event_with_ids_alone(api, capsys):
    """Who did what to whom: no name, e-mail, key or password."""
    root = await api.registered("root", "admin")
    user = await api.user("ann")
    headers = api.token(user)
    body = {"name": "camera", "scopes": ["predict"]}
    made = await api.client.post(KEYS, json=body, headers=headers)
    await api.client.delete(f"{KEYS}/{made.json()['id']}", headers=headers)
    change = {"role": "admin", "monthly_quota": 7}
    await api.client.patch(f"{USERS}/{user.id}", json=change, headers=api.token(root))
    await api.client.post("/v1/invitations", json={}, headers=api.token(root))
    change = {"email": "root2@example.org", "password": PASSWORD}
    await api.client.patch(ME, json=change, headers=api.token(root))
    written = capsys.readouterr().out
    events = [json.loads(line) for line in written.splitlines() if '"audit"' in line]
    assert [(event["action"], event["actor"]) for event in events] == [
        ("user_created", root.id),
        ("key_created", user.id),
        ("key_revoked", user.id),
        ("user_changed", root.id),
        ("invitation_created", root.id),
        ("email_changed", root.id),
    ]
    assert (events[3]["subject"], events[3]["role"], events[3]["monthly_quota"]) == (
        user.id,
        "admin",
        7,
    )
    for secret in (PASSWORD, made.json()["key"], "example.org", "Example", "camera", SECRET):
        assert secret not in written


async def test_a_caller_is_cached_for_seconds_and_the_last_use_is_written_later(tmp_path):
    """So that a request costs no query: a revocation elsewhere holds when the cache has lapsed."""
    async with account_api(tmp_path) as api:
        user = await api.user()
        key = await api.key(user)
        key_id = key.split("_")[1]
        assert await me(api, key) == 200
        await api.accounts.users.revoke_key(key_id, user.id, time.time())  # by another process
        assert await api.accounts.authenticator.authenticate(key)
        later = authentication.Authenticator(
            api.accounts.users,
            api.accounts.authenticator.tokens,
            10,
            clock=lambda: time.time() + authentication.CACHE_SECONDS + 1,
        )
        later._cached = dict(api.accounts.authenticator._cached)
        with pytest.raises(Exception, match="revoked"):
            await later.authenticate(key)
        (row, _) = await api.accounts.users.get_key(key_id)
        assert row.last_used_at is None
        await api.accounts.authenticator.flush_last_use()
        (row, _) = await api.accounts.users.get_key(key_id)
        assert row.last_used_at == pytest.approx(time.time(), abs=30)


async def test_attempts_are_counted_by_method_and_outcome(api):
    """For the alert on a wave of failed sign-ins."""

    def counts() -> dict[tuple[str, str], float]:
        pairs = product(("password", "refresh", "key"), ("ok", "refused"))
        return {pair: AUTH_ATTEMPTS.labels(*pair)._value.get() for pair in pairs}

    user = await api.registered()
    before = counts()
    tokens = await signed_in(api)
    await api.sign_in(password="x" * 12)
    body = {"refresh_token": tokens["refresh_token"]}
    await api.client.post(REFRESH, json=body)
    await renew(api, "vitrine_refresh_x")
    await me(api, await api.key(user))
    await me(api, f"vitrine_{'0' * 32}_x")
    after = counts()
    assert {pair: after[pair] - before[pair] for pair in before} == dict.fromkeys(before, 1)


class Inbox:
    """A mail server's handler."""

    def __init__(self) -> None:
        self.received: asyncio.Queue[Any] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()

    async def handle_DATA(self, _server, _session, envelope) -> str:  # noqa: N802 - aiosmtpd's name
        message = message_from_bytes(envelope.content, policy=default)
        self._loop.call_soon_threadsafe(self.received.put_nowait, (envelope.rcpt_tos, message))
        return "250 OK"


async def test_a_link_by_mail_sets_a_new_password_once(tmp_path):
    """An unknown e-mail has the same answer, and no mail."""
    inbox, port = Inbox(), free_port()
    controller = Controller(inbox, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        mail = {
            "smtp_url": f"smtp://127.0.0.1:{port}",
            "mail_from": "vitrine@example.org",
            "public_url": "https://vitrine.example.org/",
        }
        async with account_api(tmp_path, **mail) as api:
            user = await api.registered()
            old = await signed_in(api)
            answers = [
                await api.client.post("/v1/passwords/reset-requests", json={"email": email})
                for email in ("nobody@example.org", "ANN@example.org")
            ]
            assert [answer.status_code for answer in answers] == [202, 202]
            assert answers[0].content == answers[1].content
            async with asyncio.timeout(20):
                to, message = await inbox.received.get()
            assert to == ["ann@example.org"]
            text = message.get_content()
            token = text.partition("https://vitrine.example.org/#reset=")[2].split()[0]
            body = {"token": token, "password": OTHER_PASSWORD}
            assert (await api.client.post("/v1/passwords", json=body)).status_code == 204
            assert (await api.client.post("/v1/passwords", json=body)).status_code == 403
            assert await me(api, old["access_token"]) == 401
            assert (await api.sign_in()).status_code == 401
            await signed_in(api, password=OTHER_PASSWORD)
            assert inbox.received.empty()
            assert user.email not in str(answers[1].headers)
    finally:
        controller.stop()


class Outbox(Mailer):
    """Holds the links that would be mailed."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self._work: list[Any] = []

    def start(self, work: Any) -> None:
        self._work.append(work)

    async def send_reset_link(self, address: str, token: str, valid_seconds: float) -> None:
        assert token.startswith("vitrine_reset_")
        assert valid_seconds <= 3600
        self.sent.append(address)

    async def deliver(self) -> list[str]:
        """To whom mail goes since the last delivery."""
        work, self._work, self.sent = self._work, [], []
        await asyncio.gather(*work)
        return self.sent


async def test_a_user_has_one_link_a_minute_however_often_it_is_asked_for(api):
    """Else anyone could fill its mailbox."""
    now, outbox = time.time(), Outbox()
    user = await api.user(password_hash="a hash")
    services = (api.settings, api.accounts.users, Passwords(), outbox)
    registration = Registration(*services, clock=lambda: now)
    for _ in range(5):
        registration.request_reset(user.email)
    assert await outbox.deliver() == [user.email]
    now += RESET_PAUSE_SECONDS - 1
    registration.request_reset(user.email)
    assert await outbox.deliver() == []
    now += 2
    registration.request_reset(user.email)
    assert await outbox.deliver() == [user.email]


@pytest.mark.parametrize(
    "change",
    [
        {"active": False, "password_hash": "a hash"},
        {"issuer": "https://login.example.org", "subject": "7"},
    ],
)
async def test_a_user_that_cannot_sign_in_by_password_has_no_link(api, change):
    """A password would open the account of a user whom its provider does not let in any more."""
    user, outbox = await api.user(**change), Outbox()
    registration = Registration(api.settings, api.accounts.users, Passwords(), outbox)
    registration.request_reset(user.email)
    assert await outbox.deliver() == []


async def test_a_mail_server_that_hangs_does_not_collect_mails_for_ever(api):
    """Those beyond a number are refused, whoever they are for."""
    hangs = asyncio.Event()
    mailer = Mailer(api.settings)

    async def send() -> None:
        await hangs.wait()

    for _ in range(MAX_WAITING):
        mailer.start(send())
    with pytest.raises(Overloaded):
        mailer.start(send())
    hangs.set()
    await mailer.aclose()
    mailer.start(send())
    await mailer.aclose()


async def test_a_server_that_sends_no_mail_says_so(api):
    """Then operators reset passwords: `python -m project users reset-password`."""
    body = {"email": "ann@example.org"}
    answer = await api.client.post("/v1/passwords/reset-requests", json=body)
    assert answer.status_code == 403
    body = {"token": "x", "password": PASSWORD}
    assert (await api.client.post("/v1/passwords", json=body)).status_code == 403


async def test_encrypted_tokens_are_accepted_and_cannot_be_read(tmp_path):
    """With TOKEN_ENCRYPTION; tokens from before its change still work."""
    async with account_api(tmp_path / "plain") as plain:
        token = plain.accounts.authenticator.tokens.issue("0" * 32)
    assert token.count(".") == 2
    async with account_api(tmp_path / "encrypted", token_encryption=True) as api:
        user = await api.registered()
        tokens = await signed_in(api)
        assert tokens["access_token"].count(".") == 4
        assert await me(api, tokens["access_token"]) == 200
        api.accounts.authenticator.tokens._encrypted = False
        assert await me(api, api.accounts.authenticator.tokens.issue(user.id)) == 200


async def test_keys_that_sign_tokens_rotate_without_signing_out(tmp_path):
    """The newest signs; a token of the old one works until the old one is removed."""
    first, second = f"one:{SECRET}", "two:" + "t" * 32
    async with account_api(tmp_path, token_keys=first) as api:
        old = (await api.user("ann")).id, api.accounts.authenticator.tokens
        token = old[1].issue(old[0])
    async with account_api(tmp_path, token_keys=f"{second},{first}") as api:
        assert await me(api, token) == 200
        newer = api.accounts.authenticator.tokens.issue(old[0])
    async with account_api(tmp_path, token_keys=second) as api:
        assert await me(api, token) == 401
        assert await me(api, newer) == 200


async def test_documentation_can_be_closed(tmp_path):
    """DOCS=off; the API itself is as before."""
    async with account_api(tmp_path, docs=False) as api:
        for path in ("/docs", "/openapi.json", "/docs/files/swagger-ui.css"):
            assert (await api.client.get(path)).status_code == 404
        key = await api.key(await api.user())
        assert (await api.client.get("/v1/models", headers=bearer(key))).status_code == 200


async def test_openapi_declares_who_may_ask(api):
    """With the padlocks of /docs: a bearer token, or the password form."""
    document = (await api.client.get("/openapi.json")).json()
    schemes = document["components"]["securitySchemes"]
    assert schemes["bearer"]["scheme"] == "bearer"
    assert schemes["password"]["flows"]["password"]["tokenUrl"] == TOKENS
    secured = {
        (method, path)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if operation.get("security")
    }
    assert ("post", "/v1/models/shade/predictions") in secured
    assert ("get", "/v1/jobs/{job_id}") in secured
    assert not {("post", TOKENS), ("post", USERS), ("get", "/health"), ("get", "/ready")} & secured
    for method, path in secured:
        assert {"401", "403"} <= set(document["paths"][path][method]["responses"])


async def test_openapi_has_the_limits_of_each_operation(api):
    """Wherever there is a refusal by a limit; what is charged says what is left."""
    document = (await api.client.get("/openapi.json")).json()
    operations = {
        (method, path): operation["responses"]
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }
    limited = [one for one in operations if operations[one].get("429")]
    assert {("post", TOKENS), ("post", USERS), ("get", ME), ("get", "/v1/jobs")} <= set(limited)
    assert ("get", "/health") not in limited
    for one in limited:
        assert {*LIMITS, "Retry-After"} <= set(operations[one]["429"]["headers"]), one
    charged = {
        (method, path)
        for (method, path), responses in operations.items()
        if any(set(responses.get(status, {}).get("headers", ())) >= LIMITS for status in SUCCESSES)
    }
    paths = [f"/v1/models/{name}/{what}" for name in MODELS for what in ("predictions", "jobs")]
    assert charged == {("post", path) for path in paths}


async def test_what_a_limit_answers_is_what_openapi_says(tmp_path):
    """The fields of an answer to a prediction, and of a refusal."""
    async with account_api(tmp_path, caller_rate="1/hour") as api:
        headers = {**api.token(await api.user()), "Content-Type": "image/png"}
        path = "/v1/models/shade/predictions"
        document = (await api.client.get("/openapi.json")).json()
        described = document["paths"][path]["post"]["responses"]
        for status in (200, 429):
            answer = await api.client.post(path, content=picture(), headers=headers)
            assert answer.status_code == status, answer.text
            fields = {name.lower() for name in described[str(status)]["headers"]}
            assert fields <= set(answer.headers)


@pytest.mark.parametrize(
    "change", [{"monthly_quota": False}, {"monthly_quota": "5"}, {"active": "no"}, {"active": 0}]
)
async def test_what_only_looks_like_a_number_or_a_switch_is_refused(api, change):
    """False would be a quota of 0."""
    root, ann = await api.user("root", "admin"), await api.user("ann")
    answer = await api.client.patch(f"{USERS}/{ann.id}", json=change, headers=api.token(root))
    assert answer.status_code == 422
    assert await api.accounts.users.get(ann.id) == ann
