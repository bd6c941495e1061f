"""The web process: what Gunicorn's workers import."""

from project.api.factory import create_app
from project.settings.loading import load_settings

app = create_app(load_settings())
