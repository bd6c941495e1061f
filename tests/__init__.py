"""The tests: unit (fast, no server), api (the app in process), services (real Gunicorn), browser."""
