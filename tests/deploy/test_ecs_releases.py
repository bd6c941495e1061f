"""deploy/ecs/deploy.sh: releases, the way back, and what is done in between."""

import json

import pytest

from tests.deploy.ecs_account import (
    DIGEST,
    SETTINGS,
    Account,
    changing,
    deployed,
    parameters,
)


@pytest.fixture(scope="module")
def deploy(tmp_path_factory):
    return Account(tmp_path_factory.mktemp("account")).deploy


def test_a_tree_with_changes_is_not_deployed(deploy):
    """The image would not be what its name says."""
    done, calls = deploy(answers={"git -C": " M project/app.py"})
    assert "commit first" in done.stderr
    assert changing(calls) == []


def test_a_rollback_takes_an_image_that_is_there(deploy):
    """And nothing is built, or deployed where it is not there."""
    done, calls = deploy("rollback", "0ld", answers={"aws ecr describe-images": DIGEST})
    assert done.returncode == 0
    assert parameters(calls, "service")["Image"].endswith(":0ld")
    assert changing(calls)[0] == deployed("service")
    done, calls = deploy("rollback", "0ld")
    assert "no image 0ld" in done.stderr
    assert changing(calls) == []


def test_parameters_of_ones_own_are_handed_on(deploy):
    """Quoted in the file of settings, as the shell reads it; they win over what stacks tell."""
    own = {"PARAMETERS": '"ApiLeast=3 VpcCidr=10.9.0.0/16"', "JOBS": "off"}
    _, calls = deploy("release", settings=SETTINGS | own)
    given = parameters(calls, "service")
    assert (given["ApiLeast"], given["VpcCidr"], given["Jobs"]) == ("3", "10.9.0.0/16", "off")


def test_a_release_is_image_and_service(deploy):
    """Nothing else is touched."""
    _, calls = deploy("release")
    lines = [line for line in changing(calls) if line.startswith("aws cloudformation")]
    assert lines == [deployed("service")]


def test_a_restart_replaces_the_tasks_of_both(deploy):
    """With the same image, so that they read their secrets anew; and waits for them."""
    _, calls = deploy("restart")
    lines = changing(calls)
    assert ["--force-new-deployment" in line for line in lines] == [True, True, False]
    assert "wait services-stable" in lines[-1]


def test_one_task_runs_a_command_and_ends_as_it_does(deploy):
    """Its arguments arrive as they were given, its log is printed, its code decides."""
    answers = {
        "aws ecs run-task": "arn:aws:ecs:eu-central-1:123456789012:task/vitrine-service/7a",
        "aws logs get-log-events": "a line of its log",
        "aws ecs describe-tasks": "0",
    }
    words = ("python", "-m", "project", "jobs", "submit", 'a "quoted" word')
    done, calls = deploy("run", *words, answers=answers)
    assert done.returncode == 0, done.stderr
    assert "a line of its log" in done.stdout
    (started,) = [call["command"] for call in calls if "run-task" in call["command"]]
    given = json.loads(started[started.index("--overrides") + 1])
    assert given == {"containerOverrides": [{"name": "worker", "command": list(words)}]}
    done, _ = deploy("run", *words, answers=answers | {"aws ecs describe-tasks": "2"})
    assert "ended with 2" in done.stderr
    assert done.returncode != 0


@pytest.mark.parametrize("missing", ["NAME", "AWS_REGION", "HOSTED_ZONE_ID"])
def test_a_missing_setting_is_named(deploy, missing):
    """Before anything is asked of AWS."""
    done, calls = deploy(settings={k: v for k, v in SETTINGS.items() if k != missing})
    assert missing in done.stderr
    assert calls == []
