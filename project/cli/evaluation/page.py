"""An evaluation as one HTML file: no script, nothing from elsewhere, every text escaped."""

from collections.abc import Iterable, Iterator, Sequence
from html import escape

from project.cli.evaluation.report import headline, name_of, share
from project.cli.evaluation.run import Evaluation
from project.cli.evaluation.scores import Scores

MAX_MATRIX = 40  # classes
MAX_CONFUSIONS = 50
MAX_TEXT = 400  # characters of a text

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
STYLE = """
:root { color-scheme: light dark; --line: light-dark(#d7dbe0, #3a4048); --hot: 235, 87, 46; }
body { margin: 2rem auto; max-width: 75rem; padding: 0 1rem; font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2.5rem; }
table { border-collapse: collapse; } .scroll { overflow-x: auto; }
th, td { border: 1px solid var(--line); padding: .25rem .6rem; text-align: right; }
th:first-child, td.name { text-align: left; }
.mistakes { display: grid; gap: 1rem; }
.mistakes { grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); }
figure { margin: 0; border: 1px solid var(--line); border-radius: .5rem; padding: .75rem; }
figure img { display: block; margin: 0 auto .5rem; max-width: 100%; }
figure p, li { overflow-wrap: anywhere; } figure p { margin: 0; }
.quiet { opacity: .7; font-size: .85rem; }
blockquote { margin: 0 0 .5rem; white-space: pre-wrap; overflow-wrap: anywhere; }
"""


def render(evaluation: Evaluation, pictures: Sequence[str]) -> str:
    """The page. pictures: data URLs of the first mistakes, empty where one is a text."""
    title = f"{evaluation.model.name} {evaluation.model.version}"
    parts = [
        f"<h1>{escape(headline(evaluation))}</h1>",
        f"<p>{escape(evaluation.model.summary)}</p>",
        *_mistakes(evaluation, pictures),
        "<h2>Confusions</h2>",
        _confusions(evaluation.scores),
        "<h2>Classes</h2>",
        _classes(evaluation.scores),
        *_left_out(evaluation),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}, evaluated</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def _mistakes(evaluation: Evaluation, pictures: Sequence[str]) -> Iterator[str]:
    mistakes = evaluation.mistakes
    yield f"<h2>Worst mistakes ({len(pictures)} of {len(mistakes)}), the most confident first</h2>"
    yield '<div class="mistakes">'
    for sample, url in zip(mistakes, pictures, strict=False):
        text = "" if url else f"<blockquote>{escape(_excerpt(sample.name))}</blockquote>"
        image = f'<img src="{escape(url)}" alt="">' if url else ""
        name = f'<p class="quiet">{escape(sample.name)}</p>' if url else ""
        yield (
            f"<figure>{image}{text}<figcaption><p>{escape(sample.predicted or '')} "
            f"({share(sample.confidence)}), is <strong>{escape(sample.truth)}</strong></p>"
            f"{name}</figcaption></figure>"
        )
    yield "</div>"


def _excerpt(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"


def _confusions(scores: Scores) -> str:
    if len(scores.classes) > MAX_MATRIX:
        rows = [
            (truth, predicted, str(count))
            for (truth, predicted), count in scores.confusions()[:MAX_CONFUSIONS]
        ]
        return _table(("is", "predicted as", "times"), rows, names=2)
    labels = [one.label for one in scores.classes]
    cells = [
        "<tr><th>is, predicted as →</th>",
        *(f"<th>{escape(it)}</th>" for it in labels),
        "</tr>",
    ]
    for one in scores.classes:
        if not one.count:
            continue
        cells.append(f"<tr><th>{escape(one.label)}</th>")
        for label in labels:
            count = scores.pairs[one.label, label]
            colour = f' style="background: rgba(var(--hot), {0.8 * count / one.count:.3f})"'
            marked = colour if count and label != one.label else ""
            cells.append(f"<td{marked}>{count}</td>")
        cells.append("</tr>")
    return f'<div class="scroll"><table>{"".join(cells)}</table></div>'


def _classes(scores: Scores) -> str:
    rows = [
        (one.label, str(one.count), share(one.precision), share(one.recall))
        for one in scores.classes
    ]
    return _table(("class", "samples", "precision", "recall"), rows, names=1)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], *, names: int) -> str:
    """names: the number of columns that hold text."""
    lines = ["<tr>", *(f"<th>{escape(it)}</th>" for it in head), "</tr>"]
    for row in rows:
        cells = (
            f'<td class="name">{escape(it)}</td>' if column < names else f"<td>{escape(it)}</td>"
            for column, it in enumerate(row)
        )
        lines += ["<tr>", *cells, "</tr>"]
    return f'<div class="scroll"><table>{"".join(lines)}</table></div>'


def _left_out(evaluation: Evaluation) -> Iterator[str]:
    left_out = evaluation.left_out
    if left_out:
        yield f"<h2>Left out ({len(left_out)})</h2><ul>"
        for sample in left_out:
            name, reason = name_of(sample, MAX_TEXT), sample.item.failure or ""
            yield f"<li>{escape(name)}: {escape(reason)}</li>"
        yield "</ul>"
