"""Checking an answer against the passages: which of them carry it, and in which sentence.

A model's word for its sources is not taken. An answer is *grounded* in a set of passages, its evidence, when

1. its own words stand in one passage of them (or, for an answer in parts, in the cited ones together), and
2. at least half of the names of the question stand in them too (more than half, if one of them stands in no hit). A
   passage that lacks the question's names is joined by a *bridge*: another passage with a sentence that joins words
   of the question to a name the first is about.

``Citation.supported`` is true for passages that hold the answer's words, and for bridges. It is false for a passage
that the model cited and that holds a name of the question, but that nothing ties to the answer: it is shown, as a
source the model named, without our word for it. All other cited passages are dropped.

Words are compared as sets, so this finds answers that were copied, not ones that were computed: a count or a sum that
no passage states is not grounded.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from memory_graph.text import words
from memory_graph.types import Citation, Hit

MAX_QUOTE_CHARACTERS = 400
SHORT_ANSWER_WORDS = 4
LONG_ANSWER_SHARE = 0.6
NAME_SHARE = 0.5

_SENTENCE = re.compile(r"[^\n]+?(?:[.!?…]+[\"'”’»)\]]*(?=\s|$)|[。！？]+[」』”’]*|(?=\n)|$)")
_POLAR = frozenset({"yes", "no", "true", "false"})
_STOPWORDS = frozenset(
    words(
        """
        a about after all also an and any are as at be because been before being between both but by can could did do
        does during each for from had has have he her hers him his how i if in into is it its many may me more most much
        my no nor not now of off on one only or other our out over own s same she should so some such t than that the
        their them then there these they this those through to too under until up us very was we were what when where
        which while who whom whose why will with would you your
        """
    )
)


@dataclass(frozen=True)
class Grounding:
    """What the check found: ``citations`` is empty when nothing carries the answer."""

    citations: tuple[Citation, ...]
    dropped: int
    """How many cited passages were dropped because nothing ties them to the answer or the question."""


def split_sentences(text: str) -> list[tuple[int, int]]:
    """Return the sentences of ``text`` as (start, end) offsets, without the white space around them."""
    spans = []
    for match in _SENTENCE.finditer(text):
        sentence = match.group()
        start = match.start() + len(sentence) - len(sentence.lstrip())
        end = match.end() - len(sentence) + len(sentence.rstrip())
        if start < end:
            spans.append((start, end))
    return spans


def content_words(text: str) -> frozenset[str]:
    """Return the normalised words of ``text`` that carry meaning; all of them where none does."""
    found = frozenset(words(text))
    return found - _STOPWORDS or found


def stems(found: Set[str]) -> frozenset[str]:
    """Cut words to five characters, a stemmer that needs no language (designer, designed → desig)."""
    return frozenset(word[:5] for word in found)


def names(text: str, *, skip_first: bool = False) -> frozenset[str]:
    """Return the words of ``text`` that are written like names or numbers, normalised.

    ``skip_first`` leaves out the first word, which a sentence capitalises whatever it is.
    """
    tokens = re.findall(r"\w+", unicodedata.normalize("NFKC", text))[1 if skip_first else 0 :]
    written = (word for token in tokens if token[0].isupper() or token[0].isdigit() for word in words(token))
    return frozenset(written) - _STOPWORDS


class _Source:
    """One passage with what is asked of it again and again."""

    def __init__(self, index: int, hit: Hit) -> None:
        self.index = index
        self.hit = hit

    @cached_property
    def words(self) -> frozenset[str]:
        return frozenset(words(f"{self.hit.title}\n{self.hit.text}"))

    @cached_property
    def stems(self) -> frozenset[str]:
        return stems(self.words - _STOPWORDS)

    @cached_property
    def joined(self) -> str:
        return " ".join(words(self.hit.text))

    @cached_property
    def sentences(self) -> list[tuple[int, int]]:
        return split_sentences(self.hit.text)

    def held(self, wanted: Set[str]) -> frozenset[str]:
        return frozenset(word for word in wanted if word in self.words or self._holds_akin(word))

    def _holds_akin(self, word: str) -> bool:
        if word.upper() == word.lower():
            # Scripts without capitals are mostly written without spaces as well: a word is a stretch there.
            return not word.isascii() and not word.isdigit() and word in self.joined
        # Monday, Mondays; lens, lenses: an ending is no other answer.
        return word.isalpha() and any(_differ_by_ending(word, other) for other in self.words)


def _differ_by_ending(one: str, other: str) -> bool:
    short, long = sorted((one, other), key=len)
    return len(short) >= 4 and 0 < len(long) - len(short) <= 2 and long.startswith(short)


def ground(answer: str, question: str, hits: Sequence[Hit], cited: Sequence[int]) -> Grounding:
    """Find the passages that carry ``answer``; ``cited`` are the indices into ``hits`` that the model named."""
    sources = [_Source(index, hit) for index, hit in enumerate(hits)]
    claim = content_words(answer)
    if claim <= _POLAR:
        claim = content_words(question)  # "yes" claims what was asked
    named = [sources[index] for index in dict.fromkeys(cited)]
    for core in _propose_cores(claim, question, sources, named):
        anchors = _find_anchors(core, claim, question)
        evidence = _complete(core, anchors, question, sources, named)
        bridges = [source for source, _ in evidence.bridges]
        if _answers(question, core, bridges, evidence.mentions, sources):
            kept = {source.index for source in (*core, *bridges, *evidence.mentions)}
            citations = [_cite(source, claim, question, supported=True) for source in core]
            citations += [
                _make_citation(source, _cut(source.hit.text, span, anchors), True) for source, span in evidence.bridges
            ]
            citations += [_cite(source, frozenset(), question, supported=False) for source in evidence.mentions]
            return Grounding(tuple(citations), dropped=sum(source.index not in kept for source in named))
    return Grounding((), dropped=len(named))


@dataclass(frozen=True)
class _Evidence:
    bridges: list[tuple[_Source, tuple[int, int]]]  # with the sentence that links
    mentions: list[_Source]


def _propose_cores(
    claim: Set[str], question: str, sources: Sequence[_Source], named: Sequence[_Source]
) -> Iterator[list[_Source]]:
    """Yield sets of passages that hold the claim, the model's own choice first."""
    asked = stems(content_words(question))

    def relevance(source: _Source) -> tuple[int, int]:
        return (-len(asked & source.stems), source.index)

    holding = [source for source in named if _suffices(source.held(claim), claim)]
    if holding:
        # A passage that holds the words by chance speaks of nothing that was asked.
        yield [source for source in holding if asked & source.stems] or holding
    elif named and _suffices(frozenset().union(*(source.held(claim) for source in named)), claim):
        yield [source for source in named if source.held(claim)]
    for source in sorted(sources, key=relevance):
        if _suffices(source.held(claim), claim):
            yield [source]


def holds(hits: Sequence[Hit], claim: str) -> bool:
    """Say whether the words of ``claim`` stand in ``hits`` together: all of a short one, most of a longer one."""
    wanted = content_words(claim)
    held = (_Source(index, hit).held(wanted) for index, hit in enumerate(hits))
    return _suffices(frozenset[str]().union(*held), wanted)


def find_quote(quote: str, text: str) -> str:
    """Return ``quote`` as it is written in ``text``, white space aside; empty where it does not stand there."""
    parts = [re.escape(part) for part in quote.split()]
    found = re.search(r"\s+".join(parts), text) if parts else None
    return found.group() if found else ""


def _suffices(held: Set[str], claim: Set[str]) -> bool:
    share = 1.0 if len(claim) <= SHORT_ANSWER_WORDS else LONG_ANSWER_SHARE
    return bool(claim) and len(held) >= share * len(claim)


def _find_anchors(core: Sequence[_Source], claim: Set[str], question: str) -> frozenset[str]:
    """Return the names that ``core`` is about: in its titles, first sentences and quotes, but not in the question.

    Any name of the passage would be too many: two passages of one country share names by chance.
    """
    about = []
    for source in core:
        first = source.hit.text[slice(*source.sentences[0])] if source.sentences else ""
        about += [source.hit.title, first, choose_quote(source.hit.text, claim, question)]
    return names("\n".join(about)) - names(question)


def _complete(
    core: Sequence[_Source],
    anchors: Set[str],
    question: str,
    sources: Sequence[_Source],
    named: Sequence[_Source],
) -> _Evidence:
    """Add what joins ``core`` to the question: bridges the model named, else the best one there is; then mentions."""
    known = frozenset().union(*(source.stems for source in core))
    unknown = stems(content_words(question)) - known
    wanted = stems(names(question, skip_first=True))
    others = [source for source in named if source not in core]
    links = {source.index: _find_link(source, anchors, unknown) for source in others}
    bridges = [source for source in others if links[source.index]]
    missing = wanted - known - frozenset().union(*(source.stems for source in bridges))
    if missing:
        rest = [source for source in sources if source not in core and source not in others]
        # Where the core already speaks of something that was named, any sentences of one passage may make the link.
        near = bool(wanted & known)
        links |= {source.index: _find_link(source, anchors, missing, anywhere=near) for source in rest}
        linked = [source for source in rest if links[source.index]]
        bridges += sorted(linked, key=lambda source: (-len(missing & source.stems), source.index))[:1]
    mentions = [source for source in others if source not in bridges and (wanted - known) & source.stems]
    return _Evidence([(source, links[source.index] or (0, 0)) for source in bridges], mentions)


def _find_link(
    source: _Source, anchors: Set[str], wanted: Set[str], *, anywhere: bool = False
) -> tuple[int, int] | None:
    """Return the sentence of ``source`` that ties most of the stems ``wanted`` to one of the ``anchors``, if any.

    The title counts as part of every sentence: it is what "it" and "she" stand for; with ``anywhere`` the whole
    passage does.
    """
    around = f"{source.hit.title}\n{source.hit.text}" if anywhere else source.hit.title
    title, title_names = stems(frozenset(words(source.hit.title))), names(around)
    if anywhere and not wanted & source.stems:
        return None
    best: tuple[int, tuple[int, int]] | None = None
    for start, end in source.sentences:
        sentence = source.hit.text[start:end]
        found = len(wanted & (stems(frozenset(words(sentence))) | title))
        if found and anchors & (names(sentence) | title_names) and (best is None or found > best[0]):
            best = (found, (start, end))
    return best[1] if best else None


def _answers(
    question: str,
    core: Sequence[_Source],
    bridges: Sequence[_Source],
    mentions: Sequence[_Source],
    sources: Sequence[_Source],
) -> bool:
    """Say whether the evidence speaks of what was asked: its names, or any of its words where it has no names."""
    held = frozenset().union(*(source.stems for source in (*core, *bridges)))
    wanted = stems(names(question, skip_first=True))
    if wanted:
        if wanted & held:
            # "A or B?" is answered from a passage on each; a mention alone would vouch for any answer.
            held = held.union(*(source.stems for source in mentions))
        # A name that no hit knows makes its other words suspect: the tower of a town is not the Eiffel Tower.
        strange = wanted - frozenset().union(*(source.stems for source in sources))
        share = len(wanted & held) / len(wanted)
        return share > NAME_SHARE if strange else share >= NAME_SHARE
    # Words of scripts without capitals are whole clauses to us and cannot be compared.
    asked = stems(frozenset(word for word in content_words(question) if word.upper() != word.lower()))
    return not asked or bool(asked & held)


def _cite(source: _Source, claim: Set[str], question: str, *, supported: bool) -> Citation:
    return _make_citation(source, choose_quote(source.hit.text, claim, question), supported)


def _make_citation(source: _Source, quote: str, supported: bool) -> Citation:
    hit = source.hit
    return Citation(
        n=hit.rank,
        passage_id=hit.passage_id,
        document_id=hit.document_id,
        title=hit.title,
        quote=quote,
        supported=supported,
    )


def choose_quote(text: str, claim: Set[str], question: str) -> str:
    """Return the sentence of ``text`` that best carries ``claim``; two neighbours where one does not suffice.

    The quote is a stretch of ``text`` as it is written, of at most 400 characters.
    """
    spans = split_sentences(text)
    if not spans:
        return ""
    asked = stems(content_words(question))

    def score(span: tuple[int, int]) -> tuple[int, int]:
        found = frozenset(words(text[slice(*span)]))
        return len(claim & found), len(asked & stems(found))

    best = max(spans, key=score)
    if score(best)[0] < len(claim):
        pairs = [(first[0], second[1]) for first, second in pairwise(spans)]
        pair = max(pairs, key=score, default=best)
        if score(pair)[0] > score(best)[0]:
            best = pair
    return _cut(text, best, claim)


def _cut(text: str, span: tuple[int, int], claim: Set[str]) -> str:
    """Cut a stretch that is too long for a quote at white space, around the first word of the claim."""
    start, end = span
    if end - start <= MAX_QUOTE_CHARACTERS:
        return text[start:end]
    tokens = [match for match in re.finditer(r"\S+", text[start:end]) if claim & frozenset(words(match.group()))]
    centre = start + (tokens[0].start() if tokens else 0)
    left = max(start, min(centre - MAX_QUOTE_CHARACTERS // 2, end - MAX_QUOTE_CHARACTERS))
    window = text[left : left + MAX_QUOTE_CHARACTERS]
    if left > start and (space := re.search(r"\s", window[: MAX_QUOTE_CHARACTERS // 2])):
        window = window[space.end() :]
    return (window.rsplit(None, 1)[0] if left + MAX_QUOTE_CHARACTERS < end and " " in window else window).strip()
