"""Gunicorn around the application: worker slots, hooks of the arbiter, the worker class."""
