"""Who may scrape: the token as a bearer, or as a password; everything else is refused quietly."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from project.observability.scrape_auth import may_scrape

TOKEN = SecretStr("a-token-of-enough-length:ü")


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def as_sent(header: str) -> str:
    """A header's bytes as servers give them to applications (PEP 3333)."""
    return header.encode().decode("latin-1")


@given(user=st.text(st.characters(exclude_characters=":", exclude_categories=["Cs"])))
def test_any_user_with_the_token_as_password_may(user):
    """Agents read a password from a file; the user's name is theirs to choose."""
    assert may_scrape(basic(user, TOKEN.get_secret_value()), TOKEN)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_token_as_a_bearer_may(scheme):
    """The scheme's name has no case (RFC 9110, section 11.1)."""
    token = SecretStr("a-token-of-enough-length")
    assert may_scrape(f"{scheme} a-token-of-enough-length", token)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic",
        "Basic ",
        "Basic =",
        "Basic %%%",
        "Basic YQ",  # no padding
        "Basic " + base64.b64encode(b"no colon").decode(),
        "Basic " + base64.b64encode(b"\xff\xfe:\xff").decode(),
        as_sent("Basic ü"),
        as_sent("Bearer ü"),
        basic("user", "another"),
        basic("user", ""),
        basic(TOKEN.get_secret_value(), "user"),
        "Digest " + TOKEN.get_secret_value(),
        TOKEN.get_secret_value(),
    ],
)
def test_anything_else_may_not(header):
    """Malformed or wrong is refused, and never a fault."""
    assert not may_scrape(header, TOKEN)


@given(st.text(st.characters(max_codepoint=255)))
def test_no_header_is_a_fault(header):
    """Whatever a caller sends."""
    assert not may_scrape(header, TOKEN)
    assert not may_scrape(f"Basic {header}", TOKEN)
