"""Tokens of an OpenID Connect provider: what is accepted, and when its keys are loaded."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey
from joserfc.jws import JWSRegistry

from project.accounts.oidc import OidcProvider
from project.accounts.oidc_keys import (
    MAX_BYTES,
    MIN_RELOAD_SECONDS,
    REFRESH_SECONDS,
    ProviderKeys,
)
from project.db.account_records import User
from project.db.users import Users
from project.errors import AccountConflict, ProviderUnavailable, Unauthorized
from project.observability.metrics import AUTH_REFUSALS
from tests.conftest import make_settings
from tests.deploy.http_stub import serve
from tests.oidc_issuer import AUDIENCE, Issuer, ec_key, ed25519_key, rsa_key

pytestmark = pytest.mark.anyio

RSA = rsa_key("rsa")  # takes a tenth of a second to make


class FakeUsers(Users):
    """Users by subject, of which no two have the same e-mail."""

    def __init__(self) -> None:
        self.users: list[User] = []

    async def add(self, user: User) -> None:
        if any(user.email == other.email for other in self.users):
            raise AccountConflict("taken")
        self.users.append(user)

    async def find_subject(self, issuer: str, subject: str) -> User | None:
        await asyncio.sleep(0)  # as a query: others run meanwhile
        same = [one for one in self.users if (one.issuer, one.subject) == (issuer, subject)]
        return same[0] if same else None


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with serve(Issuer()) as issuer:
        yield issuer


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def users() -> FakeUsers:
    return FakeUsers()


def provider_of(issuer: Issuer, users: Users, clock: Clock, **changes: Any) -> OidcProvider:
    given = {"oidc_issuer": issuer.url, "oidc_audience": AUDIENCE, "registration": "open"}
    settings = make_settings(**given | changes)
    return OidcProvider(settings, users, ProviderKeys(issuer.url, clock=clock))


@pytest.fixture
async def provider(issuer: Issuer, users: FakeUsers, clock: Clock) -> AsyncIterator[OidcProvider]:
    provider = provider_of(issuer, users, clock)
    yield provider
    await provider.aclose()


async def subject_of(provider: OidcProvider, token: str) -> str | None:
    """Whose token it is, as a request finds it out."""
    assert provider.handles(token)
    return (await provider.authenticate(token))[0].subject


def counted(reason: str) -> float:
    return AUTH_REFUSALS.labels(reason)._value.get()


async def refusal(provider: OidcProvider, token: str) -> str:
    """The reason for which a token is refused, as it is counted."""
    reasons = ("invalid", "issuer", "expired", "unknown")
    before = {reason: counted(reason) for reason in reasons}
    with pytest.raises(Unauthorized):
        await provider.authenticate(token)
    (found,) = [reason for reason in reasons if counted(reason) > before[reason]]
    return found


def unsigned(claims: dict[str, Any]) -> str:
    parts = [{"alg": "none", "kid": "one"}, claims]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()) for part in parts]
    return b".".join(part.rstrip(b"=") for part in encoded).decode() + "."


@pytest.mark.parametrize("key", [RSA, ec_key("ec"), ed25519_key("ed")], ids=lambda key: key.kid)
@pytest.mark.parametrize("changes", [{}, {"aud": ["other", AUDIENCE]}])
async def test_a_right_token_is_its_subjects(issuer, provider, key, changes):
    """RS256, ES256 and Ed25519; for one audience or for several."""
    issuer.key = key
    assert await subject_of(provider, issuer.token(**changes)) == "ann-at-the-provider"


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")  # where the test signs
async def test_the_former_name_of_ed25519_is_accepted(issuer, provider):
    """Providers send it, and headers of their own; neither is warned of at each token."""
    issuer.key = ed25519_key("ed")
    header = {"alg": "EdDSA", "typ": "at+JWT", "nonce": "x"}
    signed = jwt.encode(
        header | {"kid": "ed"},
        issuer.claims(),
        issuer.key,
        registry=JWSRegistry(algorithms=["EdDSA"], strict_check_header=False),
    )
    assert await subject_of(provider, signed) == "ann-at-the-provider"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"aud": "another"}, "issuer"),
        ({"aud": ["another"]}, "issuer"),
        ({"aud": None}, "invalid"),
        ({"iss": "https://login.example.org"}, "issuer"),
        ({"iss": None}, "invalid"),
        ({"exp": time.time() - 60}, "expired"),
        ({"exp": None}, "invalid"),
        ({"exp": "never"}, "invalid"),
        ({"iat": None}, "invalid"),
        ({"nbf": time.time() + 1000}, "invalid"),
        ({"sub": None}, "invalid"),
        ({"sub": 7}, "invalid"),
        ({"sub": "x" * 256}, "invalid"),
        ({"sub": "\ud800"}, "invalid"),
        ({"sub": "an\0n"}, "invalid"),
        ({"header": {"typ": "logout+jwt"}}, "invalid"),
        ({"header": {"kid": None}}, "invalid"),
    ],
)
async def test_a_token_with_a_wrong_claim_is_refused(issuer, provider, users, changes, reason):
    """And counted by the reason; no user comes of it."""
    issuer.others = [ec_key("two").as_dict(private=False)]
    header = changes.get("header", {})
    if header.get("kid", ...) is None:  # of two keys it could be either
        token = jwt.encode({"alg": "ES256"}, issuer.claims(), issuer.key)
    else:
        token = issuer.token(**changes)
    assert await refusal(provider, token) == reason
    assert users.users == []


async def test_the_issuer_is_compared_exactly(issuer, provider):
    """A slash at the end makes another one."""
    assert await refusal(provider, issuer.token(iss=f"{issuer.url}/")) == "issuer"


async def test_no_other_algorithm_is_accepted(issuer, provider):
    """Neither `none` nor an HMAC with the published key, whatever the metadata say."""
    issuer.key = RSA
    forged = [
        unsigned(issuer.claims()),
        signed_by_hmac(issuer.claims(), RSA.as_pem(private=False)),
        jwt.encode({"alg": "RS512", "kid": "rsa"}, issuer.claims(), RSA, algorithms=["RS512"]),
    ]
    for token in forged:
        assert not provider.handles(token)
        assert await refusal(provider, token) == "invalid"


def signed_by_hmac(claims: dict[str, Any], secret: bytes) -> str:
    """A token signed by HS256 with the text of the public key, as an attacker makes it."""
    parts = [json.dumps(part).encode() for part in ({"alg": "HS256", "kid": "rsa"}, claims)]
    signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    signature = hmac.new(secret, signed, hashlib.sha256).digest()
    return (signed + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


async def test_a_token_of_another_key_of_the_same_id_is_refused(issuer, provider):
    """An id is a hint; the signature decides. A key of the wrong kind is none either."""
    for key in (ec_key("one"), rsa_key("one")):
        assert await refusal(provider, issuer.token(key=key)) == "invalid"


async def test_of_five_first_callers_one_loads_the_keys(issuer, provider):
    """The others wait for it."""
    tokens = [issuer.token(jti=str(n)) for n in range(5)]
    found = await asyncio.gather(*(subject_of(provider, token) for token in tokens))
    assert set(found) == {"ann-at-the-provider"}
    assert issuer.loads == 1


async def test_an_unknown_key_id_loads_the_keys_once_in_30_seconds(issuer, provider, clock):
    """A flood of invented ids is no flood of requests to the provider."""
    await provider.authenticate(issuer.token())
    assert issuer.loads == 1
    stranger = ec_key("two")
    clock.now += MIN_RELOAD_SECONDS
    assert await refusal(provider, issuer.token(key=stranger)) == "invalid"
    assert issuer.loads == 2
    for n in range(5):
        assert await refusal(provider, issuer.token(key=ec_key(f"other-{n}"))) == "invalid"
    clock.now += MIN_RELOAD_SECONDS - 0.1
    assert await refusal(provider, issuer.token(key=stranger)) == "invalid"
    assert issuer.loads == 2
    clock.now += 0.1
    assert await refusal(provider, issuer.token(key=stranger)) == "invalid"
    assert issuer.loads == 3


async def test_a_rotated_key_is_found(issuer, provider, clock):
    """A token of the new one has the keys loaded; one of the old key is refused then."""
    old = issuer.token()
    await provider.authenticate(old)
    issuer.key = ec_key("two")
    clock.now += MIN_RELOAD_SECONDS
    assert await subject_of(provider, issuer.token()) == "ann-at-the-provider"
    assert issuer.loads == 2
    assert await refusal(provider, old) == "invalid"


async def test_a_withdrawn_key_is_not_accepted_for_ever(issuer, provider, clock):
    """The keys are loaded again in the background, and no request waits for it."""
    old = issuer.token()
    await provider.authenticate(old)
    issuer.key = ec_key("two")
    clock.now += REFRESH_SECONDS + 1
    assert await subject_of(provider, old) == "ann-at-the-provider"
    async with asyncio.timeout(30):
        assert await refusal_soon(provider, old) == "invalid"


async def refusal_soon(provider: OidcProvider, token: str) -> str:
    """The refusal, when the keys that are being loaded are there."""
    while True:
        try:
            await provider.authenticate(token)
        except Unauthorized:
            return await refusal(provider, token)
        await asyncio.sleep(0.01)


def without_key_id(issuer: Issuer, **changes: Any) -> str:
    """A token of a provider with one key, which needs no id."""
    return jwt.encode({"alg": "ES256"}, issuer.claims(**changes), issuer.key)


async def test_a_rotated_key_without_an_id_is_found(issuer, provider, clock):
    """A signature that fails has the keys loaded, once in 30 seconds."""
    old = without_key_id(issuer)
    assert await subject_of(provider, old) == "ann-at-the-provider"
    issuer.key = ec_key("two")
    assert await refusal(provider, without_key_id(issuer)) == "invalid"
    assert issuer.loads == 1
    clock.now += MIN_RELOAD_SECONDS
    tokens = [without_key_id(issuer, jti=str(n)) for n in range(5)]
    found = await asyncio.gather(*(subject_of(provider, token) for token in tokens))
    assert set(found) == {"ann-at-the-provider"}
    assert issuer.loads == 2
    assert await refusal(provider, old) == "invalid"
    assert issuer.loads == 2


async def test_a_withdrawn_key_without_an_id_is_not_accepted_for_ever(issuer, provider, clock):
    """As one with an id."""
    old = without_key_id(issuer)
    await provider.authenticate(old)
    issuer.key = ec_key("two")
    clock.now += REFRESH_SECONDS + 1
    assert await subject_of(provider, old) == "ann-at-the-provider"
    async with asyncio.timeout(30):
        assert await refusal_soon(provider, old) == "invalid"


async def test_while_the_provider_is_away_the_old_keys_stay(issuer, provider, clock):
    """A new one cannot be known; when the provider is back, it is."""
    await provider.authenticate(issuer.token())
    old, issuer.status = issuer.key, 503
    issuer.key = ec_key("two")
    clock.now += REFRESH_SECONDS + 1
    assert await refusal(provider, issuer.token()) == "invalid"
    assert await subject_of(provider, issuer.token(key=old)) == "ann-at-the-provider"
    issuer.status = 200
    clock.now += MIN_RELOAD_SECONDS
    assert await subject_of(provider, issuer.token()) == "ann-at-the-provider"


async def test_without_any_key_yet_the_answer_is_503(issuer, provider, clock):
    """The token may be right: a client must not throw it away. It is asked again after 30 s."""
    issuer.status = 503
    for _ in range(3):
        with pytest.raises(ProviderUnavailable):
            await provider.authenticate(issuer.token())
    assert len(issuer.requests) == 1
    issuer.status = 200
    clock.now += MIN_RELOAD_SECONDS
    assert await subject_of(provider, issuer.token()) == "ann-at-the-provider"


@pytest.mark.filterwarnings("ignore:Key size should be")  # where the test makes a short key
async def test_keys_that_cannot_be_used_do_not_take_the_good_ones_along(issuer, provider):
    """Those of other curves or kinds, too short, broken, for encryption, or no keys at all."""
    short = rsa_key("short", bits=1024)
    unknown_curve = ec_key("strange").as_dict(private=False) | {"crv": "P-999"}
    issuer.others = [
        unknown_curve,
        ECKey.generate_key("P-384", {"kid": "long"}).as_dict(private=False),
        {"kty": "RSA", "kid": "broken", "n": "!", "e": "AQAB"},
        {"kty": "RSA", "kid": "empty"},
        {"kty": "AKP", "kid": "quantum", "alg": "ML-DSA-44", "pub": "AA"},
        {"kty": "oct", "kid": "secret", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"},
        {**ec_key("enc").as_dict(private=False), "use": "enc"},
        {**ec_key("number").as_dict(private=False), "kid": 7},
        short.as_dict(private=False),
        "no key",
        None,
    ]
    assert await subject_of(provider, issuer.token()) == "ann-at-the-provider"
    assert await refusal(provider, issuer.token(key=short)) == "invalid"


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "https://login.example.org"},
        {"issuer": None},
        {"jwks_uri": None},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": "http://["},
    ],
)
async def test_a_discovery_document_of_another_issuer_is_not_used(issuer, provider, changes):
    """Nor one that leads elsewhere than to HTTP."""
    issuer.changes = changes
    with pytest.raises(ProviderUnavailable):
        await provider.authenticate(issuer.token())
    assert issuer.loads == 0


@pytest.mark.parametrize(
    "body",
    [b"", b"no JSON", b"[]", b'{"keys": 7}', b'{"keys": []}', b"\xff", b"[" * 10_000],
    ids=lambda body: repr(body[:12]),
)
async def test_a_key_set_that_is_none_is_not_used(issuer, provider, body):
    """The provider counts as one that does not answer."""
    issuer.body = body
    with pytest.raises(ProviderUnavailable):
        await provider.authenticate(issuer.token())


async def test_a_response_of_the_provider_is_read_to_a_bound(issuer, provider, clock):
    """However much comes."""
    key_set = json.dumps({"keys": [issuer.key.as_dict(private=False)]}).encode()
    issuer.body = key_set.ljust(MAX_BYTES + 1)
    with pytest.raises(ProviderUnavailable):
        await provider.authenticate(issuer.token())
    issuer.body = key_set.ljust(MAX_BYTES)
    clock.now += MIN_RELOAD_SECONDS
    assert await subject_of(provider, issuer.token()) == "ann-at-the-provider"


async def test_a_new_user_has_the_claims_of_its_token(issuer, provider, users):
    """It has no password and no rights but a user's; two first requests at once make one."""
    await asyncio.gather(*(provider.authenticate(issuer.token(jti=str(n))) for n in range(3)))
    (user,) = users.users
    assert (user.issuer, user.subject) == (issuer.url, "ann-at-the-provider")
    assert (user.email, user.full_name) == ("ann@example.org", "Ann Example")
    assert (user.role, user.active, user.password_hash) == ("user", True, None)
    for name in (None, "Ann\0", 7, "", "\ud800"):
        users.users.clear()
        await provider.authenticate(issuer.token(name=name))
        assert users.users[0].full_name == users.users[0].username


@pytest.mark.parametrize(
    "changes",
    [{"email": None}, {"email": "no e-mail"}, {"email": 7}, {"email_verified": False}],
)
async def test_a_new_user_needs_a_verified_email(issuer, provider, users, changes):
    """Of a provider that says whether it is."""
    assert await refusal(provider, issuer.token(**changes)) == "unknown"
    assert users.users == []


async def test_an_email_at_the_provider_opens_no_account_that_has_it_here(issuer, provider, users):
    """The subject alone is the user; another one with the same e-mail is refused."""
    await provider.authenticate(issuer.token())
    assert await refusal(provider, issuer.token(sub="mallory")) == "unknown"
    assert len(users.users) == 1


@pytest.mark.parametrize(
    ("changes", "creates"),
    [
        ({"registration": "closed"}, False),
        ({"registration": "invitation"}, False),
        ({"registration": "closed", "oidc_registration": "open"}, True),
        ({"registration": "open", "oidc_registration": "closed"}, False),
    ],
)
async def test_whether_a_first_token_creates_a_user_is_a_setting(
    issuer, users, clock, changes, creates
):
    """By default it is as for who registers."""
    provider = provider_of(issuer, users, clock, **changes)
    try:
        if creates:
            await provider.authenticate(issuer.token())
        else:
            assert await refusal(provider, issuer.token()) == "unknown"
    finally:
        await provider.aclose()
    assert len(users.users) == creates


async def test_the_claims_of_a_new_user_are_settings(issuer, users, clock):
    """Providers name them as they like."""
    claims = {"oidc_email_claim": "upn", "oidc_name_claim": "display_name"}
    provider = provider_of(issuer, users, clock, **claims)
    try:
        await provider.authenticate(
            issuer.token(email=None, upn="bob@example.org", display_name="Bob")
        )
    finally:
        await provider.aclose()
    assert (users.users[0].email, users.users[0].full_name) == ("bob@example.org", "Bob")


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "e30.e30.e30", "\u00e9.x.y", "W10.e30.e30"])
async def test_what_is_no_token_is_not_the_providers(provider, token):
    """And no error."""
    assert not provider.handles(token)
