"""Who may talk to whom: nobody, but for what the policies name."""

from urllib.parse import urlsplit

import pytest

from tests.deploy.kustomize import (
    FOLDER,
    chooses,
    container_of,
    labels_of,
    of_kind,
    one,
    rendered,
)

ALL = ("ingress", "monitoring", "keda", "metadata-server")
SOLVER = {"acme.cert-manager.io/http01-solver": "true"}  # a label of cert-manager's pods
SOLVER_PORT = 8089
DNS_PORT = 53


@pytest.fixture
def objects():
    """Production with every component that brings a policy."""
    return rendered("overlays/production", ALL)


def policies(objects, labels, direction):
    """The rules in one direction that hold for pods with these labels."""
    return [
        rule
        for policy in of_kind(objects, "NetworkPolicy")
        if chooses(policy["spec"]["podSelector"], labels)
        for rule in policy["spec"].get(direction, [])
    ]


def sources(objects, deployment):
    """Port → the namespaces that reach it."""
    found = {}
    for rule in policies(objects, labels_of(deployment), "ingress"):
        for port in rule["ports"]:
            for peer in rule["from"]:
                name = peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
                found.setdefault(port["port"], set()).add(name)
    return found


def numbers(deployment):
    """Name → number of a container's ports."""
    return {it["name"]: it["containerPort"] for it in container_of(deployment)["ports"]}


def test_nothing_is_allowed_that_is_not_named(objects):
    """A policy for every pod, in both directions, with no rule."""
    default = one(objects, "NetworkPolicy", "default-deny")["spec"]
    assert default["podSelector"] == {}
    assert sorted(default["policyTypes"]) == ["Egress", "Ingress"]
    assert not default.get("ingress")
    assert not default.get("egress")


def test_policies_hold_for_pods_that_are_there(objects):
    """One that selects nothing protects nothing; cert-manager's solvers come and go."""
    pods = [*(labels_of(it) for it in of_kind(objects, "Deployment")), SOLVER]
    for policy in of_kind(objects, "NetworkPolicy"):
        assert any(chooses(policy["spec"]["podSelector"], labels) for labels in pods)


def test_a_certificates_challenge_is_answered(objects):
    """From the ingress, at the port of cert-manager's solver; it needs no way out."""
    (rule,) = policies(objects, SOLVER, "ingress")
    ((peer,), (port,)) = (rule["from"], rule["ports"])
    name = peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
    assert (name, port) == ("ingress-nginx", {"protocol": "TCP", "port": SOLVER_PORT})
    assert not policies(objects, SOLVER, "egress")


def test_the_api_is_reached_from_the_ingress_and_its_metrics_from_monitoring(objects):
    """And neither from the other: METRICS_PORT asks for no token."""
    api = one(objects, "Deployment", "vitrine-api")
    ports = numbers(api)
    assert sources(objects, api) == {
        ports["http"]: {"ingress-nginx"},
        ports["metrics"]: {"monitoring"},
    }


def test_workers_are_reached_from_monitoring_alone(objects):
    """They serve nothing else."""
    worker = one(objects, "Deployment", "vitrine-worker")
    assert sources(objects, worker) == {numbers(worker)["metrics"]: {"monitoring"}}


@pytest.mark.parametrize("name", ["vitrine-api", "vitrine-worker"])
def test_pods_reach_what_they_need(name):
    """DNS, PostgreSQL, Valkey, HTTPS for the bucket, a collector of traces, and nothing else."""
    objects = rendered("overlays/production")
    rules = policies(objects, labels_of(one(objects, "Deployment", name)), "egress")
    reached = {(port["protocol"], port["port"]) for rule in rules for port in rule["ports"]}
    assert reached == {("UDP", 53), *(("TCP", port) for port in (53, 5432, 6379, 443, 4318))}


def test_no_rule_opens_every_port_or_every_place(objects):
    """An empty list in a policy means all of them."""
    for policy in of_kind(objects, "NetworkPolicy"):
        for rule in policy["spec"].get("ingress", []) + policy["spec"].get("egress", []):
            assert rule["ports"]
            assert rule.get("from") or rule.get("to")


def test_credentials_of_the_node_are_out_of_reach():
    """Unless metadata-server is chosen, for clusters where they are the pod's; DNS is all else."""
    for policy in of_kind(rendered("overlays/production"), "NetworkPolicy"):
        for rule in policy["spec"].get("egress", []):
            for peer in rule["to"]:
                block = peer.get("ipBlock", {})
                if block.get("cidr") == "0.0.0.0/0":
                    assert "169.254.0.0/16" in block["except"]
                elif block.get("cidr", "").startswith("169.254."):
                    assert {port["port"] for port in rule["ports"]} == {DNS_PORT}


def test_names_are_resolved_wherever_the_cluster_does_it(objects):
    """In kube-system, at the node's cache, or at the metadata server, where GKE has Cloud DNS."""
    (rule,) = one(objects, "NetworkPolicy", "to-dns")["spec"]["egress"]
    blocks = {peer["ipBlock"]["cidr"] for peer in rule["to"] if "ipBlock" in peer}
    assert blocks == {"169.254.20.10/32", "169.254.169.254/32"}
    names = [it["namespaceSelector"] for it in rule["to"] if "namespaceSelector" in it]
    assert names == [{"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}]
    ports = {(port["protocol"], port["port"]) for port in rule["ports"]}
    assert ports == {("UDP", DNS_PORT), ("TCP", DNS_PORT)}


def test_a_collector_in_the_cluster_is_reached_where_the_overlay_names_one(objects):
    """The place of the example in the overlay is one that a policy opens."""
    text = (FOLDER / "overlays/production/kustomization.yaml").read_text()
    place = urlsplit(text.partition("OTEL_EXPORTER_OTLP_ENDPOINT=")[2].split()[0])
    (rule,) = one(objects, "NetworkPolicy", "to-collector")["spec"]["egress"]
    (peer,) = rule["to"]
    assert [place.port] == [port["port"] for port in rule["ports"]]
    name = peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
    assert place.hostname.split(".")[1] == name
