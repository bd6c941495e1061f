"""Labelled samples, which label a name means, what is counted, and what a page may show."""

import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from project.cli.evaluation.labels import nearest, resolve
from project.cli.evaluation.page import MAX_MATRIX, render
from project.cli.evaluation.report import as_json, headline, name_of
from project.cli.evaluation.run import Evaluation, check_model
from project.cli.evaluation.samples import Sample, read_samples
from project.cli.evaluation.scores import ClassScore, Scores, wilson
from project.cli.inputs import InputSpec, Item
from project.errors import ConfigurationError
from tests.fakes import BlendModel, ShadeModel
from tests.plugins.mail import Mail

PHOTO = [InputSpec("image", "image", required=True)]
TEXT = [InputSpec("text", "text", required=True)]
BOTH = [*PHOTO, InputSpec("question", "text", required=True)]


@pytest.mark.parametrize(
    ("successes", "total", "low", "high"),
    [
        (0, 10, 0.0, 0.2775),
        (5, 10, 0.2366, 0.7634),
        (10, 10, 0.7225, 1.0),
        (81, 263, 0.2553, 0.3662),
    ],
)
def test_the_interval_is_wilsons(successes, total, low, high):
    """The last one is the example of Newcombe 1998, table I."""
    assert wilson(successes, total) == pytest.approx((low, high), abs=1e-4)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_holds_the_share_and_is_one_of_shares(counts):
    """For any counts."""
    low, high = wilson(*counts)
    assert 0 <= low <= counts[0] / counts[1] <= high <= 1


def test_precision_and_recall_are_of_each_class():
    """A class without samples has no recall, one that is never predicted no precision."""
    pairs = [("cat", "cat")] * 3 + [("cat", "dog"), ("dog", "cat"), ("bird", "plane")]
    scores = Scores.of(pairs, order=["dog", "cat"])
    assert scores.classes == [
        ClassScore("dog", 1, 1, 0),
        ClassScore("cat", 4, 4, 3),
        ClassScore("bird", 1, 0, 0),
        ClassScore("plane", 0, 1, 0),
    ]
    assert [(one.precision, one.recall) for one in scores.classes] == [
        (0, 0),
        (0.75, 0.75),
        (None, 0),
        (0, None),
    ]
    assert (scores.correct, scores.total, scores.accuracy) == (3, 6, 0.5)
    assert scores.mean_recall == 0.25
    assert [count for _, count in scores.confusions()] == [1, 1, 1]


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abcd")), min_size=1))
def test_no_sample_is_counted_twice_or_lost(pairs):
    """The rows of the matrix add up to the samples of their class, and all of them to all."""
    scores = Scores.of(pairs)
    assert sum(one.count for one in scores.classes) == scores.total == len(pairs)
    assert sum(one.predicted for one in scores.classes) == len(pairs)
    assert scores.correct + sum(count for _, count in scores.confusions()) == len(pairs)


LABELS = ["tabby, tabby cat", "tiger cat", "crane", "crane, a machine", "missile"]


def test_a_name_means_the_same_label_or_the_one_with_that_synonym():
    """An exact name comes first, however many have it as a synonym."""
    assert resolve(["tabby", "tabby cat", "tiger cat", "crane"], LABELS) == {
        "tabby": "tabby, tabby cat",
        "tabby cat": "tabby, tabby cat",
        "tiger cat": "tiger cat",
        "crane": "crane",
    }


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["tabbi"], r"tabbi \(is it 'tabby, tabby cat'\?\)"),
        (["x", "missile"], r"no such labels: x \(there are: tabby, .*, missile\)$"),
        ([str(number) for number in range(13)], "and 3 more"),
    ],
)
def test_names_that_mean_no_label_are_named(names, said):
    """With what they may have been meant to be."""
    with pytest.raises(ConfigurationError, match=said):
        resolve(names, LABELS)


def test_a_name_that_may_be_two_labels_is_refused():
    """Nobody knows which one was meant."""
    with pytest.raises(ConfigurationError, match="bank may be 'bank, a house' or 'bank, a seat'"):
        resolve(["bank"], ["bank, a seat", "bank, a house"])


def test_without_a_closed_set_a_prediction_is_called_as_the_data_call_it():
    """By its synonyms, where it has none of their names."""
    assert nearest("tabby, tabby cat", {"tabby cat"}) == "tabby cat"
    assert nearest("dog", {"cat"}) == "dog"


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two classes, one of them with a folder inside, files without a class, a hidden folder."""
    for name in (
        "cat/a.jpg",
        "cat/more/b.png",
        "cat/notes.txt",
        "dog/c.png",
        "d.png",
        ".git/e.png",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "empty").mkdir()
    return tmp_path


def read(data: Path, takes=PHOTO, named=()):
    samples, loose = read_samples(data, "model", takes, named)
    return [(sample.name, sample.truth) for sample in samples], loose


def test_a_folder_has_a_folder_for_each_class(folder):
    """Its files, however deep; those in none are returned as well."""
    samples, loose = read(folder)
    names = [(str(Path(name).relative_to(folder)), truth) for name, truth in samples]
    assert names == [("cat/a.jpg", "cat"), ("cat/more/b.png", "cat"), ("dog/c.png", "dog")]
    assert loose == [folder / "d.png"]
    assert read(folder, TEXT)[0] == [(str(folder / "cat" / "notes.txt"), "cat")]


def test_other_inputs_are_shared_by_all(folder):
    """As with `predict`."""
    samples, _ = read_samples(folder, "model", BOTH, [("question", "what?")])
    assert all(sample.item.inputs["question"] == "what?" for sample in samples)
    with pytest.raises(ConfigurationError, match="give --input question=TEXT"):
        read_samples(folder, "model", BOTH)


def csv(folder: Path, text: str) -> Path:
    path = folder / "data.csv"
    path.write_text(text, encoding="utf-8-sig")
    return path


def test_a_csv_names_files_beside_it_and_their_labels(folder):
    """Further columns are ignored."""
    data = csv(folder, "label,path,author\ncat,cat/a.jpg,me\ndog,/x/b.png,you\n")
    assert read(data) == ([(str(folder / "cat/a.jpg"), "cat"), ("/x/b.png", "dog")], [])


def test_a_csv_has_texts_or_files_of_texts(folder):
    """A text may have line breaks, and be long."""
    long = "word " * 40_000
    data = csv(folder, f'text,label\n"two\nlines, one text",ham\n"{long}",spam\n')
    assert read(data, TEXT)[0] == [("two\nlines, one text", "ham"), (long, "spam")]
    data = csv(folder, "path,label\ncat/notes.txt,ham\n")
    assert read(data, TEXT)[0] == [(str(folder / "cat/notes.txt"), "ham")]


def test_the_columns_of_a_csv_are_the_inputs_by_name(folder):
    """For a model with several; those that all samples share are given once."""
    data = csv(folder, "image,question,label\ncat/a.jpg,what?,cat\n")
    samples, _ = read_samples(data, "model", BOTH)
    assert samples[0].item.inputs == {"image": folder / "cat/a.jpg", "question": "what?"}
    data = csv(folder, "path,label\ncat/a.jpg,cat\n")
    samples, _ = read_samples(data, "model", BOTH, [("question", "why?")])
    assert samples[0].item.inputs == {"image": folder / "cat/a.jpg", "question": "why?"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "names no column label; begin it with path,label"),
        ("cat/a.jpg,cat\n", "names no column label"),
        ("file,label\nx,y\n", "names no column path or image"),
        ("path,label\ncat/a.jpg,\n", "data.csv:2: there is no label"),
        ("path,label\ncat/a.jpg\n", "data.csv:2: there is no label"),
        ("path,label\na,b\n,cat\n", "data.csv:3: there is no image"),
        ('path,label\n"x', "cannot read .*data.csv: unexpected end of data"),
    ],
)
def test_a_csv_that_is_wrong_is_named_with_its_line(folder, text, said):
    """Before a model is loaded."""
    with pytest.raises(ConfigurationError, match=said):
        read(csv(folder, text))


def test_data_that_are_not_there_are_refused_with_what_they_may_be(folder):
    """A folder without classes, no folder, a file of another kind."""
    for name in ("gone", "gone.csv", "d.png"):
        with pytest.raises(ConfigurationError, match="name a folder that has one folder for each"):
            read(folder / name)
    with pytest.raises(ConfigurationError, match="put those of each class into a folder"):
        read(folder / "cat" / "more")
    (folder / "data.csv").write_bytes(b"path,label\n\xe9,x\n")
    with pytest.raises(ConfigurationError, match=r"cannot read .*utf-8"):
        read(folder / "data.csv")


def test_a_model_whose_results_have_no_label_is_refused():
    """One with a method of its own is not."""
    check_model(ShadeModel())
    check_model(Mail("mail"))
    with pytest.raises(ConfigurationError, match="no label to compare; write top_prediction"):
        check_model(BlendModel())


def sample(name: str | Path, truth="a", predicted=None, confidence=None, failure=None) -> Sample:
    item = Item(str(name), "x", {"text": name}, failure=failure)
    return Sample(item, truth, predicted, confidence)


def evaluation(*samples: Sample) -> Evaluation:
    pairs = [(one.truth, one.predicted) for one in samples if one.predicted]
    return Evaluation(Mail("mail"), Scores.of(pairs), samples)


def test_mistakes_are_sorted_by_confidence_and_failures_are_none():
    """What has no confidence comes last; what was not predicted is left out of the accuracy."""
    found = evaluation(
        sample("right", "a", "a", 1.0),
        sample("none", "a", "b"),
        sample("sure", "a", "b", 0.9),
        sample("torn", failure="it is torn"),
        sample("unsure", "a", "b", 0.6),
    )
    assert [one.name for one in found.mistakes] == ["sure", "unsure", "none"]
    assert headline(found).startswith("mail 1.0.0: 1 of 4 right, accuracy 0.250 (95 %: 0.046 to")
    made = as_json(found)
    assert (made["samples"], made["correct"], made["accuracy"]) == (4, 1, 0.25)
    assert made["left_out"] == [{"input": "torn", "reason": "it is torn"}]
    assert made["confusions"] == [{"label": "a", "predicted": "b", "count": 3}]
    assert made["mistakes"][0] == {
        "input": "sure",
        "label": "a",
        "predicted": "b",
        "confidence": 0.9,
    }


def test_a_long_path_keeps_its_end_and_a_text_its_beginning():
    """Each in one line."""
    assert name_of(sample(Path("x" * 99) / "photo.jpg"), 20) == "…xxxxxxxxx/photo.jpg"
    assert name_of(sample("two\nlines of text"), 10) == "two lines…"


class Tags(HTMLParser):
    """Counts the tags of a page and collects its attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: dict[str, set[str | None]] = {}

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        for name, value in attrs:
            self.attributes.setdefault(name, set()).add(value)


HOSTILE = '"><script>alert(1)</script><img src="http://x/y" onerror=alert(1)>'


def test_the_page_shows_every_text_as_a_text():
    """Names of files, labels, texts and reasons may be hostile; nothing is fetched."""
    picture = "data:image/jpeg;base64,AAAA"
    found = evaluation(
        sample(HOSTILE, "a", HOSTILE, 0.9),
        sample(Path(HOSTILE), HOSTILE, "a", 0.8),
        sample(HOSTILE, failure=HOSTILE),
    )
    page = render(found, ["", picture])
    parser = Tags()
    parser.feed(page)
    assert parser.tags["script"] == 0
    assert parser.tags["img"] == 1
    assert parser.attributes["src"] == {picture}
    assert not {name for name in parser.attributes if name.startswith("on")}
    assert not re.search(r"<[^>]+(href|src)=\"(?!data:)", page)
    assert page.count("&lt;script&gt;") >= 5


def test_of_many_classes_the_most_frequent_confusions_are_listed():
    """A matrix of a thousand columns would be of no use."""
    count = MAX_MATRIX + 1
    few = evaluation(*(sample("x", str(one), "0", 0.5) for one in range(count - 1)))
    many = evaluation(*(sample("x", str(one), "0", 0.5) for one in range(count)))
    assert "predicted as →" in render(few, [])
    assert "predicted as →" not in render(many, [])
    assert "<th>times</th>" in render(many, [])
