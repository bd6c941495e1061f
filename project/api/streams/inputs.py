"""What a session has set for its frames: parameters, and inputs that stay the same.

Each frame is read as the body of a prediction is, and validated by the same rules.
"""

import json
from typing import Any

from pydantic import ValidationError

from project.api.requests.reader import (
    MAX_FIELDS,
    MAX_JSON_PARTS,
    check_count,
    decode_base64,
    validate,
    with_booleans_as_text,
)
from project.api.requests.unicode import check_text
from project.errors import InvalidInput
from project.inference.pipeline import Raw
from project.models.base import AnyModel, Params
from project.models.base.inputs import fields_of, pictures_of, texts_of


class StreamInputs:
    """The parameters and the held inputs of one session.

    params: valid ones, for later frames. max_text_length: characters.
    """

    def __init__(self, model: AnyModel, max_text_length: int, values: dict[str, Any]) -> None:
        """Set the parameters that the query names. Raises InvalidInput."""
        self._model = model
        self._max_text_length = max_text_length
        self._pictures: dict[str, bytes] = {}
        self._texts: dict[str, str] = {}
        self._values: dict[str, Any] = {}
        self.params = self.set_params(values)

    @property
    def frame_input(self) -> str | None:
        """The input that a frame is: the first picture, else the first text; None: parameters."""
        pictures = pictures_of(self._model.inputs)
        return next(iter([*pictures, *texts_of(self._model.inputs)]), None)

    def parse(self, text: str) -> dict[str, Any]:
        """Parse a text message: an object with a `type`. Raises InvalidInput."""
        bound = MAX_JSON_PARTS + self._max_text_length * len(texts_of(self._model.inputs))
        advice = 'send an object such as {"type": "params", "params": {…}}'
        if sum(text.count(character) for character in ",[{") > bound:
            raise InvalidInput(f"the message has too many parts; {advice}")
        try:
            message = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InvalidInput(f"the message is not valid JSON; {advice}") from error
        if not isinstance(message, dict):
            raise InvalidInput(advice)
        return message

    def set_params(self, values: Any) -> Params:
        """Replace all parameters, and return the valid ones. Raises InvalidInput."""
        given = _checked_object(values, "params")
        given = with_booleans_as_text(given, self._model.params)
        names = texts_of(self._model.inputs)
        if misplaced := [name for name in given if name in names]:
            raise InvalidInput(f"`{misplaced[0]}` is an input: send it in a frame")
        self.params = _validate_params(self._model, given)
        self._values = given
        return self.params

    def hold(self, values: Any) -> None:
        """Set inputs that later frames have too; null forgets one. Raises InvalidInput."""
        pictures, texts = self._read(values)
        self._pictures.update(pictures)
        self._texts.update(texts)
        for name, value in values.items():
            if value is None:
                self._pictures.pop(name, None)
                self._texts.pop(name, None)

    def of_picture(self, data: bytes) -> tuple[Raw, Params]:
        """The inputs and parameters of a frame that is a picture's file. Raises InvalidInput."""
        pictures = pictures_of(self._model.inputs)
        if not pictures:
            raise InvalidInput(
                f'{self._model.name} takes no picture: send {{"type": "frame", "inputs": {{…}}}}'
            )
        return self._complete({pictures[0]: data}, {})

    def of_values(self, values: Any) -> tuple[Raw, Params]:
        """The inputs and parameters of a frame that is an object. Raises InvalidInput."""
        return self._complete(*self._read(values))

    def _read(self, values: Any) -> tuple[dict[str, bytes], dict[str, str]]:
        """Pictures and texts of an object. Raises InvalidInput or InvalidImage."""
        fields = fields_of(self._model.inputs)
        given = _checked_object(values, "inputs")
        check_text(given)
        faults = {
            str(name)[:100]: "is no text"
            if name in fields
            else f"is no input; there are: {', '.join(fields) or 'none'}"
            for name, value in given.items()
            if name not in fields or not isinstance(value, str | None)
        }
        if faults:
            raise InvalidInput("correct the inputs named in errors", fields=faults)
        present = {name: value for name, value in given.items() if value is not None}
        pictures = {
            name: decode_base64(value, name)
            for name, value in present.items()
            if fields[name].kind == "image"
        }
        return pictures, {name: text for name, text in present.items() if name not in pictures}

    def _complete(self, pictures: dict[str, bytes], texts: dict[str, str]) -> tuple[Raw, Params]:
        """Add what is held; texts are validated here, pictures when they are decoded."""
        pictures = {**self._pictures, **pictures}
        if not texts_of(self._model.inputs):
            return pictures, self.params
        values = {**self._values, **self._texts, **texts}
        found = validate(self._model, pictures, values, max_text_length=self._max_text_length)
        return found.raw, found.params


def _validate_params(model: AnyModel, values: dict[str, Any]) -> Params:
    """Validate parameters without the inputs, which come later. Raises InvalidInput."""
    check_text(values)
    try:
        params: Params = model.params.model_validate(values)
    except ValidationError as error:
        items = error.errors(include_url=False, include_input=False)[:MAX_FIELDS]
        known = ", ".join(model.params.model_fields) or "none"
        raise InvalidInput(
            f"correct the parameters named in errors; there are: {known}",
            fields={".".join(map(str, item["loc"]))[:100]: item["msg"] for item in items},
        ) from error
    return params


def _checked_object(values: Any, name: str) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise InvalidInput(f"`{name}` must be an object: name → value")
    check_count(len(values))
    return values
