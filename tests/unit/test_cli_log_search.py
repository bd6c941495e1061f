"""The story of an id: which lines belong to it, in which order, and what a person reads of them."""

import io
import json
import random
import re
import unicodedata
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from project.cli import log_search, trace_command

START = datetime(2026, 11, 22, 14, tzinfo=UTC)


def record(seconds=0.0, message="event", **fields):
    time = (START + timedelta(seconds=seconds)).isoformat()
    return {"time": time, "severity": "INFO", "message": message} | fields


def file_of(*records):
    return io.BytesIO(b"".join(json.dumps(each).encode() + b"\n" for each in records))


def events(wanted, *records):
    return [each["message"] for each in log_search.find([file_of(*records)], wanted)]


REQUEST = {"request_id": "r1", "trace_id": "t1"}
JOURNEY = [
    record(0, "decoded", **REQUEST),
    record(1, "accepted", **REQUEST, job_id="j1"),
    record(2, "other", request_id="r2", trace_id="t2"),
    record(3, "served", **REQUEST),
    record(4, "started", job_id="j1"),
    record(5, "nothing", request_id=None, trace_id=None),
    record(6, "ended", job_id="j1", trace_id="t9"),
]


@pytest.mark.parametrize("wanted", ["r1", "t1", "j1", "t9"])
@pytest.mark.parametrize("shuffled", [False, True])
def test_a_request_and_its_job_are_one_story(wanted, shuffled):
    """From whichever id one starts, and in whichever order the processes wrote."""
    lines = list(JOURNEY)
    if shuffled:
        random.Random(3).shuffle(lines)
    assert events(wanted, *lines) == ["decoded", "accepted", "served", "started", "ended"]


def test_a_job_that_is_run_again_belongs_to_both_requests():
    """Who asks for the second request learns of the first, which came long before."""
    again = record(9, "again", request_id="r3", trace_id="t3", job_id="j1")
    assert events("r3", *JOURNEY, again) == [
        *("decoded", "accepted", "served", "started", "ended", "again")
    ]


def test_several_files_are_one_log():
    """The file before is read as well, in whichever order they are named."""
    old, new = file_of(*JOURNEY[:3]), file_of(*JOURNEY[3:])
    assert len(log_search.find([new, old], "j1")) == 5
    assert log_search.find([new, old], "j1")[0]["message"] == "decoded"


@pytest.mark.parametrize("wanted", ["r", "event", "", "None", "INFO"])
def test_only_whole_ids_count(wanted):
    """Neither a part of one, nor what stands in another field."""
    assert events(wanted, *JOURNEY) == []


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"no json\n",
        b'{"request_id": "r1"\n',
        b"[1, 2]\n",
        b'"r1"\n',
        b"\xff\xfe\x00r1\n",
        b'{"request_id": ["r1"], "job_id": {"r1": 1}}\n',
        b"[" * 100_000 + b"\n",
        b'{"a":' * 100_000 + b"\n",
        b'{"request_id": "r1", "time": 1e400, "x": "'
        + b"r" * (log_search.MAX_LINE_BYTES + 9)
        + b'"}\n',
    ],
    ids=range(10),
)
def test_a_broken_line_costs_no_other(line):
    """Half a line, a line of another program, a line without an end."""
    data = file_of(JOURNEY[0]).getvalue() + line + file_of(JOURNEY[3]).getvalue()
    assert [each["message"] for each in log_search.find([io.BytesIO(data)], "r1")] == [
        "decoded",
        "served",
    ]


def test_a_line_after_half_a_line_is_read():
    """A full disk cuts one, and the next begins where it ended."""
    data = b'{"time": "2026-11-22T14:00:00+00:00", "mess' + file_of(JOURNEY[0]).getvalue()
    (found,) = log_search.find([io.BytesIO(data)], "r1")
    assert found == JOURNEY[0]


def test_what_a_supervisor_puts_before_a_line_is_passed_over():
    """So that `docker compose logs` can be piped in."""
    data = b"web-1  | " + file_of(JOURNEY[0]).getvalue()
    assert log_search.find([io.BytesIO(data)], "r1") == [JOURNEY[0]]


def test_the_last_line_needs_no_end():
    """It may be being written."""
    data = file_of(JOURNEY[0]).getvalue().rstrip()
    assert log_search.find([io.BytesIO(data)], "r1") == [JOURNEY[0]]


def test_lines_without_a_time_stay_where_they_were():
    """Behind the line that they were written after."""
    lines = [
        record(5, "c", **REQUEST),
        record(5, "d", **REQUEST) | {"time": "yesterday"},
        record(1, "a", **REQUEST),
        record(1, "b", **REQUEST) | {"time": None},
    ]
    assert events("r1", *lines) == ["a", "b", "c", "d"]


ids = st.sampled_from(["a", "b", "c", "d", "e", None])
any_record = st.builds(
    lambda request, trace, seconds: record(seconds, request_id=request, trace_id=trace, job_id="j"),
    ids,
    ids,
    st.integers(0, 9),
)


@given(
    groups=st.lists(st.tuples(ids, ids, st.sampled_from(["j1", "j2", "j3"])), max_size=12),
    wanted=st.sampled_from(["a", "j1"]),
)
def test_what_is_tied_by_jobs_is_found_whole(groups, wanted):
    """However long the chain, and in whichever order: as a graph search would find it."""
    lines = [
        record(number, str(number), request_id=one, trace_id=two, job_id=job)
        for number, (one, two, job) in enumerate(groups)
    ]
    known, size = {wanted}, 0
    while size != len(known):
        size = len(known)
        for group in groups:
            if known & set(group):
                known |= set(group) - {None}
    expected = [str(number) for number, group in enumerate(groups) if known & set(group)]
    assert events(wanted, *lines) == expected


@given(st.binary(max_size=300))
def test_no_line_at_all_breaks_it(data):
    """Whatever bytes there are."""
    log_search.find([io.BytesIO(data)], "r1")


NAMES = [*("time", "message", "severity", "logger", "exception", "pid", "process", "job_id", "x")]
anything = st.none() | st.text(st.characters()) | st.integers() | st.lists(st.text())


@given(st.dictionaries(st.sampled_from(NAMES), anything), st.text(st.characters()))
def test_no_record_at_all_breaks_what_is_shown(fields, odd):
    """Records may come from any program; nothing in them moves a terminal's cursor."""
    for line in trace_command.render([fields | {"request_id": "r1", "message": odd, odd: odd}]):
        line.encode()
        bare = re.sub(r"\x1b\[\d+m|\n", "", line)
        assert not [one for one in bare if unicodedata.category(one) == "Cc"]


def shown(*records):
    lines = trace_command.render(list(records))
    return [line.replace("\x1b[0m", "") for line in lines]


def test_a_person_reads_when_who_what_and_with_which_fields():
    """Time, seconds since the start, process, level, event and fields."""
    heading, first, second = shown(
        record(
            0,
            "served",
            **REQUEST,
            logger="project.observability.request_context",
            status=202,
            none=None,
        ),
        record(1.5, "job_started", logger="project.jobs.execution", job_id="j1", pid=44, attempt=1),
    )
    assert "request_id=r1  trace_id=t1  job_id=j1" in heading
    assert first.split()[1:3] == ["+0.000", "api"]
    assert first.endswith("status=202")
    assert second.split()[1:4] == ["+1.500", "worker", "44"]
    assert "job_started" in second
    assert second.endswith("attempt=1")


def test_an_id_that_differs_between_lines_is_said_on_each():
    """Else one could not tell two requests apart."""
    lines = shown(
        record(0, "a", request_id="r1", trace_id="t"), record(1, "b", request_id="r2", trace_id="t")
    )
    assert "request_id=r1 and 1 more" in lines[0]
    assert [line.split()[-1] for line in lines[1:]] == ["request_id=r1", "request_id=r2"]


def test_an_exception_is_set_in_and_harmless():
    """It may hold what a caller sent; Cloud Logging's form has it in the message."""
    below = "Traceback:\n  here\nValueError: \x1b[2Jgone\rnew"
    own = record(0, "failed", **REQUEST, exception=below)
    cloud = record(0, f"failed\n{below}", **REQUEST)
    for each in (own, cloud):
        _, text = trace_command.render([each])
        first, *rest = text.splitlines()
        assert "failed" in first
        assert rest == ["    Traceback:", "      here", "    ValueError: \\x1b[2Jgone\\x0dnew"]


def test_lines_of_two_days_have_their_dates():
    """A job may wait over midnight."""
    _, first, second = shown(record(0, **REQUEST), record(86_400, **REQUEST))
    assert first[:10] != second[:10]
