"""spam: what people would call so, in a mail or in a sentence, whatever else the text is."""

import pickle
import random

import numpy as np
import pytest

from project.errors import ConfigurationError
from project.models import create
from project.models.base import NoParams, TextLabel
from project.models.spam import Mail, Spam
from project.models.text_parts.classifier import MAX_NGRAMS, NgramClassifier
from project.models.text_parts.mail import readable
from project.models.text_parts.ngrams import hashes, ngrams, words
from training import spam as training

SPAM = [
    "Congratulations! You have won a prize, claim it now",
    "Buy cheap viagra online, no prescription needed!!!",
    "Lose 20 pounds in 30 days, guaranteed or your money back. Click here to order",
    "Make $5000 a week working from home! No experience required, act now",
    "Lowest mortgage rates in years, free quote, no obligation",
]
HAM = [
    "Hi Anna, can we move the meeting to Thursday?",
    "The build fails on Debian since the last commit, could you have a look at the log?",
    "I think the patch is wrong: the loop never ends if the list is empty.",
]
HOSTILE = {
    "one letter": "a" * 100_000,
    "one word": "spam " * 20_000,
    "no word": "\x00\x01\x02" * 30_000,
    "angle brackets": "<" * 100_000,
    "comments": "<!--" * 25_000,
    "entities": "&" * 100_000,
    "at signs": "@" * 100_000,
    "digits": "1.,:/-" * 16_000,
    "encoded words": "Subject: " + "=?utf-8?q?" * 9_000,
    "boundaries": 'Content-Type: multipart/mixed; boundary="' + "x" * 50_000 + '"\n\n--x\n' * 9_000,
    "other letters": "漢字" * 50_000,
    "surprise": "From \n\n\n",
}


@pytest.fixture(scope="module")
def model() -> Spam:
    (model,) = create(["spam"])
    model.load()
    return model


def judge(model: Spam, text: str) -> TextLabel:
    array = model.preprocess(Mail(text=text), NoParams())
    (output,) = model.forward(array[np.newaxis])
    return model.postprocess(output, Mail(text=text), NoParams())


@pytest.mark.parametrize(
    ("text", "label"), [*((text, "spam") for text in SPAM), *((text, "ham") for text in HAM)]
)
def test_a_sentence_is_called_what_people_would_call_it(model, text, label):
    """With words of it that speak for the label, the heaviest first."""
    result = judge(model, text)
    assert result.label == label
    assert 0.5 <= result.probability <= 1
    weights = [reason.weight for reason in result.reasons]
    assert weights
    assert weights == sorted(weights, reverse=True)
    assert min(weights) > 0
    assert {it.text.encode() for it in result.reasons} <= set(ngrams(text))


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_any_text_has_an_answer(model, text):
    """However hostile; each of these takes milliseconds, or this test would not end."""
    assert judge(model, text[:100_000]).label in model.labels


def test_a_batch_gives_what_each_text_gives(model):
    """Texts of any length share a pass."""
    texts = [*SPAM, *HAM, "x", " ".join(SPAM) * 100]
    arrays = [model.preprocess(Mail(text=text), NoParams()) for text in texts]
    assert {array.shape for array in arrays} == {(MAX_NGRAMS,)}
    together = model.forward(np.stack(arrays))
    alone = [model.forward(array[np.newaxis])[0] for array in arrays]
    assert together == pytest.approx(alone)


def test_a_mail_is_read_as_a_person_reads_it():
    """Its subject and its text; no headers, no HTML, no attachment."""
    mail = (
        "From: a@example.com\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\n"
        'Content-Type: multipart/mixed; boundary="b"\n\nignored\n--b\nContent-Type: text/html\n\n'
        "<p>Hello <b>you</b> &amp; me<script>alert(1)</script></p>\n"
        "--b\nContent-Type: image/png\nContent-Transfer-Encoding: base64\n\nAAAA\n--b--\n"
    )
    assert words(readable(mail)) == [b"grusse", b"hello", b"you", b"me"]


def test_hashes_are_the_same_in_every_process():
    """They are CRC-32, and stand in the file of the weights."""
    assert hashes([b"free", b"free prize"]).tolist() == [0x4D2EC1C8, 0x30E54365]
    assert ngrams("free prize free") == [b"free", b"prize", b"free prize", b"prize free"]


@pytest.mark.parametrize("content", [b"", b"x" * 100, pickle.dumps({"weights": 1})])
def test_a_file_that_holds_no_weights_is_refused(tmp_path, content):
    """With what to do; nothing in it is run."""
    path = tmp_path / "spam.safetensors"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="train it again"):
        NgramClassifier.load(path)


def corpus(count: int) -> list[training.Mail]:
    """Mails of made-up words; some are copies of one another."""
    dice = random.Random(3)
    good, bad = (["patch", "loop", "list", "commit"], ["prize", "free", "claim", "offer"])
    mails = []
    for number in range(count):
        folder, own = (("spam-1", bad), ("easy-ham-1", good))[number % 2]
        body = " ".join(dice.choices([*own, "the", "a", "it"], k=40))
        mails.append(training.Mail(folder, "re", body))
        if number % 5 == 0:
            mails.append(training.Mail(folder, "fwd", f"{body} {number}"))
    return mails


def test_copies_of_a_mail_are_never_on_both_sides_of_the_split():
    """Else the test part would know what it asks."""
    parts = training.split(corpus(300))
    heads = {
        name: {tuple(words(item.body)[: training.HEAD_WORDS]) for item in part}
        for name, part in parts.items()
    }
    assert all(parts.values())
    assert not heads["training"] & heads["test"]
    assert not heads["validation"] & heads["test"]
    assert not heads["training"] & heads["validation"]


def test_training_learns_what_there_is_to_learn(tmp_path):
    """From the mails to the file and back: the same weights at every run."""
    parts = training.split(corpus(300))
    first, again = (training.train(parts["training"], 1e-6) for _ in range(2))
    first.save(tmp_path / "a")
    again.save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    served = NgramClassifier.load(tmp_path / "a")
    probabilities = training.measure(served, [item.text for item in parts["test"]])
    called = probabilities > 0.5
    assert (called == [item.is_spam for item in parts["test"]]).mean() > 0.95
