"""Tests: unit (fast), api (the app in process), services (real Gunicorn), browser."""
