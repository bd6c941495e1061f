"""The model behind plain FastAPI."""
