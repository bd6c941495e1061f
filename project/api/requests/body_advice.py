"""Media types, and the advice for requests whose images cannot be read."""

MULTIPART = "multipart/form-data"
URLENCODED = "application/x-www-form-urlencoded"
JSON = "application/json"

Names = tuple[str, ...]  # of a model's images


def accepted_bodies(names: Names) -> str:
    """Advise which bodies can carry these images, or the parameters alone without images."""
    if not names:
        return f"send the parameters as {JSON}, as a form or in the query"
    if len(names) == 1:
        return (
            f"send {MULTIPART} with a file `{names[0]}`, a raw image/* body, or {JSON} with base64"
        )
    return f"send {MULTIPART} with the files {in_words(names)}, or {JSON} with base64"


def json_example(names: Names) -> str:
    """Advise what a JSON object with these images looks like."""
    if not names:
        return "send a JSON object with the parameters"
    members = ", ".join(f'"{name}": "<base64>"' for name in names)
    return f"send a JSON object such as {{{members}}}"


def curl_example(names: Names) -> str:
    """Advise how curl sends a form with these images."""
    parts = [f"-F {name}=@photo.jpg" for name in names] or ["-F name=value"]
    return f"with curl: {' '.join(parts)}"


def in_words(names: Names) -> str:
    """Enumerate the names: `a`, `b` and `c`."""
    quoted = [f"`{name}`" for name in names]
    return " and ".join(filter(None, [", ".join(quoted[:-1]), quoted[-1]]))
