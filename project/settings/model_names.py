"""The type of settings that are lists of names."""

import json
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator
from pydantic_settings import NoDecode

ADVICE = 'write it as ["classification"] or classification'


def _parse(value: object) -> object:
    """Accept a JSON list or comma-separated names."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        try:
            return tuple(json.loads(value))
        except ValueError as error:
            raise ValueError(ADVICE) from error
    return tuple(name.strip() for name in value.split(",") if name.strip())


def _check(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value or len(set(value)) != len(value):
        raise ValueError("name at least one model, each once")
    if not all(name.isidentifier() for name in value):
        raise ValueError(ADVICE)
    return value


ModelNames = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_parse), AfterValidator(_check)]
