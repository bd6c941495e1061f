"""The readable text of a mail: its subject and its parts of text, without headers and HTML.

Every step is linear in the length of the text, whatever the text is. Python's package `email` is
not used: it recurses into nested parts, and some of its patterns take quadratic time.
"""

import binascii
import html
import re
from collections.abc import Mapping, Sequence

MAX_CHARACTERS = 100_000  # of a mail that are read

HEADER = re.compile(r">?[\w'-]{1,60}:")
ENVELOPE = re.compile(r">?From [^\n]*$")  # the line that mbox files put before each mail
HEADERS_OF_A_MAIL = {
    *("bcc", "cc", "content-type", "date", "delivered-to", "from", "message-id", "mime-version"),
    *("received", "reply-to", "return-path", "sender", "subject", "to", "x-mailer"),
}
BOUNDARY = re.compile(r'boundary\s*=\s*(?:"([^"]+)"|([^\s;"]+))', re.IGNORECASE)
CHARSET = re.compile(r'charset\s*=\s*"?([\w.:-]+)', re.IGNORECASE)
ENCODED_WORD = re.compile(r"=\?([^?\s]{1,40})\?([bq])\?([^?\s]*)\?=", re.IGNORECASE)
BETWEEN_WORDS = re.compile(r"\?=\s+=\?")
LIST_TAG = re.compile(r"\[[^\[\]]{1,40}\]")  # such as [Python-Dev]: it names a mailing list
WESTERN = {
    *("", "ascii", "us-ascii", "iso-8859-1", "iso-8859-15", "latin-1", "latin1", "default"),
    *("utf-8", "utf8", "windows-1252", "cp1252"),
}

AFTER_THE_LAST_PART = {"content-type": "application/octet-stream"}  # whatever it is, no text

COMMENT, COMMENT_END = re.compile("<!--"), re.compile("-->")
HIDDEN = re.compile(r"<(?:script|style)\b", re.IGNORECASE)
HIDDEN_END = re.compile(r"</(?:script|style)\b[^<>]*>", re.IGNORECASE)
TAG = re.compile(r"</?[A-Za-z!][^<>]*>")
ENTITY = re.compile(r"&(?:#\d{1,7}|#[Xx][0-9A-Fa-f]{1,6}|[A-Za-z]{2,8});?")


def readable(mail: str) -> str:
    """The subject, if there is one, and the text. mail: with its headers or without."""
    mail = mail[:MAX_CHARACTERS].replace("\r\n", "\n").replace("\r", "\n").lstrip("\n\ufeff")
    lines = mail.split("\n")
    start = 1 if ENVELOPE.match(lines[0]) else 0
    headers, body = read_headers(lines, start)
    if HEADERS_OF_A_MAIL.isdisjoint(headers):
        return without_html(mail)
    return "\n\n".join([_subject(headers), *_parts(headers, lines, body)])


def read_headers(lines: Sequence[str], start: int) -> tuple[dict[str, str], int]:
    """Names in lower case → values, the first of each name; and the index of the body's first line.

    start: index of the first header. The body begins after a blank line, or at a line that is no
    header.
    """
    found: dict[str, list[str]] = {}
    value: list[str] = []
    index = start
    while index < len(lines):
        line = lines[index]
        if HEADER.match(line):
            name, _, rest = line.lstrip(">").partition(":")
            value = [rest]
            found.setdefault(name.lower(), value)
        elif line[:1] in (" ", "\t") and value and line.strip():
            value.append(line)
        elif not ENVELOPE.match(line):
            break
        index += 1
    if index < len(lines) and not lines[index].strip():
        index += 1
    return {name: " ".join(value).strip() for name, value in found.items()}, index


def decode(data: bytes, charset: str) -> str:
    """Text of bytes. Outside Western charsets bytes beyond ASCII are lost: no model reads them."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252" if charset.lower() in WESTERN else "ascii", "replace")


def without_html(text: str) -> str:
    """What a reader sees of HTML; plain text as it is, unless it has tags."""
    if "<" in text:
        text = _cut(text, COMMENT, COMMENT_END)
        text = TAG.sub(" ", _cut(text, HIDDEN, HIDDEN_END))
    return ENTITY.sub(lambda match: html.unescape(match[0]), text) if "&" in text else text


def _subject(headers: Mapping[str, str]) -> str:
    def decoded(match: re.Match[str]) -> str:
        charset, encoding, data = match.groups()
        if encoding in "Bb":
            return decode(_base64(data), charset)
        return decode(binascii.a2b_qp(data.encode("latin-1", "replace"), header=True), charset)

    subject = BETWEEN_WORDS.sub("?==?", headers.get("subject", ""))
    return LIST_TAG.sub(" ", ENCODED_WORD.sub(decoded, subject))


def _parts(headers: dict[str, str], lines: Sequence[str], start: int) -> list[str]:
    """The text of each part; nested parts are read as if they were side by side."""
    boundaries = set(_boundary(headers))
    parts: list[str] = []
    part: list[str] = []
    index = start
    while index < len(lines):
        line = lines[index]
        index += 1
        delimiter = line.rstrip()
        closed = delimiter.endswith("--") and delimiter[:-2] in boundaries
        if not closed and delimiter not in boundaries:
            part.append(line)
            continue
        if not _boundary(headers):  # else these lines say that there are parts
            parts.append(_text(headers, part))
        part = []
        headers, index = (AFTER_THE_LAST_PART, index) if closed else read_headers(lines, index)
        boundaries.update(_boundary(headers))
    parts.append(_text(headers, part))
    return parts


def _boundary(headers: Mapping[str, str]) -> list[str]:
    match = BOUNDARY.search(headers.get("content-type", ""))
    return [f"--{match[1] or match[2]}"] if match else []


def _text(headers: Mapping[str, str], lines: Sequence[str]) -> str:
    """The text of one part; nothing of a picture or another attachment."""
    kind = headers.get("content-type", "").lower()
    if kind and not kind.startswith(("text", "multipart", "message")):
        return ""
    text = "\n".join(lines)
    encoding = headers.get("content-transfer-encoding", "").lower()
    charset = CHARSET.search(kind)
    name = charset[1] if charset else ""
    if encoding == "base64":
        text = decode(_base64(text), name)
    elif encoding == "quoted-printable":
        text = decode(binascii.a2b_qp(text.encode("latin-1", "replace")), name)
    return without_html(text)


def _base64(text: str) -> bytes:
    """Bytes, as many as can be decoded."""
    data = re.sub(rb"[^A-Za-z0-9+/]", b"", text.encode("ascii", "ignore"))
    data = data[: len(data) - (len(data) % 4 == 1)]
    return binascii.a2b_base64(data + b"=" * (-len(data) % 4))


def _cut(text: str, opening: re.Pattern[str], closing: re.Pattern[str]) -> str:
    """The text without what stands between the two; an opening that is never closed is left."""
    first, *rest = opening.split(text)
    kept = [first]
    for piece in rest:
        end = closing.search(piece)
        kept.append(piece[end.end() :] if end else piece)
    return "".join(kept)
