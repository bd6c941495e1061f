"""Gunicorn's logger without handlers of its own: its records go to Loguru like all others."""

from typing import Any

from gunicorn.glogging import Logger

from project.observability.logging import configure_logging
from project.settings.loading import load_settings


class LoguruLogger(Logger):
    """Used as Gunicorn's `logger_class`, in the arbiter and in every worker."""

    def setup(self, cfg: Any) -> None:
        """Have Gunicorn set the levels, then remove its handlers."""
        super().setup(cfg)
        configure_logging(load_settings())
