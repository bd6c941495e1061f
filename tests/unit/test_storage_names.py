"""What files may be called: no key leaves its folder, no name breaks a header."""

from email.message import EmailMessage
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from project.storage.names import check_media_type, disposition, is_key

TRICKY = st.text(st.sampled_from("ab9_-./\\%\0\n ~A2e"), max_size=40)
FOLDER = Path("/srv/files")
TRICKS = [
    "",
    "/",
    "/etc/passwd",
    "..",
    "../secret",
    "a/../b",
    "a/..",
    "a..b",
    "a/./b",
    "./a",
    "a//b",
    "a/",
    ".secret",
    "a/.secret",
    "a\\b",
    "..\\a",
    "a\0b",
    "a\n",
    "a b",
    "a%2f..%2fb",
    "%2e%2e/a",
    "A",
    "é",
    "\uff0e\uff0e/a",  # full-width dots, which some systems make plain
    "c:/a",
    "a#1",
    "a" * 129,
    "a/" * 256 + "a",
]


@pytest.mark.parametrize("key", TRICKS)
def test_what_could_leave_the_folder_is_no_key(key):
    """Nor what could mean another file than it says."""
    assert not is_key(key)


@pytest.mark.parametrize("key", ["a", "jobs/0193ab/input-0", "_check", "a/b.c_d-e/f.png", "9"])
def test_plain_keys_are_keys(key):
    """Folders, extensions and digits are fine."""
    assert is_key(key)


@given(TRICKY)
@example("a/b.c")
def test_every_key_is_a_place_of_its_own_in_the_folder(key):
    """Whatever it is made of, a path made from it is itself, inside, and no other."""
    if is_key(key):
        path = FOLDER / key
        assert path.resolve() == path
        assert path.is_relative_to(FOLDER)
        assert str(path.relative_to(FOLDER)) == key


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60))
@example('a"; filename=evil.exe\r\nSet-Cookie: a=b')
@example("../../etc/passwd")
@example("Ergebnis für Äpfel 🍎.png")
def test_any_name_makes_one_harmless_header(filename):
    """One line of ASCII that begins with attachment and is read back as one name."""
    value = disposition(filename)
    assert value.isascii()
    assert value.isprintable()
    assert value.startswith('attachment; filename="')
    message = EmailMessage()
    message["Content-Disposition"] = value
    assert message.get_content_disposition() == "attachment"
    plain = value.split('"')[1]
    assert "/" not in plain
    assert "\\" not in plain


def test_a_name_in_another_script_survives():
    """In the form that every browser of today reads."""
    assert disposition("cut-out (1).png") == 'attachment; filename="cut-out (1).png"'
    assert disposition("für.png") == (
        "attachment; filename=\"f_r.png\"; filename*=UTF-8''f%C3%BCr.png"
    )


@pytest.mark.parametrize(
    "media_type", ["", "image", "image/", "/png", "image/png\r\nX: y", "image/png\n", "a/b; c=d"]
)
def test_what_would_be_no_header_is_no_media_type(media_type):
    """It goes into one as it is."""
    with pytest.raises(ValueError, match="media type"):
        check_media_type(media_type)


@pytest.mark.parametrize("media_type", ["image/png", "text/plain; charset=utf-8", "image/svg+xml"])
def test_media_types_are_media_types(media_type):
    """As they are written in headers."""
    check_media_type(media_type)
