"""Gunicorn's configuration, for containers and machines alike; whatever varies is a setting."""

from pathlib import Path

from loguru import logger

import project.api.factory  # noqa: F401 - the workers inherit it, and start sooner for it
from project import preflight
from project.errors import ConfigurationError
from project.models import check_names
from project.resources import size
from project.server.hooks import (  # noqa: F401 - Gunicorn finds its hooks by name in this file
    child_exit,
    nworkers_changed,
    on_exit,
    on_reload,
    on_starting,
    post_fork,
    pre_fork,
    when_ready,
)
from project.settings.loading import reload_settings

# Read at start and again at SIGHUP; the workers inherit the result.
settings, refused = reload_settings(preflight.check_reload)
if refused:
    logger.bind(faults=refused).error("settings_refused")  # the previous ones stay in force
try:
    check_names(settings.models)
except ConfigurationError as error:
    raise SystemExit(str(error)) from None
if settings.prometheus_multiproc_dir is None:
    raise SystemExit("PROMETHEUS_MULTIPROC_DIR is not set: start through ./prestart.sh")

wsgi_app = "project.app:app"
bind = [f"{settings.host}:{settings.port}"]
if settings.metrics_port:  # the workers distinguish the two by the local port of a connection
    bind.append(f"{settings.host}:{settings.metrics_port}")
workers = size(settings).workers
worker_class = "project.server.uvicorn_worker.VitrineWorker"
logger_class = "project.server.logger.LoguruLogger"
preload_app = False  # the threads of a net do not survive a fork; the modules imported above do
timeout = settings.worker_timeout_seconds  # heartbeats go on while models load: this is for hangs
graceful_timeout = settings.graceful_timeout_seconds
keepalive = (
    settings.keepalive_seconds
)  # longer than the balancer's, which else would use closed connections
max_requests = settings.max_requests  # bounds what a leak in a model's code can cost
max_requests_jitter = (
    settings.max_requests_jitter
)  # so that workers are not replaced at the same time
forwarded_allow_ips = settings.forwarded_allow_ips
# On a slow disk a late heartbeat would have a healthy worker killed; macOS has no /dev/shm.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108
control_socket_disable = True  # it fails where the file system is read-only or the user has no home
accesslog = None  # the application logs its requests itself, with route, trace and model
