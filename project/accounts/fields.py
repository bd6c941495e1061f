"""What a user may be called: each function returns a field as it is stored, or raises ValueError.

The messages say what to send, and never what was sent.
"""

import re
from collections.abc import Sequence
from importlib import import_module

from email_validator import EmailNotValidError, validate_email
from stdnum.exceptions import ValidationError

from project.accounts.passwords import MAX_PASSWORD, MIN_PASSWORD

MAX_NAME = 200
MAX_EMAIL = 254
MIN_WORDS = 2
USERNAME_PATTERN = r"[a-z0-9](?:[a-z0-9._-]{1,30})[a-z0-9]"
FIRST_ADMINISTRATOR = "admin"  # its username, which no one may register
_USERNAME = re.compile(USERNAME_PATTERN)


def email(text: str) -> str:
    """An e-mail address, in lower case."""
    try:
        return validate_email(text, check_deliverability=False).normalized.lower()
    except (EmailNotValidError, UnicodeError):
        raise ValueError("send an e-mail address, such as ann@example.org") from None


def username(text: str) -> str:
    """A username, in lower case; it has no @, so that it is no other user's e-mail."""
    name = text.lower()
    if not _USERNAME.fullmatch(name):
        raise ValueError("send 3 to 32 letters a to z, digits, dots, dashes and underscores")
    return name


def full_name(text: str) -> str:
    """A full name: two words at least, each with a letter; spaces are made one."""
    name = " ".join(text.split())
    words = [word for word in name.split() if any(letter.isalpha() for letter in word)]
    if len(words) < MIN_WORDS or not name.isprintable() or len(name) > MAX_NAME:
        raise ValueError(f"send first and last name, in at most {MAX_NAME} characters")
    return name


def password(text: str) -> str:
    """A password: any characters, enough of them."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("send text; a half of a surrogate pair is none") from None
    if not MIN_PASSWORD <= len(text) <= MAX_PASSWORD:
        raise ValueError(f"send {MIN_PASSWORD} to {MAX_PASSWORD} characters")
    return text


def document(text: str, kinds: Sequence[str]) -> str:
    """A national document as KIND:NUMBER, compact. kinds: those allowed, as python-stdnum's names.

    A number of one repeated digit is refused, although the check digits of some fit.
    """
    for kind in kinds:
        try:
            number = str(import_module(f"stdnum.{kind}").validate(text))
        except (ValidationError, UnicodeError):
            continue
        if len(set(number)) > 1:
            return f"{kind}:{number}"
    raise ValueError(f"send the number of one of these documents: {', '.join(kinds)}")
