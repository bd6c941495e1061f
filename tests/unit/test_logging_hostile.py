"""The log under attack: one parsable line a record, no secret, and never an exception."""

import io
import json
import logging
import os
from contextlib import redirect_stdout

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loguru import logger

from project.observability.logging import configure_logging
from tests.conftest import make_settings
from tests.unit.test_logging import record, run_script, written

TOKEN = 'marker-token-"quoted"-\\n-é'
HEADERS = "authorization=Basic%20marker-header,x-tenant=blue"
DSN = "https://marker-key@sentry.example/1"
STYLES = [{"log_format": "json"}, {"log_format": "console"}, {"log_cloud": "gcp"}]


def test_a_person_reads_one_line_a_record_whatever_is_in_it():
    """No value forges a line, colours a terminal or turns the direction of text."""
    hostile = "a\nb\r\x1b[31mc\x9b\u2028\u202e\x00"
    (line,) = written(
        lambda: logger.bind(value=hostile).info("event_" + hostile), log_format="console"
    )
    assert line.isprintable()
    assert "value=a\\x0ab\\x0d\\x1b[31mc" in line


def test_a_persons_traceback_cannot_pass_for_a_line_of_its_own():
    """It is set in, whatever the exception says, and its control characters are escaped."""
    error = ValueError("x\n12:00:00.000 INFO     forged\n\n\x1b[2Jgone")
    first, *rest = written(
        lambda: logger.opt(exception=error).error("request_failed"), log_format="console"
    )
    assert "request_failed" in first
    assert rest
    assert all(line.startswith("    ") and line.isprintable() for line in rest)


@pytest.mark.parametrize("text", ["{", "}{", "{nope}", "{0}", "<red>x</red>", "<b>", "100 % {!r}"])
def test_braces_and_brackets_pass_through(text):
    """Loguru's messages are templates; nothing that comes from outside may become one."""
    assert record(lambda: logger.info(text))["message"] == text
    assert record(lambda: logger.info("got {}", text))["message"] == f"got {text}"
    assert record(lambda: logging.getLogger("lib").warning(text))["message"] == text
    assert record(lambda: logging.getLogger("lib").warning("got %s", text))["message"] == (
        f"got {text}"
    )
    assert record(lambda: logger.opt(exception=ValueError(text)).error(text))["message"] == text


def test_a_traceback_shows_no_value_of_a_variable():
    """A variable may hold a password or a picture."""

    def fail(secret):
        raise LookupError(f"{len(secret)} characters")

    def act():
        password = f"marker-{'in'}-variable"  # in pieces: a traceback shows lines of source
        try:
            fail(password)
        except LookupError:
            logger.exception("request_failed")
            logging.getLogger("lib").exception("library_failed")

    lines = written(act)
    assert len(lines) == 2
    for line in lines:
        assert "marker-in" not in line
        assert "LookupError: 18 characters" in json.loads(line)["exception"]
        assert "in fail" in json.loads(line)["exception"]


@pytest.mark.parametrize("style", STYLES)
def test_secrets_are_masked_wherever_they_stand(style):
    """In a message, a field, a nested field, an exception, quoted or not."""
    secrets = [TOKEN, HEADERS, DSN, "Basic marker-header"]

    def act():
        for secret in secrets:
            logger.info("message with {}", secret)
            logger.bind(field=secret, nested={"deep": [secret]}).info("with_field")
            logging.getLogger("lib").error("library says %r", secret)
            logger.opt(exception=KeyError(secret)).error("with_exception")
            logger.opt(exception=ValueError(secret)).error("with_exception")

    lines = written(
        act,
        **style,
        metrics_token=TOKEN,
        otel_exporter_otlp_headers=HEADERS,
        sentry_dsn=DSN,
    )
    assert lines
    assert "marker" not in "\n".join(lines)
    assert "***" in lines[0]
    if style != {"log_format": "console"}:
        assert all(json.loads(line) for line in lines)


def test_a_short_header_value_is_no_secret():
    """Masking every 1 would leave no line readable."""
    line = record(lambda: logger.bind(count=1).info("x1"), otel_exporter_otlp_headers="a=1,b=")
    assert (line["message"], line["count"]) == ("x1", 1)


class Unprintable:
    """Raises whatever is asked of it."""

    def __repr__(self):
        raise RuntimeError("no text")


CIRCLE: list = []
CIRCLE.append(CIRCLE)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    "value",
    [
        Unprintable(),
        CIRCLE,
        float("nan"),
        {(1, 2): "odd key"},
        {"deep": [float("inf"), b"bytes", {1, 2}]},
        "\ud800 alone",
        10**5000,
        "x" * 1_000_000,
        OSError("an error"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_field_that_json_cannot_hold_costs_no_line(value, style):
    """Its text stands there instead, and strict parsers read the line."""
    (line,) = written(lambda: logger.bind(value=value, other="kept").info("event"), **style)
    assert "kept" in line
    line.encode()
    if style != {"log_format": "console"}:
        parsed = json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
        assert (parsed["message"], parsed["other"]) == ("event", "kept")


@pytest.mark.parametrize("style", STYLES)
def test_a_field_cannot_take_the_place_of_what_every_line_says(style):
    """Else a field named severity would hide an error from its alert."""
    names = ("time", "severity", "message", "logger", "exception", "source")
    (line,) = written(lambda: logger.bind(**dict.fromkeys(names, "mine")).error("event"), **style)
    if style == {"log_format": "console"}:
        assert " ERROR    event " in line
    else:
        parsed = json.loads(line)
        assert (parsed["severity"], parsed["message"]) == ("ERROR", "event")
        assert parsed["logger"] == __name__
        assert parsed["time"] != "mine"


def test_a_wrong_log_call_of_a_library_does_not_fail_what_it_reports_on():
    """The standard library would complain on stderr; it never raises."""
    template = "%d of %s"
    line = record(lambda: logging.getLogger("lib").warning(template, "many"))
    assert line["severity"] == "WARNING"
    assert "%d of %s" in line["message"]
    assert "many" in line["message"]
    assert record(lambda: logging.getLogger("lib").warning(Unprintable()))["logger"] == "lib"


@given(
    message=st.text(),
    values=st.dictionaries(
        st.text(min_size=1),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
            max_leaves=6,
        ),
    ),
    style=st.sampled_from(STYLES),
)
def test_whatever_is_logged_is_one_line_that_parses(message, values, style):
    """By anyone's idea of a line, for any message and any fields."""
    (line,) = written(lambda: logger.bind(**values).info(message), **style)
    line.encode()
    if style != {"log_format": "console"}:
        parsed = json.loads(line)
        assert parsed["severity"] == "INFO"
        assert parsed["message"] == message.encode("utf-8", "replace").decode()


@given(text=st.text(min_size=1))
def test_whatever_an_exception_says_is_one_line_that_parses(text):
    """The traceback is a field like any other."""
    error = ValueError(text)
    assert "ValueError" in record(lambda: logger.opt(exception=error).error("x"))["exception"]


class Narrow(io.StringIO):
    """A stdout of a locale without Unicode."""

    encoding = "ascii"

    def write(self, text):
        return super().write(text.encode("ascii").decode())


def test_a_stdout_without_unicode_still_gets_the_line():
    """What cannot be shown is a question mark, and the line is whole."""
    out = Narrow()
    with redirect_stdout(out):
        configure_logging(make_settings(log_format="json"))
        logger.bind(name="né").info("event")
    assert json.loads(out.getvalue())["name"] == "n?"


def test_a_closed_stdout_does_not_raise():
    """The request is worth more than its line."""
    done = run_script("sys.stdout.close(); logger.info('x'); print('alive', file=sys.stderr)")
    assert (done.stderr, done.returncode) == ("alive\n", 0)


def test_a_broken_pipe_does_not_raise_and_shows_no_secret_elsewhere():
    """Loguru would print the whole record to stderr, which nothing masks."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = run_script(
            "logger.info('marker'); logging.warning('marker'); print('alive', file=sys.stderr)\n"
            "import os; os.dup2(os.open(os.devnull, os.O_WRONLY), 1)",  # what is left at the end
            stdout=writing,
        )
    finally:
        os.close(writing)
    assert done.stderr == "alive\n"


def test_dramatiq_logs_in_signal_handlers_without_breaking_the_line_they_interrupt(capfd):
    """Loguru's lock is not re-entrant: a second SIGTERM would tear the record of the first."""

    class Interrupted:
        def __str__(self) -> str:
            for name in ("MainProcess", "WorkerProcess(0)"):
                logging.getLogger(f"dramatiq.{name}").info("Stopping")
            return "interrupted"

    assert record(lambda: logger.bind(value=Interrupted()).info("event"))["value"] == "interrupted"
    assert capfd.readouterr().err == ""
