"""Runners with our fake models, whose pauses and bounds a test chooses."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from project.inference.drift.monitor import DriftMonitor
from project.inference.runner import AdmittedPrediction, Runner, RunnerOptions
from project.settings import Settings
from tests.fakes import ShadeModel

DEADLINE = 60.0  # for what is awaited; reached where it never comes


def make_runner(settings: Settings, *models: ShadeModel, **options: Any) -> Runner:
    """A runner as the settings say, but for these options."""
    changed = replace(RunnerOptions.of(settings), **options)
    return Runner(models, changed, drift=DriftMonitor.of(settings))


@asynccontextmanager
async def serving(settings: Settings, shade: ShadeModel, **options: Any) -> AsyncIterator[Runner]:
    """A runner of one model that has loaded; its warm-up is forgotten."""
    async with make_runner(settings, shade, **options) as runner:
        shade.batches.clear()
        shade.entered.clear()
        try:
            yield runner
        finally:
            shade.go_on.set()


async def until_waiting(runner: Runner, count: int) -> None:
    """Run the event loop until so many predictions wait for a thread."""
    async with asyncio.timeout(DEADLINE):
        while runner.queues["shade"].waiting < count:  # noqa: ASYNC110 - a queue has no event
            await asyncio.sleep(0)


async def until_given_back(slot: AdmittedPrediction) -> None:
    """Wait until an upload has lasted for as long as it may hold a slot."""
    async with asyncio.timeout(DEADLINE):
        while slot.held:  # noqa: ASYNC110 - it is time itself that is awaited
            await asyncio.sleep(0)
