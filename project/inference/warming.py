"""Loads models as a server does and keeps nothing but what was converted: for building an image."""

from project.inference.loading import load
from project.inference.runner import Runner
from project.models import create
from project.models.base import Model
from project.settings import Settings


async def failures(settings: Settings) -> list[str]:
    """Load every model of MODELS once; returns the names of those that failed, which are logged.

    Raises ConfigurationError where a name has no file.
    """
    models = create(settings.models, settings.weights_by_model)
    quick = [model for model in models if isinstance(model, Model)]
    failed = [model.name for model in models if model not in quick and load(model, dict)]
    async with Runner(quick, settings) as runner:
        return failed + [name for name, queue in runner.queues.items() if queue.failure]
