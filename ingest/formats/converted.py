"""What a converter returns, and the errors of parsers that mean that a file is broken."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.parsers.expat import ExpatError


@dataclass(frozen=True, kw_only=True)
class Converted:
    """A file's text; ``title`` is empty where the file names none, ``pages`` and ``metadata`` as in ``Document``."""

    text: str
    title: str = ""
    pages: tuple[int, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)


# mammoth, lxml, minidom, BeautifulSoup and the email package have no common error: on broken files they raise what
# their own code trips over. These were seen on truncated and bit-flipped files, or are named in their sources.
PARSER_ERRORS = (
    zipfile.BadZipFile, zlib.error, EOFError, OSError, ExpatError, SyntaxError, RecursionError, NotImplementedError,
    LookupError, ValueError, TypeError, AttributeError, AssertionError, RuntimeError,
)  # fmt: skip
