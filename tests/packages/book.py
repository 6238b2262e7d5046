"""The commands of the book's pages, in the order of its table of contents."""

import re
from dataclasses import dataclass
from pathlib import Path

BOOK = Path(__file__).resolve().parents[2] / "docs"
FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Languages that are shown and not run.
SHOWN = {"text", "toml", "yaml", "json", "ini"}


@dataclass
class Block:
    """Commands that stand together."""

    page: str
    place: str
    options: dict
    text: str


def pages():
    """The pages of the table of contents."""
    return re.findall(r"\]\(([^)]+\.md)\)", (BOOK / "SUMMARY.md").read_text())


def blocks(page):
    """The blocks of a page that are to be run."""
    found = []
    for info, text in FENCE.findall((BOOK / page).read_text()):
        language, *words = info.split(",")
        if language in SHOWN:
            continue
        assert language == "sh" and words, f"{page}: a block of '{info}' says neither that it is shown nor where it is run"
        options = dict(word.split("=", 1) if "=" in word else (word, True) for word in words[1:])
        found.append(Block(page, words[0], options, text))
    return found
