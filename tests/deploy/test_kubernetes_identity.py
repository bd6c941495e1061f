"""Identities on the page for Kubernetes: both service accounts, in every cloud's own words."""

import json
import re
import subprocess

import pytest

from tests.deploy.kustomize import of_kind, rendered
from tests.deploy.test_kubernetes_page import PATH, block

STAND_IN = """
aws() {
  case "$*" in
    *oidc.issuer*) echo https://oidc.example.com/id/1 ;;
    *get-caller*) echo 111122223333 ;;
    *get-role*) echo arn:aws:iam::111122223333:role/vitrine ;;
    *) printf '%s\\0' aws "$@" --- ;;
  esac
}
gcloud() { printf '%s\\0' gcloud "$@" ---; }
az() { case "$*" in *show*) echo value ;; *) printf '%s\\0' az "$@" --- ;; esac; }
"""


def calls(script):
    """What a block would call, as lists of arguments; nothing is asked of a cloud."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", STAND_IN + script],
        env={"PATH": PATH},
        capture_output=True,
        text=True,
        check=True,
    )
    return [call.split("\0")[:-1] for call in done.stdout.split("---\0")[:-1]]


@pytest.fixture
def accounts():
    """The service accounts of the manifests, as namespace and name."""
    made = of_kind(rendered("overlays/production"), "ServiceAccount")
    return {(it["metadata"]["namespace"], it["metadata"]["name"]) for it in made}


def policy(call, option):
    """A document that is given to an option, and is JSON."""
    return json.loads(call[call.index(option) + 1])["Statement"]


def test_the_role_trusts_both_accounts_of_this_cluster_alone(accounts):
    """Through the cluster's issuer, which is a provider of IAM."""
    provider, role = calls(block("create-open-id-connect-provider"))
    assert "https://oidc.example.com/id/1" in provider
    (statement,) = policy(role, "--assume-role-policy-document")
    wanted = {f"system:serviceaccount:{space}:{name}" for space, name in accounts}
    equals = statement["Condition"]["StringEquals"]
    assert set(equals["oidc.example.com/id/1:sub"]) == wanted
    assert equals["oidc.example.com/id/1:aud"] == "sts.amazonaws.com"
    assert statement["Principal"]["Federated"].endswith(":oidc-provider/oidc.example.com/id/1")


def test_pod_identity_has_its_agent_and_an_association_for_each_account(accounts):
    """Without the agent nobody answers at the address that the policies open."""
    agent, role, *associations = calls(block("create-pod-identity-association"))
    assert "eks-pod-identity-agent" in agent
    (statement,) = policy(role, "--assume-role-policy-document")
    assert statement["Principal"] == {"Service": "pods.eks.amazonaws.com"}
    found = {
        (call[call.index("--namespace") + 1], call[call.index("--service-account") + 1])
        for call in associations
    }
    assert found == accounts


def test_the_role_may_use_the_bucket():
    """Objects and their list, and nothing of other buckets."""
    (call,) = calls(block("put-role-policy"))
    statements = policy(call, "--policy-document")
    assert {it["Resource"] for it in statements} == {"arn:aws:s3:::BUCKET/*", "arn:aws:s3:::BUCKET"}
    assert "s3:ListBucket" in {it["Action"] for it in statements if isinstance(it["Action"], str)}


def test_both_accounts_may_act_as_the_one_of_google(accounts):
    """And that one signs for itself."""
    said = [" ".join(call) for call in calls(block("gcloud"))]
    user = [it for it in said if "roles/iam.workloadIdentityUser" in it]
    found = {re.search(r"svc\.id\.goog\[([\w-]+)/([\w-]+)\]", it).groups() for it in user}
    assert found == accounts
    for words in ("iamcredentials.googleapis.com", "serviceAccountTokenCreator", "GKE_METADATA"):
        assert len([it for it in said if words in it]) == 1


def test_both_accounts_are_federated_with_azures_identity(accounts):
    """Which may use blobs and ask for the key that signs."""
    made = calls(block("federated-credential"))
    subjects = {call[call.index("--subject") + 1] for call in made if "--subject" in call}
    assert subjects == {f"system:serviceaccount:{space}:{name}" for space, name in accounts}
    roles = {call[call.index("--role") + 1] for call in made if "--role" in call}
    assert roles == {"Storage Blob Data Contributor", "Storage Blob Delegator"}
    assert {"--enable-oidc-issuer", "--enable-workload-identity"} <= set(made[0])
