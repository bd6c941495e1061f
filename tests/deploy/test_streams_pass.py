"""Live streams pass every proxy that we ship: their silence is shorter than its patience.

Real ones are in test_vm_nginx.py and test_compose_edge.py.
"""

import re

import pytest

from project.server.websocket import PING_SECONDS
from tests.deploy.cloudrun import render
from tests.deploy.compose import FOLDER
from tests.deploy.ecs import attributes, service
from tests.deploy.kustomize import PRODUCTION, find, rendered
from tests.deploy.vm_files import NGINX

SILENCE = 2 * PING_SECONDS  # until the server itself gives a connection up
UNITS = {"s": 1, "m": 60, "h": 3600}
SIDES = ("proxy_read_timeout", "proxy_send_timeout")


def seconds(text: str) -> int:
    """Seconds of a duration as nginx writes it."""
    return int(text[:-1]) * UNITS[text[-1]]


def timeouts(text: str) -> list[int]:
    """Those of a part of a configuration of nginx."""
    found = [re.findall(rf"{side} (\w+);", text) for side in SIDES]
    assert all(found)
    return [seconds(values[0]) for values in found]


def test_on_a_machine():
    """The location of streams, and Host without a port, as it is the usual one."""
    text = (NGINX / "vitrine.conf").read_text()
    (stream,) = re.findall(r"location ~ \^/v1/models/\S+stream\$ \{(.+?)\}", text, re.DOTALL)
    assert min(timeouts(stream)) > SILENCE
    assert "proxy_set_header Host $host;" in (NGINX / "proxy.conf").read_text()


def test_with_compose():
    assert min(timeouts((FOLDER / "edge/nginx.conf").read_text())) > SILENCE


@pytest.mark.parametrize("side", ["read", "send"])
def test_on_kubernetes(side):
    ingress = find(rendered(PRODUCTION, ("ingress",)), "Ingress", "vitrine")
    name = f"nginx.ingress.kubernetes.io/proxy-{side}-timeout"
    assert int(ingress["metadata"]["annotations"][name]) > SILENCE


def test_on_kubernetes_through_a_gateway():
    """Its default limits a whole request, and a stream is one."""
    route = find(rendered(PRODUCTION, ("gateway",)), "HTTPRoute", "vitrine")
    assert [rule["timeouts"] for rule in route["spec"]["rules"]] == [{"request": "0s"}]


def test_on_cloud_run():
    """A session is a request there: it ends after the longest that a request may take."""
    spec = render("service.yaml")["spec"]["template"]["spec"]
    assert spec["timeoutSeconds"] == 3600


def test_on_ecs():
    template = service()
    balancers = template.of_type("AWS::ElasticLoadBalancingV2::LoadBalancer")
    (balancer,) = balancers.values()
    found = attributes(balancer["LoadBalancerAttributes"])
    assert int(found["idle_timeout.timeout_seconds"]) > SILENCE
