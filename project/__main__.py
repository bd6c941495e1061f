"""`python -m project`."""

from project.cli import app

app(prog_name="python -m project")
