"""Gunicorn's configuration, for containers and machines alike; all that varies is a setting."""

from pathlib import Path

from loguru import logger

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

# Read at start and again at HUP; the workers inherit what was read.
settings, refused = reload_settings(preflight.faults)
if refused:
    logger.bind(faults=refused).error("settings_refused")  # the previous ones hold
try:
    check_names(settings.models)
except ConfigurationError as error:
    raise SystemExit(str(error)) from None
if settings.prometheus_multiproc_dir is None:
    raise SystemExit("PROMETHEUS_MULTIPROC_DIR is not set: start through ./prestart.sh")

wsgi_app = "project.app:app"
bind = [f"{settings.host}:{settings.port}"]
if settings.metrics_port:  # the workers tell the two apart by the connection's local port
    bind.append(f"{settings.host}:{settings.metrics_port}")
workers = size(settings).workers
worker_class = "project.server.uvicorn_worker.VitrineWorker"
logger_class = "project.server.logger.LoguruLogger"
preload_app = False  # torch's threads and a fork do not go together
timeout = settings.worker_timeout_seconds  # the heart beats while models load: this is for hangs
graceful_timeout = settings.graceful_timeout_seconds
keepalive = settings.keepalive_seconds  # longer than the balancer's, or it meets closed sockets
max_requests = settings.max_requests  # bounds what a leak in a model's code can cost
max_requests_jitter = settings.max_requests_jitter  # so that workers do not leave together
forwarded_allow_ips = settings.forwarded_allow_ips
# A heartbeat on a slow disk is a worker killed for nothing; macOS has no /dev/shm.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108
control_socket_disable = True  # it fails where the file system is read-only or the user has no home
accesslog = None  # the application logs its requests itself, with route, trace and model
