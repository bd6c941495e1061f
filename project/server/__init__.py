"""Gunicorn and Uvicorn around the application: the arbiter's hooks, the worker, its protocol."""
