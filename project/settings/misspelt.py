"""Names in `.env` that are nearly settings: a setting that is misspelt has no effect, in silence.

Only `.env` is checked, as the environment of a machine is full of names that are not ours. `.env`
has such names too (of Compose, of libraries), so a name counts only if it is close to a setting.
"""

from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches
from pathlib import Path

from dotenv import dotenv_values
from loguru import logger

from project.settings import INTERNAL, Settings

CLOSE = 0.85  # similarity (difflib's ratio) of a misspelt name to its setting: one letter of seven
CLOSE_WORD = 0.65  # of each of its words: METRICS_HOST is not METRICS_PORT
UNITS = ("SECONDS", "BYTES")  # how the name of a setting may end, and is easily forgotten
VALUE = "TOKEN"  # the last word of a token's name, whose seconds are another matter
MIN_PLURAL = 4  # letters of a word whose last `s` may be that of a plural


def misspelt_settings(path: Path | None = None) -> dict[str, str]:
    """Return name in the file → setting that is probably meant; by default of the file `.env`."""
    try:
        names = dotenv_values(path or str(Settings.model_config["env_file"]), interpolate=False)
    except (OSError, UnicodeDecodeError):  # the settings were read, so it was changed since
        return {}
    known = {name.upper() for name in Settings.model_fields}
    offered = known - {name.upper() for name in INTERNAL}
    found = {name: meant(name, offered) for name in names if name.upper() not in known}
    return {name: setting for name, setting in found.items() if setting}


def meant(name: str, settings: Iterable[str]) -> str | None:
    """Return the setting that a name nearly is; None where there is none.

    It has the same words in another order or number, lacks a unit or an underscore, or has a few
    wrong letters. A name with one word more or less is another name: OTEL_TRACES_SAMPLER is one of
    OpenTelemetry, and no setting.
    """
    words = name.upper().split("_")
    by_words = {setting: setting.split("_") for setting in sorted(settings)}
    for setting, others in by_words.items():
        same = sorted(map(_singular, words)) == sorted(map(_singular, others))
        lacks_unit = len(words) > 1 and others[-1] in UNITS and words == others[:-1]
        lacks_unit = lacks_unit and words[-1] != VALUE
        if same or lacks_unit or "".join(words) == "".join(others):
            return setting
    candidates = [setting for setting, others in by_words.items() if len(others) == len(words)]
    for setting in get_close_matches(name.upper(), candidates, cutoff=CLOSE):
        pairs = zip(words, by_words[setting], strict=True)
        if all(SequenceMatcher(None, *pair).ratio() >= CLOSE_WORD for pair in pairs):
            return setting
    return None


def _singular(word: str) -> str:
    return word.removesuffix("S") if len(word) >= MIN_PLURAL else word


def warning_lines() -> list[str]:
    """Return a line for each misspelt setting in `.env`, without any value."""
    return [
        f".env: {name} is no setting; {setting} is (did you mean it?)"
        for name, setting in misspelt_settings().items()
    ]


def log_misspelt_settings() -> None:
    """Log a warning for each; once in a service, by the process that starts the others."""
    for line in warning_lines():
        logger.bind(reason=line).warning("setting_misspelt")
