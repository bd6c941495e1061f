"""Stands in for gcloud and docker: remembers what was made, and writes down how it was called.

Like the real one it refuses to make what there is, and fails to describe what there is not.
"""

import json
import os
import re
import sys
from pathlib import Path

STATE = Path(os.environ["FAKE_STATE"])


def main() -> int:
    """Answer one call."""
    program, arguments = Path(sys.argv[0]).name, sys.argv[1:]
    with (STATE / "calls.jsonl").open("a") as calls:
        calls.write(json.dumps([program, *arguments]) + "\n")
    if (broken := os.environ.get("FAKE_BROKEN")) and broken in " ".join(arguments):
        sys.stderr.write("broken, as the test wants it\n")
        return 1
    if program == "docker":
        return 0
    flags = dict(re.findall(r"^--([\w-]+)=?(.*)$", "\n".join(arguments), re.MULTILINE))
    words = [
        word for word in arguments if not word.startswith("-") and word not in {"beta", "alpha"}
    ]
    return answer(words, flags)


def answer(words: list[str], flags: dict[str, str]) -> int:
    """Do what the words say to what they name; returns the exit code."""
    special = SPECIAL.get(" ".join(words[:3]))
    if special:
        return special(words, flags)
    for verb, does in (("describe", describe), ("create", create)):
        if verb in words:
            rest = [word for word in words if word != verb]
            return does(thing(rest), flags)
    return 0


def thing(words: list[str]) -> Path:
    """The file that stands for something; identities are made by name, and asked for in full."""
    return STATE / "_".join(words).replace("/", "|").partition("@")[0]


def describe(kept: Path, flags: dict[str, str]) -> int:
    """Whether it is there; what a script asks of it."""
    if not kept.exists():
        return 1
    if "connectionType" in flags.get("format", ""):
        print("CONNECTION_TYPE_READER,10.0.0.4,6379\nCONNECTION_TYPE_PRIMARY,10.0.0.3,6379")  # noqa: T201
    if "status.traffic" in flags.get("format", ""):
        print((STATE / "traffic").read_text(), end="")  # noqa: T201
    if "status.url" in flags.get("format", "") and "flatten" not in flags:
        print("https://vitrine-api.example.com")  # noqa: T201
    if "manualInstanceCount" in flags.get("format", ""):
        print(re.findall(r'manualInstanceCount: "(\d+)"', kept.read_text())[0])  # noqa: T201
    return 0


def create(kept: Path, flags: dict[str, str]) -> int:
    """Make something, once; of a secret what comes in on stdin is kept."""
    if kept.exists():
        sys.stderr.write(f"{kept.name} exists already\n")
        return 1
    if "flags-file" in flags:
        (STATE / "password").write_text(Path(flags["flags-file"]).read_text())
    kept.write_text(sys.stdin.read() if flags.get("data-file") == "-" else "")
    return 0


def add_version(words: list[str], flags: dict[str, str]) -> int:
    """A secret's new version."""
    thing(["secrets", words[3]]).write_text(sys.stdin.read())
    return 0


def access(words: list[str], flags: dict[str, str]) -> int:
    """A secret's value."""
    kept = thing(["secrets", flags["secret"]])
    if kept.exists():
        print(kept.read_text(), end="")  # noqa: T201
    return 0 if kept.exists() else 1


def users(words: list[str], flags: dict[str, str]) -> int:
    """Users of the database; each has a password."""
    if words[2] == "list":
        found = [path.name.removeprefix("sql_users_") for path in STATE.glob("sql_users_*")]
        print("\n".join(["postgres", *found]))  # noqa: T201
    elif words[2] == "set-password":
        (STATE / "password").write_text(Path(flags["flags-file"]).read_text())
    return 0


def build(words: list[str], flags: dict[str, str]) -> int:
    """An image, whose name is among the substitutions."""
    (image,) = re.findall(r"_IMAGE=([^,]+)", flags["substitutions"])
    return create(thing(["artifacts", "docker", "images", image]), {})


def replace(words: list[str], flags: dict[str, str]) -> int:
    """A service or a worker pool, kept as it came, with the traffic that it asks for."""
    text = Path(words[3]).read_text()
    (name,) = re.findall(r"^  name: (\S+)", text, re.MULTILINE)
    thing(["run", words[1], name]).write_text(text)
    (revision,) = re.findall(rf"^      name: ({name}-\S+)", text, re.MULTILINE)
    kind = [] if words[1] == "services" else [words[1]]
    thing(["run", *kind, "revisions", revision]).touch()
    if words[1] == "services":
        ((old, share), (new, tag)) = re.findall(
            r"- revisionName: (\S+)\n\s+(?:percent|tag): (\S+)", text
        )
        address = os.environ["FAKE_CANDIDATE"]
        (STATE / "traffic").write_text(f"{old},{share},,\n{new},,{tag},{address}\n")
    return 0


def move(words: list[str], flags: dict[str, str]) -> int:
    """All traffic to one revision."""
    revision, share = flags["to-revisions"].split("=")
    (STATE / "traffic").write_text(f"{revision},{share},,\n")
    return 0


def worker_revisions(words: list[str], flags: dict[str, str]) -> int:
    """Those of the worker pool."""
    start = "run_worker-pools_revisions_"
    for path in STATE.glob(f"{start}*"):
        print(path.name.removeprefix(start))  # noqa: T201
    return 0


def token(words: list[str], flags: dict[str, str]) -> int:
    """Who calls."""
    print("an-identity-token-that-nobody-may-see")  # noqa: T201
    return 0


def who(words: list[str], flags: dict[str, str]) -> int:
    """The account that is signed in."""
    print(os.environ.get("FAKE_ACCOUNT", "somebody@example.com"))  # noqa: T201
    return 0


def policies(words: list[str], flags: dict[str, str]) -> int:
    """Alert policies, by their label."""
    if words[2] == "list":
        (label,) = re.findall(r'"(.+)"', flags["filter"])
        if (STATE / f"policy_{label}").exists():
            print(f"projects/some-project/alertPolicies/{label}")  # noqa: T201
    elif words[2] == "create":
        label = json.loads(Path(flags["policy-from-file"]).read_text())["userLabels"]
        (STATE / f"policy_{label['vitrine_alert']}").touch()
    return 0


SPECIAL = {
    "secrets versions add": add_version,
    "secrets versions access": access,
    "sql users list": users,
    "sql users set-password": users,
    "builds submit .": build,
    "run services replace": replace,
    "run worker-pools replace": replace,
    "run services update-traffic": move,
    "run worker-pools revisions": worker_revisions,
    "auth print-identity-token": token,
    "config get-value account": who,
    "monitoring policies list": policies,
    "monitoring policies create": policies,
}

if __name__ == "__main__":
    sys.exit(main())
