"""What routes depend on: parts of the state that the lifespan yields, by type."""

from typing import Annotated, cast

from fastapi import Depends, Request

from project.accounts.services import AccountServices
from project.api.jobs.services import JobServices
from project.api.readiness import ReadinessChecks
from project.api.state import State
from project.inference.runner import Runner
from project.settings import Settings


def state_of(request: Request) -> State:
    """Return the state of the process that serves this request, typed."""
    return cast("State", request.state)  # FastAPI takes no Request[State] as a parameter


def job_services_of(request: Request) -> JobServices:
    """Return the job services, for routes that exist only where jobs are on."""
    return cast("JobServices", state_of(request)["job_services"])


# Coroutines, as FastAPI calls a plain function in a thread.


async def _state(request: Request) -> State:
    return state_of(request)


async def _settings(request: Request) -> Settings:
    return state_of(request)["settings"]


async def _runner(request: Request) -> Runner:
    return state_of(request)["runner"]


async def _readiness(request: Request) -> ReadinessChecks:
    return state_of(request)["readiness"]


async def _job_services(request: Request) -> JobServices:
    return job_services_of(request)


async def _accounts(request: Request) -> AccountServices:
    return cast("AccountServices", state_of(request)["accounts"])  # else there are no such routes


StateDep = Annotated[State, Depends(_state)]
SettingsDep = Annotated[Settings, Depends(_settings)]
RunnerDep = Annotated[Runner, Depends(_runner)]
ReadinessDep = Annotated[ReadinessChecks, Depends(_readiness)]
AccountsDep = Annotated[AccountServices, Depends(_accounts)]
JobServicesDep = Annotated[JobServices, Depends(_job_services)]
