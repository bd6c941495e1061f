"""The settings of this process: read once, inherited by its children, read again on demand."""

from collections.abc import Callable

from pydantic import ValidationError

from project.settings import Settings


def problems(error: ValidationError) -> list[str]:
    """One line for each wrong setting, naming its variable, without its value."""
    lines = []
    for item in error.errors(include_url=False, include_input=False):
        name = ".".join(str(part) for part in item["loc"][:1]).upper()
        message = item["msg"].removeprefix("Value error, ")
        lines.append(f"{name}: {message}" if name else message)
    return lines


_current: Settings | None = None


def load_settings() -> Settings:
    """The settings of this process and of those forked from it, read at the first call.

    Raises SystemExit with one line per problem, so that no traceback hides them.
    """
    global _current  # noqa: PLW0603 - the one place that keeps what was read
    if _current is None:
        try:
            _current = Settings()
        except ValidationError as error:
            raise SystemExit("\n".join(["Wrong settings:", *problems(error)])) from None
    return _current


def reload_settings(
    faults: Callable[[Settings, Settings], list[str]] = lambda _old, _new: [],
) -> tuple[Settings, list[str]]:
    """Read again, as on HUP; where something is wrong, keep what was.

    faults: what speaks against going from the old settings to the new ones, a line each.
    Returns the settings that hold now, and what was wrong with those that were refused.
    """
    global _current  # noqa: PLW0603 - see load_settings
    if _current is None:
        return load_settings(), []
    try:
        new = Settings()
        wrong = faults(_current, new)
    except ValidationError as error:
        wrong = problems(error)
    if not wrong:
        _current = new
    return _current, wrong
