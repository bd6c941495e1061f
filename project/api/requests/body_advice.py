"""Media types, and the advice for requests whose inputs cannot be read."""

from collections.abc import Sequence

from project.models.base import Inputs
from project.models.base.inputs import fields_of, pictures_of, texts_of

MULTIPART = "multipart/form-data"
URLENCODED = "application/x-www-form-urlencoded"
JSON = "application/json"
TEXT = "text/plain"


def required_pictures(inputs: type[Inputs]) -> tuple[str, ...]:
    """The names of the pictures that a request must have."""
    return tuple(name for name in pictures_of(inputs) if fields_of(inputs)[name].required)


def takes_raw_picture(inputs: type[Inputs]) -> bool:
    """Whether a body that is a picture can be the first one."""
    return bool(pictures_of(inputs)) and not set(required_pictures(inputs)) - {
        pictures_of(inputs)[0]
    }


def takes_raw_text(inputs: type[Inputs]) -> bool:
    """Whether a body that is a text can be the first one."""
    return bool(texts_of(inputs)) and not required_pictures(inputs)


def accepted_bodies(inputs: type[Inputs]) -> str:
    """Advise which bodies can carry a model's inputs, or the parameters alone without inputs."""
    pictures, texts = pictures_of(inputs), texts_of(inputs)
    if not pictures and not texts:
        return f"send the parameters as {JSON}, as a form or in the query"
    ways = []
    if pictures:
        files = "a file" if len(pictures) == 1 else "the files"
        ways.append(f"{MULTIPART} with {files} {in_words(pictures)}")
    elif texts:
        ways.append(f"{JSON} with {in_words(texts)}")
        ways.append(
            f"a form with {'a field' if len(texts) == 1 else 'the fields'} {in_words(texts)}"
        )
    if takes_raw_picture(inputs):
        ways.append("a raw image/* body")
    if takes_raw_text(inputs):
        ways.append(f"a raw {TEXT} body")
    if pictures:
        ways.append(f"{JSON} with base64")
    return f"send {', '.join(ways[:-1])}{',' if len(ways) > 2 else ''} or {ways[-1]}"  # noqa: PLR2004


def json_example(inputs: type[Inputs]) -> str:
    """Advise what a JSON object with these inputs looks like."""
    fields = fields_of(inputs)
    if not fields:
        return "send a JSON object with the parameters"
    members = ", ".join(
        f'"{name}": "{"<base64>" if field.kind == "image" else "<text>"}"'
        for name, field in fields.items()
    )
    return f"send a JSON object such as {{{members}}}"


def curl_example(inputs: type[Inputs]) -> str:
    """Advise how curl sends a form with these inputs."""
    files = {"image": "@photo.jpg", "text": "@mail.txt"}
    parts = [f"-F {name}={files[field.kind]}" for name, field in fields_of(inputs).items()]
    return f"with curl: {' '.join(parts or ['-F name=value'])}"


def in_words(names: Sequence[str]) -> str:
    """Enumerate the names: `a`, `b` and `c`."""
    quoted = [f"`{name}`" for name in names]
    return " and ".join(filter(None, [", ".join(quoted[:-1]), quoted[-1]]))
