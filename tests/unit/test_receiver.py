"""The webhook of the drills: it keeps what comes, and wakes who waits."""

import threading
import time

import httpx2
import pytest

from drills.receiver import Receiver, receiving


def told(name: str, status: str = "firing", **labels: str) -> dict[str, object]:
    """A notification as Alertmanager sends it, as far as it is read."""
    alert = {"status": status, "labels": {"alertname": name, **labels}, "annotations": {}}
    return {"alerts": [alert]}


@pytest.fixture
def receiver() -> Receiver:
    return Receiver(port=0)


def test_a_notification_over_http_is_kept_with_its_path():
    """As Alertmanager posts it."""
    with receiving() as receiver:
        answer = httpx2.post(receiver.url("/webhook"), json=told("ApiDown", severity="page"))
        assert answer.status_code == 200
        notice = receiver.await_alert("ApiDown", path="/webhook", severity="page")
        assert (notice.name, notice.status, notice.path) == ("ApiDown", "firing", "/webhook")
        assert receiver.alerts("/other") == []


def test_who_waits_is_woken_when_the_alert_comes(receiver):
    """Not by another alert, state, label or path."""
    first = threading.Timer(0.05, lambda: receiver.take("/webhook", told("ApiDown", burn="fast")))
    for body in (told("BrokerDown"), told("ApiDown", "resolved"), told("ApiDown", burn="slow")):
        receiver.take("/webhook", body)
    receiver.take("/deadman", told("ApiDown", burn="fast"))
    first.start()
    notice = receiver.await_alert("ApiDown", path="/webhook", burn="fast")
    first.join()
    assert notice.labels == {"alertname": "ApiDown", "burn": "fast"}


def test_what_came_before_the_moment_does_not_count(receiver):
    """A page of an earlier fault is not the page of this one."""
    receiver.take("/webhook", told("ApiDown"))
    with pytest.raises(TimeoutError, match=r"ApiDown firing .* came: \[\]"):
        receiver.await_alert("ApiDown", path="/webhook", after=time.monotonic(), deadline=0.01)


def test_whoever_waits_in_vain_is_told_what_came_instead(receiver):
    """That is where the search begins."""
    receiver.take("/webhook", told("BrokerDown"))
    with pytest.raises(TimeoutError, match="'BrokerDown firing'"):
        receiver.await_alert("ApiDown", path="/webhook", deadline=0.01)


def test_silence_is_heard_to_its_end_and_broken_at_once(receiver):
    """What may come does not break it, at whichever path."""
    receiver.take("/deadman", told("Watchdog"))
    assert receiver.first_but("Watchdog", after=0, seconds=0.05) is None
    receiver.take("/webhook", told("ApiDown"))
    began = time.monotonic()
    notice = receiver.first_but("Watchdog", after=0, seconds=60)
    assert notice is not None
    assert notice.name == "ApiDown"
    assert time.monotonic() - began < 30
