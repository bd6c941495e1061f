"""Fields of users, passwords and tokens: what is taken, and that no text is a fault of ours."""

import asyncio
import statistics
import threading
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from project.accounts import fields
from project.accounts.passwords import CONCURRENT_HASHES, MAX_WAITING, Passwords
from project.accounts.tokens import AccessTokens
from project.errors import Overloaded, Unauthorized

CHEAP = Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1)
KEYS = [("one", b"s" * 32)]
anything = st.text(st.characters(exclude_categories=[]), max_size=300)


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("529.982.247-25", "br.cpf:52998224725"),
        ("52998224725", "br.cpf:52998224725"),
        ("11.222.333/0001-81", "br.cnpj:11222333000181"),
        ("12.ABC.345/01DE-35", "br.cnpj:12ABC34501DE35"),
    ],
)
def test_a_document_is_stored_compact_with_its_kind(text, stored):
    """In whatever way it is written."""
    assert fields.document(text, ("br.cpf", "br.cnpj")) == stored


@pytest.mark.parametrize("digit", "0123456789")
def test_a_document_of_one_repeated_digit_is_refused(digit):
    """The check digits of some fit."""
    with pytest.raises(ValueError, match=r"br\.cpf"):
        fields.document(digit * 11, ("br.cpf",))


@given(anything)
def test_every_text_is_a_field_or_has_advice_that_does_not_repeat_it(text):
    """Whatever a client sends: no other exception, and no control character is stored."""
    for check in (
        fields.email,
        fields.username,
        fields.full_name,
        fields.password,
        lambda given: fields.document(given, ("br.cpf", "us.ssn")),
    ):
        stored, advice = "stored", ""
        try:
            stored = check(text)
        except UnicodeError:
            raise
        except ValueError as error:
            advice = str(error)
        assert len(text) < 20 or text not in advice
        assert stored.encode()
        assert check is fields.password or stored.isprintable()


@given(anything | st.from_regex(r"[A-Za-z0-9_=-]*(\.[A-Za-z0-9_=-]*){1,5}", fullmatch=True))
def test_every_text_that_is_no_token_is_refused(text):
    """With Unauthorized and nothing else."""
    tokens = AccessTokens(KEYS, seconds=60, encrypted=False, clock=time.time)
    with suppress(UnicodeEncodeError):  # no header holds such text
        text.encode()
        with pytest.raises(Unauthorized):
            tokens.read(text)


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_token_says_who_and_until_when(encrypted):
    """And is void after it."""
    now = [1e9]
    tokens = AccessTokens(KEYS, seconds=60, encrypted=encrypted, clock=lambda: now[0])
    token = tokens.issue("ann")
    claims = tokens.read(token)
    assert (claims.user_id, claims.issued_at, claims.expires_at) == ("ann", 1e9, 1e9 + 60)
    now[0] += 60 + 31
    with pytest.raises(Unauthorized, match="expired"):
        tokens.read(token)


@pytest.mark.anyio
async def test_a_hash_with_other_parameters_is_renewed_at_the_next_sign_in():
    """When the parameters are raised, users need do nothing."""
    old = await Passwords(PasswordHash((CHEAP,))).hash("a long password")
    dearer = Argon2Hasher(time_cost=2, memory_cost=8, parallelism=1)
    passwords = Passwords(PasswordHash((dearer,)))
    right, renewed = await passwords.verify("a long password", old)
    assert right
    assert renewed is not None
    assert await passwords.verify("a long password", renewed) == (True, None)
    assert await passwords.verify("another password", renewed) == (False, None)


@pytest.mark.anyio
async def test_an_unknown_user_takes_as_long_as_a_wrong_password():
    """The medians differ by less than a third; without the dummy it would be a thousandth."""
    passwords = Passwords(PasswordHash((Argon2Hasher(time_cost=2, memory_cost=8192),)))
    await passwords.prepare()
    stored = await passwords.hash("a long password")

    async def seconds(given: str | None) -> float:
        began = time.perf_counter()
        assert await passwords.verify("a wrong password", given) == (False, None)
        return time.perf_counter() - began

    pairs = [(await seconds(stored), await seconds(None)) for _ in range(25)]
    wrong, unknown = (statistics.median(times) for times in zip(*pairs, strict=True))
    assert unknown / wrong == pytest.approx(1, abs=1 / 3)


@pytest.mark.anyio
async def test_few_hashes_run_at_a_time_and_few_wait():
    """Each takes 64 MiB; a wave of sign-ins must not take the memory, nor wait for minutes."""
    entered = threading.Semaphore(0)
    go_on = threading.Event()

    class Held(Argon2Hasher):
        def hash(self, password, *, salt=None):
            entered.release()
            go_on.wait()
            return "hash"

    passwords = Passwords(PasswordHash((Held(),)))
    room = MAX_WAITING + CONCURRENT_HASHES
    admitted = [asyncio.create_task(passwords.hash("x")) for _ in range(room)]
    try:
        for _ in range(CONCURRENT_HASHES):
            await asyncio.to_thread(entered.acquire)
        with pytest.raises(Overloaded):
            await passwords.hash("x")
        assert not entered.acquire(blocking=False)
    finally:
        go_on.set()
    assert await asyncio.gather(*admitted) == ["hash"] * room
