"""Vitrine: an image-inference API that is operated from its dashboards."""

__version__ = "0.1.0"
