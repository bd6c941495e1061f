"""`new` refuses names that no model can have, and overwrites nothing."""

from pathlib import Path

import pytest

from project.cli.new import MAX_NAME, Kind, write
from project.errors import ConfigurationError


@pytest.fixture
def root(tmp_path) -> Path:
    """A tree with one model, and a package beside it."""
    (tmp_path / "project" / "models" / "nets").mkdir(parents=True)
    (tmp_path / "project" / "models" / "known.py").write_text("mine")
    return tmp_path


@pytest.mark.parametrize("kind", Kind)
def test_a_model_and_its_test_are_written(root, kind):
    """Each with the model's name in it, and nothing that is left to fill in."""
    for path in write("fresh", kind, root):
        text = path.read_text()
        assert text.startswith('"""fresh: ')
        assert "my_model" not in text
    assert (root / "tests" / "models" / "test_fresh.py").exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("known", "project/models/known.py is there already"),
        ("nets", "project/models/nets/ is there"),
        ("My-Model", "begins with a letter, as it stands in URLs, metrics and settings; write my_"),
        ("2fast", "begins with a letter"),
        ("_hidden", "write hidden"),
        ("é", "begins with a letter"),
        ("../x", "write x"),
        ("", "begins with a letter"),
        ("class", "is a word of Python"),
        ("x" * (MAX_NAME + 1), "at most 40 characters"),
    ],
)
def test_a_name_that_cannot_be_is_refused_with_its_reason(root, name, said):
    """And nothing is written."""
    before = sorted(root.rglob("*"))
    with pytest.raises(ConfigurationError, match=said):
        write(name, Kind.TEXT, root)
    assert sorted(root.rglob("*")) == before


def test_a_test_that_is_there_is_not_overwritten(root):
    """Nor is the model written without it."""
    other = root / "tests" / "models" / "test_other.py"
    other.parent.mkdir(parents=True)
    other.write_text("mine")
    with pytest.raises(ConfigurationError, match=r"tests/models/test_other.py is there already"):
        write("other", Kind.STEPS, root)
    assert other.read_text() == "mine"
    assert not (root / "project" / "models" / "other.py").exists()


def test_a_folder_that_cannot_be_written_is_named(root):
    """As in a container."""
    (root / "tests").write_text("no folder")
    with pytest.raises(ConfigurationError, match=r"cannot write .*test_other\.py"):
        write("other", Kind.STEPS, root)
    assert not (root / "project" / "models" / "other.py").exists()
