"""`python -m project`: models, jobs, logs and maintenance from the command line.

Slow imports (torch, NumPy, an HTTP client, Rich) are inside the commands that use them.
"""

import typer

from project.cli import (
    drift,
    jobs,
    keys,
    models,
    new,
    predicting,
    setup_commands,
    streaming,
    trace_command,
    users,
)
from project.cli.evaluation import command as evaluation

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.command("models")(models.list_models)
app.command()(new.new)
app.command()(predicting.predict)
app.command()(streaming.stream)
app.command()(evaluation.evaluate)
app.add_typer(jobs.app, name="jobs")
app.add_typer(drift.app, name="drift")
app.add_typer(users.app, name="users")
app.add_typer(keys.app, name="keys")
app.command()(trace_command.trace)
app.command("preflight")(setup_commands.check_before_start)
app.command()(setup_commands.warm)
app.command()(setup_commands.docs)
