"""The network policies: which pods may be reached from where, and what they may reach."""

import pytest

from tests.deploy.kustomize import (
    PRODUCTION,
    container_of,
    find,
    labels_of,
    of_kind,
    rendered,
    selects,
)

ALL = ("ingress", "monitoring", "keda", "metadata-server")
SOLVER = {"acme.cert-manager.io/http01-solver": "true"}  # a label of cert-manager's pods
SOLVER_PORT = 8089
DNS_PORT = 53


@pytest.fixture
def objects():
    return rendered(PRODUCTION, ALL)


def sources(objects, labels):
    found = {}
    for policy in of_kind(objects, "NetworkPolicy"):
        if selects(policy["spec"]["podSelector"], labels):
            for rule in policy["spec"].get("ingress", []):
                peers = [peer["namespaceSelector"]["matchLabels"] for peer in rule["from"]]
                for port in rule["ports"]:
                    names = {peer["kubernetes.io/metadata.name"] for peer in peers}
                    found.setdefault(port["port"], set()).update(names)
    return found


def test_everything_is_denied_that_no_policy_allows(objects):
    """An empty list would allow all; a policy that selects no pod protects nothing."""
    default = find(objects, "NetworkPolicy", "default-deny")["spec"]
    assert default["podSelector"] == {}
    assert sorted(default["policyTypes"]) == ["Egress", "Ingress"]
    assert not default.get("ingress")
    assert not default.get("egress")
    pods = [*(labels_of(it) for it in of_kind(objects, "Deployment")), SOLVER]
    for policy in of_kind(objects, "NetworkPolicy"):
        spec = policy["spec"]
        assert any(selects(spec["podSelector"], labels) for labels in pods)
        for rule in spec.get("ingress", []) + spec.get("egress", []):
            assert rule["ports"]
            assert rule.get("from") or rule.get("to")


def test_pods_are_reached_through_a_gateway():
    """From its namespace, in place of the ingress controller's."""
    objects = rendered(PRODUCTION, ("gateway",))
    deployment = find(objects, "Deployment", "vitrine-api")
    ports = {it["name"]: it["containerPort"] for it in container_of(deployment)["ports"]}
    assert sources(objects, labels_of(deployment))[ports["http"]] == {"gateway"}


def test_pods_are_reached_from_the_ingress_and_from_monitoring(objects):
    """METRICS_PORT needs no token, so only monitoring reaches it; the solver is for the ingress."""
    for name in ("vitrine-api", "vitrine-worker"):
        deployment = find(objects, "Deployment", name)
        ports = {it["name"]: it["containerPort"] for it in container_of(deployment)["ports"]}
        expected = {ports["metrics"]: {"monitoring"}}
        if "http" in ports:
            expected[ports["http"]] = {"ingress-nginx"}
        assert sources(objects, labels_of(deployment)) == expected
    assert sources(objects, SOLVER) == {SOLVER_PORT: {"ingress-nginx"}}


@pytest.mark.parametrize("name", ["vitrine-api", "vitrine-worker"])
def test_pods_reach_what_they_need_and_no_more(name):
    """DNS, PostgreSQL, Valkey, HTTPS for the storage, and a collector of traces."""
    production = rendered(PRODUCTION)
    labels, reached = labels_of(find(production, "Deployment", name)), set()
    for policy in of_kind(production, "NetworkPolicy"):
        if selects(policy["spec"]["podSelector"], labels):
            for rule in policy["spec"].get("egress", []):
                reached |= {(it["protocol"], it["port"], it.get("endPort")) for it in rule["ports"]}
    tcp = (DNS_PORT, 5432, 6379, 443, 4318)
    assert reached == {("UDP", DNS_PORT, None), *(("TCP", port, None) for port in tcp)}


def test_the_api_alone_reaches_a_mail_server_where_that_is_chosen():
    """Ports 465 and 587, by the component `mail`."""
    objects = rendered(PRODUCTION, ("ingress", "mail"))
    reached = {}
    for name in ("vitrine-api", "vitrine-worker"):
        labels = labels_of(find(objects, "Deployment", name))
        reached[name] = {
            port["port"]
            for policy in of_kind(objects, "NetworkPolicy")
            if selects(policy["spec"]["podSelector"], labels)
            for rule in policy["spec"].get("egress", [])
            for port in rule["ports"]
        }
    assert reached["vitrine-api"] - reached["vitrine-worker"] == {465, 587}


def test_the_nodes_credentials_are_out_of_reach():
    """At 169.254.169.254 nothing but DNS is open, unless metadata-server is chosen."""
    for policy in of_kind(rendered(PRODUCTION), "NetworkPolicy"):
        for rule in policy["spec"].get("egress", []):
            for peer in rule["to"]:
                block = peer.get("ipBlock", {})
                if block.get("cidr") == "0.0.0.0/0":
                    assert "169.254.0.0/16" in block["except"]
                elif block.get("cidr", "").startswith("169.254."):
                    assert {port["port"] for port in rule["ports"]} == {DNS_PORT}
