"""Titles, as they are found in Markdown, in plain text and in the properties of files."""

from __future__ import annotations

import re

from ingest.formats.encodings import CONTROLS

LOOK_CHARS = 100_000  # where a Markdown title is looked for
HEADING_CHARS = 120  # a longer heading is shortened in titles and heading paths
ATX_HEADING = re.compile(r" {0,3}(#{1,6})(?=[ \t]|$)")
UNSTORABLE = re.compile(f"[\0\ud800-\udfff\ufffe\uffff{re.escape(CONTROLS)}]")
_LINK = re.compile(r"!?\[([^\[\]]*)\]\([^()]*\)")
_EMPHASIS = re.compile(r"`|(?<!\w)[*_]{1,3}(?=\S)|(?<=\S)[*_]{1,3}(?!\w)")
_FIRST_LEVEL = re.compile(r"^ {0,3}#[ \t][^\n]*+$", re.MULTILINE)
_FENCED = re.compile(r"^ {0,3}(```|~~~).*?^ {0,3}\1", re.MULTILINE | re.DOTALL)
_STOPGAP_TITLE = re.compile(  # what programs leave: "Untitled-1", "Microsoft Word - a.doc", "thesis.dvi", "12_3"
    r"(?i)untitled.*|(?:document|dokument|presentation|powerpoint presentation|slide|book|mappe)\s*\d*"
    r"|microsoft (?:word|powerpoint|excel)\b.*|[\W\d_]*"
    r"|.*\.(?:docx?|pdf|tex|dvi|indd|qxd|pptx?|xlsx?|odt|rtf|txt|html?|e?ps|p65)"
)


def find_heading(text: str) -> str:
    """Return the first first-level Markdown heading that is not in a code block."""
    found = _FIRST_LEVEL.search(_FENCED.sub("", text[:LOOK_CHARS]))
    return clean_heading(found[0]) if found else ""


def clean_heading(block: str) -> str:
    """Return a heading's words: marks, links and emphasis removed, at most ``HEADING_CHARS`` characters."""
    words = block.strip()[:1000].split("\n")[0]
    if ATX_HEADING.match(words):
        words = words.lstrip("#").strip()
        opened = words.rstrip("#")
        words = opened if opened[-1:].isspace() or not opened else words  # "# C#" has no closing marks, "# C #" has
    words = " ".join(_EMPHASIS.sub("", _LINK.sub(r"\1", words)).split())
    return words if len(words) <= HEADING_CHARS else words[: HEADING_CHARS - 1] + "…"


def find_first_line_title(text: str) -> str:
    """Return a plain text's first line where it looks like a title: short, alone, and not a sentence."""
    lines = text[:2000].strip().split("\n")
    first = lines[0].strip()
    alone = len(lines) > 2 and not lines[1].strip()
    looks = len(first) <= 80 and first[:1].isalnum() and not first[:1].islower() and first[-1:] not in ".,;:"
    return " ".join(first.split()) if alone and looks else ""


def check_title(title: str) -> str:
    """Return a title from a file's properties, or nothing where a program left a file name or a stopgap."""
    title = " ".join(UNSTORABLE.sub(" ", title).split())
    return "" if len(title) > 300 or _STOPGAP_TITLE.fullmatch(title) else title
