"""Sections of docs/performance.md that other commands than `make bench` write."""

from pathlib import Path

from benchmarks.paths import ROOT

PAGE = ROOT / "docs" / "performance.md"
STREAMS = "## Live streams"
BROWSER = "## The page in a browser"
ACCOUNTS = "## Accounts"
TITLES = (STREAMS, BROWSER, ACCOUNTS)  # in this order, at the end of the page


def read_sections(page: Path) -> dict[str, str]:
    """Title → text with its title, of those that the page has."""
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    parts = text.split("\n## ")[1:]
    found = {f"## {part.partition(chr(10))[0]}": f"## {part.strip()}\n" for part in parts}
    return {title: found[title] for title in TITLES if title in found}


def write_section(title: str, body: str, page: Path = PAGE) -> None:
    """Replace a section, or add it; the others stay."""
    sections = read_sections(page) | {title: f"{title}\n\n{body.strip()}\n"}
    text = page.read_text(encoding="utf-8")
    rest = min((text.find(f"\n{it}\n") for it in TITLES if f"\n{it}\n" in text), default=len(text))
    page.write_text(join_sections(text[:rest], sections), encoding="utf-8")


def join_sections(start: str, sections: dict[str, str]) -> str:
    """The page: its start, then these sections."""
    return "\n".join([f"{start.rstrip()}\n", *(sections[it] for it in TITLES if it in sections)])
