"""An evaluation as text for people, and as an object for programs."""

from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from project.cli.evaluation.run import Evaluation
from project.cli.evaluation.samples import Sample
from project.cli.evaluation.scores import Scores
from project.cli.output import plain

MAX_MATRIX = 10  # classes; of more, the most frequent confusions are listed
MAX_ROWS = 20  # of a list on the terminal; the page has the rest
MAX_NAME = 60  # characters of a text
DIGITS = 4


def headline(evaluation: Evaluation) -> str:
    """The accuracy, in a line."""
    scores, model = evaluation.scores, evaluation.model
    low, high = scores.interval
    return (
        f"{model.name} {model.version}: {scores.correct} of {scores.total} right, "
        f"accuracy {scores.accuracy:.3f} (95 %: {low:.3f} to {high:.3f}), "
        f"mean recall {scores.mean_recall:.3f}"
    )


def share(value: float | None) -> str:
    """A share, or a dash where there is none."""
    return "-" if value is None else f"{value:.3f}"


def name_of(sample: Sample, length: int = MAX_NAME) -> str:
    """The end of a sample's path, or the beginning of its text, in a line."""
    name = " ".join(sample.name.split())
    if len(name) <= length:
        return name
    return f"…{name[1 - length :]}" if sample.item.path else f"{name[: length - 1]}…"


def print_evaluation(evaluation: Evaluation) -> None:
    """Print everything but the pictures."""
    console, scores = Console(), evaluation.scores
    console.print(Text(plain(headline(evaluation))), soft_wrap=True)
    classes = Table("class", "samples", "precision", "recall")
    for one in sorted(scores.classes, key=lambda it: -it.count)[:MAX_ROWS]:
        shares = (share(one.precision), share(one.recall))
        classes.add_row(_text(one.label), str(one.count), *shares)
    console.print(classes)
    if len(scores.classes) > MAX_ROWS:
        console.print(f"and {len(scores.classes) - MAX_ROWS} classes more, on the page")
    if len(scores.classes) <= MAX_MATRIX:
        console.print(_matrix(scores))
    elif scores.confusions():
        confusions = Table("is", "predicted as", "times")
        for (truth, predicted), count in scores.confusions()[:MAX_ROWS]:
            confusions.add_row(_text(truth), _text(predicted), str(count))
        console.print(confusions)
    if evaluation.mistakes:
        mistakes = Table("worst mistakes", "is", "predicted as", "confidence")
        for sample in evaluation.mistakes[:MAX_ROWS]:
            cells = (name_of(sample), sample.truth, sample.predicted or "")
            mistakes.add_row(*map(_text, cells), share(sample.confidence))
        console.print(mistakes)


def _matrix(scores: Scores) -> Table:
    labels = [one.label for one in scores.classes]
    table = Table("is, predicted as →")
    for label in labels:
        table.add_column(_text(label), justify="right")
    for one in scores.classes:
        if one.count:
            counts = [scores.pairs[one.label, label] for label in labels]
            table.add_row(_text(one.label), *(str(count) for count in counts))
    return table


def _text(value: str) -> Text:
    return Text(plain(value))


def left_out(evaluation: Evaluation) -> Iterator[str]:
    """How many samples were not predicted, and a line for each of the first."""
    samples = evaluation.left_out
    for sample in samples[:MAX_ROWS]:
        yield f"left out: {name_of(sample)}: {sample.item.failure}"
    if len(samples) > 1:
        yield f"left out: {len(samples)} in all; the page names each"


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    """All of it, but for the predictions that were right."""
    scores = evaluation.scores
    return {
        "model": evaluation.model.name,
        "version": evaluation.model.version,
        "samples": scores.total,
        "correct": scores.correct,
        "accuracy": _rounded(scores.accuracy),
        "interval": [_rounded(bound) for bound in scores.interval],
        "mean_recall": _rounded(scores.mean_recall),
        "classes": [
            {
                "label": one.label,
                "samples": one.count,
                "precision": _rounded(one.precision),
                "recall": _rounded(one.recall),
            }
            for one in scores.classes
        ],
        "confusions": [
            {"label": truth, "predicted": predicted, "count": count}
            for (truth, predicted), count in scores.confusions()
        ],
        "mistakes": [
            {
                "input": sample.name,
                "label": sample.truth,
                "predicted": sample.predicted,
                "confidence": _rounded(sample.confidence),
            }
            for sample in evaluation.mistakes
        ],
        "left_out": [
            {"input": sample.name, "reason": sample.item.failure} for sample in evaluation.left_out
        ],
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)
