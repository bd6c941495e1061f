"""The log: what a line says, in each style, and that every way of logging ends in it."""

import io
import json
import logging
import subprocess
import sys
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path

import pytest
from loguru import logger

from project.observability.context import REQUEST_ID, traced
from project.observability.logging import configure_logging
from project.observability.metrics import LEVELS
from tests.conftest import make_settings
from tests.samples import sample

ROOT = Path(__file__).parents[2]


settings_of = cache(make_settings)  # Hypothesis asks for the same ones a hundred times


def written(action, **changes):
    """The lines, by anyone's idea of a line, that are written while the action runs."""
    out = io.StringIO()
    with redirect_stdout(out):
        configure_logging(settings_of(**({"log_format": "json"} | changes)))
        action()
    return out.getvalue().splitlines()


def record(action, **changes):
    """The one line that the action writes, parsed."""
    (line,) = written(action, **changes)
    return json.loads(line)


def run_script(script, **streams):
    """Run Python in a process of its own, with JSON logging configured."""
    start = (
        "import logging, sys, warnings\n"
        "from loguru import logger\n"
        "from project.observability.logging import configure_logging\n"
        "from project.settings import Settings\n"
        "configure_logging(Settings(_env_file=None, log_format='json'))\n"
    )
    command = [sys.executable, "-c", start + script]
    streams = {"stdout": subprocess.PIPE} | streams
    return subprocess.run(
        command, cwd=ROOT, env={}, stderr=subprocess.PIPE, text=True, check=False, **streams
    )


def test_a_line_is_flat_json_with_the_ids_of_its_request():
    """Fields stand beside the event, so that a query needs no path."""

    def act():
        token = REQUEST_ID.set("my-id")
        with traced(None):
            logger.bind(model="shade", count=3).info("model_loaded")
        REQUEST_ID.reset(token)

    line = record(act)
    assert line.pop("time")[10] == "T"
    assert len(line.pop("trace_id")) == 32
    assert len(line.pop("span_id")) == 16
    assert line == {
        "severity": "INFO",
        "message": "model_loaded",
        "logger": __name__,
        "request_id": "my-id",
        "model": "shade",
        "count": 3,
    }


@pytest.mark.parametrize(("project", "prefix"), [("my-p", "projects/my-p/traces/"), (None, "")])
def test_cloud_logging_finds_its_own_names(project, prefix):
    """Cloud Logging shows severity, and links the trace, by these names alone."""

    def act():
        with traced(None):
            logger.warning("prediction_gave_up")

    line = record(act, log_cloud="gcp", log_format="auto", google_cloud_project=project)
    assert (line["severity"], line["message"]) == ("WARNING", "prediction_gave_up")
    assert line["logging.googleapis.com/trace"] == prefix + line["trace_id"]
    assert line["logging.googleapis.com/spanId"] == line["span_id"]


def test_cloud_logging_sees_the_traceback_in_the_message():
    """Error Reporting reads the message."""

    def act():
        logger.opt(exception=ValueError("broken")).error("request_failed")

    message = record(act, log_cloud="gcp", log_format="auto")["message"]
    assert message.startswith("request_failed\n")
    assert "ValueError: broken" in message


@pytest.mark.parametrize("name", ["uvicorn.error", "gunicorn.error", "some.library", "root"])
@pytest.mark.parametrize("level", ["INFO", "WARNING", "ERROR", "CRITICAL"])
def test_the_standard_library_arrives_once_with_level_and_name(name, level):
    """Even a logger that has brought a handler of its own."""
    other = logging.getLogger(name)
    own = io.StringIO()
    other.addHandler(logging.StreamHandler(own))
    line = record(lambda: other.log(logging.getLevelName(level), "hello %d", 5))
    assert (line["severity"], line["logger"], line["message"]) == (level, name, "hello 5")
    assert own.getvalue() == ""


def test_a_record_knows_its_caller():
    """File and line of the caller, not of the handler in between."""
    seen = []

    def act():
        logger.add(lambda message: seen.append(message.record), format="{message}")
        logging.getLogger("lib").warning("from the standard library")
        logger.warning("from loguru")

    written(act)
    assert {(item["function"], item["file"].name) for item in seen} == {
        ("act", Path(__file__).name)
    }


def test_the_access_log_of_uvicorn_is_not_written():
    """It holds the query string; request_served says the rest."""
    act = logging.getLogger("uvicorn.access").info
    assert written(lambda: act('%s - "%s"', "1.2.3.4", "GET /?token=marker")) == []


def test_warnings_arrive_once():
    """A DeprecationWarning of a library is a line like any other."""
    done = run_script("warnings.warn('old {way}', UserWarning)")
    (line,) = map(json.loads, done.stdout.splitlines())
    assert (line["severity"], line["logger"]) == ("WARNING", "py.warnings")
    assert "UserWarning: old {way}" in line["message"]
    assert done.stderr == ""


def test_exc_info_outside_of_an_exception_is_no_traceback():
    """Some libraries always pass it."""
    always = {"exc_info": True}
    line = record(lambda: logging.getLogger("lib").error("hello", **always))
    assert "exception" not in line


@pytest.mark.parametrize(
    ("number", "severity"),
    [
        (5, "DEBUG"),
        (10, "DEBUG"),
        (20, "INFO"),
        (25, "INFO"),
        (30, "WARNING"),
        (45, "ERROR"),
        (60, "CRITICAL"),
    ],
)
def test_levels_of_others_count_as_the_next_of_ours_below(number, severity):
    """TRACE, SUCCESS and a library's own levels are neither a new label nor an unknown severity."""
    before = sample("log_messages_total", level=severity)
    lines = written(lambda: logger.log(number, "hello"), log_level="DEBUG")
    shown = [json.loads(line)["severity"] for line in lines]
    assert shown == ([severity] if number >= 10 else [])
    assert sample("log_messages_total", level=severity) - before == len(shown)


@pytest.mark.parametrize("level", LEVELS)
def test_each_line_is_counted_by_its_severity(level):
    """An alert on errors in the log needs no log store."""
    before = sample("log_messages_total", level=level)
    written(lambda: logger.log(level, "hello"), log_level="DEBUG")
    written(lambda: logging.getLogger("lib").log(logging.getLevelName(level), "hello"))
    lines = sample("log_messages_total", level=level) - before
    assert lines == (1 if level == "DEBUG" else 2)
