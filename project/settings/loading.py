"""The settings of this process: read once, inherited by its children, read again on SIGHUP."""

from collections.abc import Callable

from pydantic import ValidationError

from project.settings import Settings


def error_lines(error: ValidationError) -> list[str]:
    """One line for each wrong setting, with the name of its variable, without its value."""
    lines = []
    for item in error.errors(include_url=False, include_input=False):
        name = ".".join(str(part) for part in item["loc"][:1]).upper()
        message = item["msg"].removeprefix("Value error, ")
        lines.append(f"{name}: {message}" if name else message)
    return lines


class SettingsLoader:
    """Reads the settings at first use and keeps them."""

    def __init__(self) -> None:
        self._current: Settings | None = None

    def load(self) -> Settings:
        """The settings of this process and of those forked from it.

        Raises SystemExit with one line per problem, so that no traceback hides them.
        """
        if self._current is None:
            try:
                self._current = Settings()
            except ValidationError as error:
                raise SystemExit("\n".join(["Wrong settings:", *error_lines(error)])) from None
        return self._current

    def reload(
        self, check: Callable[[Settings, Settings], list[str]] = lambda _old, _new: []
    ) -> tuple[Settings, list[str]]:
        """Read the settings again; the current ones stay where the new ones are wrong.

        check: takes the current settings and the new ones; returns a line for each reason against
        the change. Returns the settings that are now in force, and why new ones were rejected.
        """
        if self._current is None:
            return self.load(), []
        try:
            new = Settings()
            faults = check(self._current, new)
        except ValidationError as error:
            faults = error_lines(error)
        if not faults:
            self._current = new
        return self._current, faults


_loader = SettingsLoader()  # of this process
load_settings = _loader.load
reload_settings = _loader.reload
