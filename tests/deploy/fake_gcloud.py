"""Replaces gcloud and docker on a test's PATH: records each call and what was created.

Like the real one it refuses to create what exists, and fails to describe what does not.
"""

import json
import os
import re
import sys
from pathlib import Path

STATE = Path(os.environ["FAKE_STATE"])
TOKEN = "an-identity-token-that-must-not-be-seen"
ADDRESSES = "CONNECTION_TYPE_READER,10.0.0.4,6379\nCONNECTION_TYPE_PRIMARY,10.0.0.3,6379\n"


def main() -> int:
    program, arguments = Path(sys.argv[0]).name, sys.argv[1:]
    with (STATE / "calls.jsonl").open("a") as calls:
        calls.write(json.dumps([program, *arguments]) + "\n")
    if (broken := os.environ.get("FAKE_BROKEN")) and broken in " ".join(arguments):
        sys.stderr.write("fails, as the test demands\n")
        return 1
    if program == "docker":
        return 0
    flags = dict(re.findall(r"^--([\w-]+)=?(.*)$", "\n".join(arguments), re.MULTILINE))
    words = [
        word for word in arguments if not word.startswith("-") and word not in {"beta", "alpha"}
    ]
    if special := SPECIAL.get(" ".join(words[:3])):
        return special(words, flags)
    for verb, action in (("describe", describe), ("create", create)):
        if verb in words:
            return action(resource([word for word in words if word != verb]), flags)
    return 0


def resource(words: list[str]) -> Path:
    """The file of a resource; identities are created by name, and described by their address."""
    return STATE / "_".join(words).replace("/", "|").partition("@")[0]


def answer(text: str) -> int:
    sys.stdout.write(text)
    return 0


def describe(file: Path, flags: dict[str, str]) -> int:
    """Print the fields that a script asks for; fails where the resource does not exist."""
    wanted = flags.get("format", "")
    if not file.exists():
        return 1
    if "connectionType" in wanted:
        return answer(ADDRESSES)
    if "status.traffic" in wanted:
        return answer((STATE / "traffic").read_text())
    if "status.url" in wanted and "flatten" not in flags:
        return answer("https://vitrine-api.example.com\n")
    if "manualInstanceCount" in wanted:
        return answer(re.findall(r'manualInstanceCount: "(\d+)"', file.read_text())[0] + "\n")
    return 0


def create(file: Path, flags: dict[str, str]) -> int:
    if file.exists():
        sys.stderr.write(f"{file.name} exists already\n")
        return 1
    if "flags-file" in flags:
        set_password([], flags)
    file.write_text(sys.stdin.read() if flags.get("data-file") == "-" else "")
    return 0


def add_version(words: list[str], flags: dict[str, str]) -> int:
    resource(["secrets", words[3]]).write_text(sys.stdin.read())
    return 0


def access_secret(words: list[str], flags: dict[str, str]) -> int:
    file = resource(["secrets", flags["secret"]])
    return answer(file.read_text()) if file.exists() else 1


def list_users(words: list[str], flags: dict[str, str]) -> int:
    names = [path.name.removeprefix("sql_users_") for path in STATE.glob("sql_users_*")]
    return answer("\n".join(["postgres", *names, ""]))


def set_password(words: list[str], flags: dict[str, str]) -> int:
    (STATE / "password").write_text(Path(flags["flags-file"]).read_text())
    return 0


def build(words: list[str], flags: dict[str, str]) -> int:
    (image,) = re.findall(r"_IMAGE=([^,]+)", flags["substitutions"])
    return create(resource(["artifacts", "docker", "images", image]), {})


def replace(words: list[str], flags: dict[str, str]) -> int:
    """Apply a service or a worker pool, with the traffic that it asks for."""
    text = Path(words[3]).read_text()
    (name,) = re.findall(r"^  name: (\S+)", text, re.MULTILINE)
    resource(["run", words[1], name]).write_text(text)
    (revision,) = re.findall(rf"^      name: ({name}-\S+)", text, re.MULTILINE)
    kind = [] if words[1] == "services" else [words[1]]
    resource(["run", *kind, "revisions", revision]).touch()
    if words[1] == "services":
        ((old, share), (new, tag)) = re.findall(
            r"- revisionName: (\S+)\n\s+(?:percent|tag): (\S+)", text
        )
        address = os.environ["FAKE_CANDIDATE"]
        (STATE / "traffic").write_text(f"{old},{share},,\n{new},,{tag},{address}\n")
    return 0


def move_traffic(words: list[str], flags: dict[str, str]) -> int:
    revision, share = flags["to-revisions"].split("=")
    (STATE / "traffic").write_text(f"{revision},{share},,\n")
    return 0


def worker_revisions(words: list[str], flags: dict[str, str]) -> int:
    start = "run_worker-pools_revisions_"
    return answer("".join(f"{path.name.removeprefix(start)}\n" for path in STATE.glob(f"{start}*")))


def list_policies(words: list[str], flags: dict[str, str]) -> int:
    (label,) = re.findall(r'"(.+)"', flags["filter"])
    exists = (STATE / f"policy_{label}").exists()
    return answer(f"projects/some-project/alertPolicies/{label}\n" if exists else "")


def create_policy(words: list[str], flags: dict[str, str]) -> int:
    label = json.loads(Path(flags["policy-from-file"]).read_text())["userLabels"]
    (STATE / f"policy_{label['vitrine_alert']}").touch()
    return 0


SPECIAL = {
    "secrets versions add": add_version,
    "secrets versions access": access_secret,
    "sql users list": list_users,
    "sql users set-password": set_password,
    "builds submit .": build,
    "run services replace": replace,
    "run worker-pools replace": replace,
    "run services update-traffic": move_traffic,
    "run worker-pools revisions": worker_revisions,
    "auth print-identity-token": lambda *_: answer(f"{TOKEN}\n"),
    "config get-value account": lambda *_: answer(os.environ.get("FAKE_ACCOUNT", "me@example.com")),
    "monitoring policies list": list_policies,
    "monitoring policies create": create_policy,
}

if __name__ == "__main__":
    sys.exit(main())
