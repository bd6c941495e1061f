"""The job process: what Dramatiq imports, started by `python -m project.jobs.supervisor`."""

from project import models
from project.jobs.worker_process import create_broker
from project.settings.loading import load_settings

settings = load_settings()
broker = create_broker(settings, models.create(settings.taken_queues, settings.weights_by_model))
