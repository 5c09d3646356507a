"""From a Document to its Passages: cut at headings, paragraphs and sentences, counted in the embedder's tokens.

The text is cut into *pieces* (a heading line, a sentence, a list item, a table row), all pieces are counted in batched
calls of the tokenizer, and neighbours are joined into passages. Every step is linear in the length of the text, also
where a text is one line, one word or one long run of spaces.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from tokenizers import Tokenizer

from ingest.formats.titles import ATX_HEADING, clean_heading
from memory_graph.errors import InvalidInput, ModelMissing
from memory_graph.types import Document, Passage

TITLE_TOKENS = 40  # the most that a title takes of a passage's room
SMALLEST_MAX_TOKENS = 64  # below this a long title would leave no room for text
PIECE_CHARS = 1000  # a longer sentence is cut at a line, a comma or a space
TABLE_CHARS = 600  # a smaller table, such as each piece of a long one, stays whole: rows say nothing without their head
JOINED_CHARS = 16  # how far a cut inside a word steps back so as not to part a letter from its accents
CHARS_PER_TOKEN = 16  # a word of 5 MB is one [UNK] to WordPiece, so characters count too: 16 are at least one token
BATCH_PIECES = 4096  # pieces counted in one call, to bound the memory of the encodings

HEADING, BLOCK, SENTENCE = 3, 2, 1  # what begins at a piece

_SETEXT = re.compile(r" {0,3}(={3,}|-{3,})[ \t]*")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
# Possessive quantifiers, and a look-behind that lets a run of dots be entered only at its start: a megabyte of dots
# must not cost its square. A full stop after a capital or a short title ("J. Smith", "Mr. Elliot") ends no sentence.
_SENTENCE_END = re.compile(
    r"""[.!?…](?<![.!?…].)(?<!\b[A-Z].)(?<!\bMr.)(?<!\bMs.)(?<!\bDr.)(?<!\bSt.)(?<!\bMrs.)(?<!\bvs.)(?<!\be\.g.)"""
    r"""[.!?…]*+["'”’»)\]*_]*+\s++(?![a-z])"""
    r"""|[。！？]++[”’」』）]*+\s*+"""
    r"""|\n(?=[ \t]*+(?:\||[-*+•][ \t]|\d{1,9}[.)][ \t]))"""
)
_CUT_MARKS = ("\n", "; ", ": ", ", ", "、", "，", " ", "\t", "\u3000")


@dataclass(frozen=True, kw_only=True)
class SplitParams:
    """How documents are split.

    ``mode``: ``recursive`` cuts into passages, ``none`` keeps one passage a document, however long. ``max_tokens``: a
    passage and its title (up to 40 tokens of it) have at most so many, special tokens not counted. ``min_tokens``: a
    passage that has so many ends at the next paragraph.
    """

    mode: Literal["recursive", "none"] = "recursive"
    max_tokens: int = 220
    min_tokens: int = 120

    def __post_init__(self) -> None:
        if self.mode not in ("recursive", "none"):
            raise InvalidInput("split", f'must be "recursive" or "none", not {self.mode!r}')
        if self.max_tokens < SMALLEST_MAX_TOKENS:
            raise InvalidInput("max_tokens", f"must be {SMALLEST_MAX_TOKENS} or more, not {self.max_tokens}")
        if not 0 <= self.min_tokens <= self.max_tokens:
            raise InvalidInput("min_tokens", f"must lie between 0 and max_tokens ({self.max_tokens})")


class Piece(NamedTuple):
    """A stretch of text that is not cut further; ``trail`` holds the headings it stands under, outermost first."""

    start: int
    end: int
    rank: int
    trail: tuple[str, ...]


class Splitter:
    """Splits documents by the tokens of one tokenizer."""

    def __init__(self, tokenizer_file: Path, params: SplitParams | None = None) -> None:
        if not tokenizer_file.is_file():
            raise ModelMissing(f"The tokenizer {tokenizer_file} does not exist.")
        self.params = params or SplitParams()
        self._tokenizer = Tokenizer.from_file(str(tokenizer_file))
        # A truncating tokenizer would report that everything fits.
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def split(self, document: Document) -> tuple[Passage, ...]:
        """Return the passages of a document, in order and without overlap; nothing but white space is left out."""
        text = document.text
        if self.params.mode == "none":
            return make_passages(document, [(Piece(0, len(text), BLOCK, ()),)])
        title_tokens = self._count_tokens([document.title])[0] if document.title else 0
        high = self.params.max_tokens - min(title_tokens, TITLE_TOKENS)
        low = min(self.params.min_tokens, high)
        pieces, costs = self._fit_pieces(text, find_pieces(text), high)
        groups: list[Sequence[Piece]] = []
        for first, last in join_pieces(pieces, costs, low, high):
            # Joining may add a token at each border (never for WordPiece at a space): count again where that matters.
            doubtful = sum(costs[first:last]) > high - (last - first - 1)
            groups.extend(self._halve_long(text, pieces[first:last], high) if doubtful else [pieces[first:last]])
        return make_passages(document, groups)

    def _count_tokens(self, texts: Sequence[str]) -> list[int]:
        counts: list[int] = []
        for at in range(0, len(texts), BATCH_PIECES):
            batch = self._tokenizer.encode_batch_fast(texts[at : at + BATCH_PIECES], add_special_tokens=False)
            counts.extend(len(encoding) for encoding in batch)
        return counts

    def _fit_pieces(self, text: str, pieces: list[Piece], high: int) -> tuple[list[Piece], list[int]]:
        """Cut pieces of more than ``high`` tokens smaller until each fits; return them with their costs in tokens."""
        counts = self._count_tokens([text[piece.start : piece.end] for piece in pieces])
        costs = [max(n, (p.end - p.start) // CHARS_PER_TOKEN) for n, p in zip(counts, pieces, strict=True)]
        if not costs or max(costs) <= high:
            return pieces, costs
        fitting: list[Piece] = []
        fitting_costs: list[int] = []
        for piece, cost in zip(pieces, costs, strict=True):
            if cost <= high or piece.end - piece.start == 1:
                fitting.append(piece)
                fitting_costs.append(cost)
                continue
            # Quarters of a passage: small enough to fill passages well, large enough to be few.
            width = max(1, (piece.end - piece.start) * high // (4 * cost))
            smaller = cut_piece(text, piece, width)
            parts, part_costs = self._fit_pieces(text, smaller, high)
            fitting.extend(parts)
            fitting_costs.extend(part_costs)
        return fitting, fitting_costs

    def _halve_long(self, text: str, group: Sequence[Piece], high: int) -> list[Sequence[Piece]]:
        """Cut a group at its middle until each part, counted as one text, has at most ``high`` tokens."""
        if len(group) == 1 or self._count_tokens([text[group[0].start : group[-1].end].strip()])[0] <= high:
            return [group]
        middle = len(group) // 2
        return [*self._halve_long(text, group[:middle], high), *self._halve_long(text, group[middle:], high)]


def find_pieces(text: str) -> list[Piece]:
    """Cut a text into headings, sentences, list items and rows; the pieces follow each other without gaps."""
    pieces: list[Piece] = []
    open_headings: list[tuple[int, str]] = []
    trail: tuple[str, ...] = ()
    for start, end, level, fenced in find_blocks(text):
        if level:
            while open_headings and open_headings[-1][0] >= level:
                open_headings.pop()
            open_headings.append((level, clean_heading(text[start:end])))
            trail = tuple(name for _, name in open_headings if name)
        rank, at = (HEADING if level else BLOCK), start
        is_whole = level or (end - start <= TABLE_CHARS and text.startswith("|", start))
        for border in [] if is_whole else find_borders(text, start, end, fenced):
            pieces.extend(cut_piece(text, Piece(at, border, rank, trail), PIECE_CHARS))
            rank, at = SENTENCE, border
        if at < end:
            pieces.extend(cut_piece(text, Piece(at, end, rank, trail), PIECE_CHARS))
    return pieces


def find_blocks(text: str) -> Iterator[tuple[int, int, int, bool]]:
    """Yield (start, end, heading level or 0, whether it is fenced code) of each Markdown block, without gaps.

    A block begins after a blank line, at a heading and after one; a code fence is one block.
    """
    begin = previous = at = level = 0
    fence, fenced, after_blank, filled = "", False, False, False
    for line in text.split("\n"):
        blank = not line or line.isspace()
        if fence:
            mark = _FENCE.match(line)
            if mark and mark[1].startswith(fence) and line.strip() == mark[1]:
                fence, after_blank = "", True
        elif not blank:
            heading = ATX_HEADING.match(line) if "#" in line[:4] else None
            opening = None if heading else _FENCE.match(line)
            if _SETEXT.fullmatch(line) and not (after_blank or level) and previous == begin < at:
                level = 1 if "=" in line else 2  # the one line before this underline was a heading
            elif after_blank or heading or level or opening:
                if filled:
                    yield begin, at, level, fenced
                    begin = at
                level, fenced = len(heading[1]) if heading else 0, opening is not None
                fence = opening[1] if opening else ""
            after_blank, filled = False, True
        else:
            after_blank = True
        previous = at
        at += len(line) + 1
    if filled:
        yield begin, len(text), level, fenced


def find_borders(text: str, start: int, end: int, fenced: bool) -> Iterator[int]:
    """Yield the offsets within a block at which a sentence, a list item, a row or a line of code begins."""
    if not fenced:
        yield from (mark.end() for mark in _SENTENCE_END.finditer(text, start, end))
        return
    at = text.find("\n", start, end)
    while at >= 0:
        yield at + 1
        at = text.find("\n", at + 1, end)


def cut_piece(text: str, piece: Piece, width: int) -> list[Piece]:
    """Cut a piece into parts of at most ``width`` characters, at the best mark in the second half of each."""
    parts: list[Piece] = []
    start, end, rank, trail = piece
    while end - start > width:
        limit = start + width
        for mark in _CUT_MARKS:
            found = text.rfind(mark, start + width // 2, limit)
            if found >= 0:
                cut = found + len(mark)
                break
        else:
            # An accent stays with its letter, a joined emoji whole; a longer run of marks is no writing and is cut.
            back = range(limit, max(start, limit - JOINED_CHARS), -1)
            cut = next((at for at in back if not is_joined(text[at - 1], text[at])), limit)
        parts.append(Piece(start, cut, rank, trail))
        start, rank = cut, min(rank, SENTENCE)
    if start < end:
        parts.append(Piece(start, end, rank, trail))
    return parts


def is_joined(left: str, right: str) -> bool:
    """Say whether two neighbouring characters are seen as one: an accented letter, an emoji of several."""
    return right in "\u200d\ufe0f" or left == "\u200d" or unicodedata.combining(right) > 0


def join_pieces(pieces: Sequence[Piece], costs: Sequence[int], low: int, high: int) -> list[tuple[int, int]]:
    """Join neighbouring pieces into passages of at most ``high`` tokens; return (first, last + 1) of each.

    A passage ends at the first paragraph border after ``low`` tokens, else at the last sentence that fits. It reaches
    into the next section only where all of that fits, and a heading stays with the text that follows it.
    """
    sections = measure_sections(pieces, costs)
    groups: list[tuple[int, int]] = []
    first = cost = 0
    bare = True  # nothing but headings so far
    section_first = 0  # the group in which the current section began
    for i, piece in enumerate(pieces):
        at_heading = piece.rank == HEADING and not bare
        leaves_section = at_heading and (cost >= low or cost + sections[i] > high)
        ends_paragraph = piece.rank == BLOCK and not bare and cost >= low
        if i > first and (cost + costs[i] > high or leaves_section or ends_paragraph):
            groups.append((first, i))
            first, cost, bare = i, 0, True
            if leaves_section:
                mend_tail(groups, section_first, pieces, costs, low, high)
                section_first = len(groups)
        cost += costs[i]
        bare = bare and piece.rank == HEADING
    if first < len(pieces):
        groups.append((first, len(pieces)))
        mend_tail(groups, section_first, pieces, costs, low, high)
    return groups


def measure_sections(pieces: Sequence[Piece], costs: Sequence[int]) -> list[int]:
    """Return, for each heading, the tokens up to the next heading that follows text; other entries mean nothing."""
    sections = [0] * len(pieces)
    running = 0
    for i in range(len(pieces) - 1, -1, -1):
        running += costs[i]
        sections[i] = running
        if pieces[i].rank == HEADING and i and pieces[i - 1].rank != HEADING:
            running = 0
    return sections


def mend_tail(
    groups: list[tuple[int, int]],
    section_first: int,
    pieces: Sequence[Piece],
    costs: Sequence[int],
    low: int,
    high: int,
) -> None:
    """Join a section's last group, where it is a scrap, to the one before; or share the text of both evenly."""
    if len(groups) - section_first < 2 or sum(costs[slice(*groups[-1])]) >= low // 2:
        return
    (first, _), (_, last) = groups[-2], groups[-1]
    total = sum(costs[first:last])
    if total <= high:
        groups[-2:] = [(first, last)]
        return
    left, best, best_gap = 0, 0, total
    for i in range(first + 1, last):
        left += costs[i - 1]
        gap = abs(total - 2 * left)
        if gap < best_gap and max(left, total - left) <= high and pieces[i - 1].rank != HEADING:
            best, best_gap = i, gap
    if best:
        groups[-2:] = [(first, best), (best, last)]


def make_passages(document: Document, groups: Sequence[Sequence[Piece]]) -> tuple[Passage, ...]:
    """Turn groups of pieces into passages: white space trimmed, with heading path and page."""
    passages: list[Passage] = []
    own_title = " ".join(document.title.split()).casefold()
    for group in groups:
        text = document.text[group[0].start : group[-1].end]
        trimmed = text.strip()
        if not trimmed:
            continue
        start = group[0].start + len(text) - len(text.lstrip())
        trail = next((piece.trail for piece in group if piece.rank != HEADING), group[-1].trail)
        if trail and trail[0].casefold() == own_title:
            trail = trail[1:]
        passages.append(
            Passage(
                ordinal=len(passages),
                text=trimmed,
                start=start,
                end=start + len(trimmed),
                heading=" › ".join(trail),
                page=bisect_right(document.pages, start) or None,
            )
        )
    return tuple(passages)
