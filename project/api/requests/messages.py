"""The ways to send a model its images, in words for who sent them otherwise."""

MULTIPART = "multipart/form-data"
URLENCODED = "application/x-www-form-urlencoded"
JSON = "application/json"

Names = tuple[str, ...]  # of the images that a model takes


def all_ways(names: Names) -> str:
    """Every way to send these images, or the parameters alone where there are none."""
    if not names:
        return f"send the parameters as {JSON}, as a form or in the query"
    if len(names) == 1:
        return (
            f"send {MULTIPART} with a file `{names[0]}`, a raw image/* body, or {JSON} with base64"
        )
    return f"send {MULTIPART} with the files {in_words(names)}, or {JSON} with base64"


def in_json(names: Names) -> str:
    """What a JSON object with these images looks like."""
    if not names:
        return "send a JSON object with the parameters"
    members = ", ".join(f'"{name}": "<base64>"' for name in names)
    return f"send a JSON object such as {{{members}}}"


def with_curl(names: Names) -> str:
    """What curl takes to send a form with these images."""
    parts = [f"-F {name}=@photo.jpg" for name in names] or ["-F name=value"]
    return f"with curl: {' '.join(parts)}"


def in_words(names: Names) -> str:
    """`a`, `b` and `c`."""
    quoted = [f"`{name}`" for name in names]
    return " and ".join(filter(None, [", ".join(quoted[:-1]), quoted[-1]]))
