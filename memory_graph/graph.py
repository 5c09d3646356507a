"""The graph over passages and phrases: compressed rows for what has settled, logs for what is newest.

Passages are rows 0, 1, 2 … in the order in which they were learned, phrases have rows of their own; a row is never
given to anything else, so what is forgotten leaves a dead row without edges until the graph is built anew. Edges of
three kinds carry counts that follow from their evidence: *context* joins a passage and a phrase that it mentions,
*relation* two phrases that a fact joins, *synonymy* two phrases that mean the same (its count is the similarity in
thousandths). What looks at the whole memory, such as idf, is derived when the graph is walked, so that learning a
document costs by the document.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import block_array, csr_array, csr_matrix

from memory_graph.edges import Csr, Edges, Kind, make_csr, row_numbers, spread
from memory_graph.growing import Growing

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
# Row, target and signed count of edges.
_Records = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]

# A phrase of every passage keeps its edges.
LEAST_IDF = 0.01


class Mentions(NamedTuple):
    """Context edges (m,): a passage's row, a phrase's row, how often it is mentioned there; each pair once."""

    passages: NDArray[Any]
    phrases: NDArray[Any]
    counts: NDArray[Any]

    @staticmethod
    def none() -> Mentions:
        return Mentions(*(np.zeros(0, dtype=np.int32) for _ in range(3)))


class Relations(NamedTuple):
    """Relation edges by their evidence (m,): the passage that holds the facts, both phrases, how many facts."""

    passages: NDArray[Any]
    lefts: NDArray[Any]
    rights: NDArray[Any]
    counts: NDArray[Any]

    @staticmethod
    def none() -> Relations:
        return Relations(*(np.zeros(0, dtype=np.int32) for _ in range(4)))


class Synonyms(NamedTuple):
    """Synonymy edges (m,): both phrases and their similarity in thousandths; each pair once."""

    lefts: NDArray[Any]
    rights: NDArray[Any]
    counts: NDArray[Any]

    @staticmethod
    def none() -> Synonyms:
        return Synonyms(*(np.zeros(0, dtype=np.int32) for _ in range(3)))


@dataclass(frozen=True, kw_only=True)
class Shares:
    """How a phrase's mass is divided among the kinds of its edges; renormalised over the kinds that it has."""

    context: float = 1.0
    relation: float = 1.0
    synonymy: float = 1.0


@dataclass(frozen=True)
class Graph:
    """An immutable graph; ``n_passages`` and ``n_phrases`` count rows, the dead ones included.

    ``edges`` leave phrases; ``mentions`` are their context edges the other way, a row a passage. ``evidence`` with
    ``evidence_rights`` holds the settled passages' facts; the later passages' are stretches of the log of ``edges``:
    row i of ``evidence_spans`` is where those of the passage settled + i begin and end.
    """

    n_passages: int
    n_phrases: int
    dead_passages: Ints  # sorted
    dead_phrases: Ints  # sorted
    mentions: Edges
    evidence: Csr  # targets are the left phrases
    evidence_rights: NDArray[np.int32]
    edges: Edges
    evidence_spans: Growing
    total_count: int  # of all edges that leave phrases

    @property
    def n_nodes(self) -> int:
        return self.n_passages + self.n_phrases

    @property
    def n_living(self) -> int:
        """Passages that live."""
        return self.n_passages - len(self.dead_passages)

    @property
    def n_settled(self) -> int:
        """Passages that lie in the compressed rows."""
        return len(self.mentions.base.starts) - 1

    @property
    def is_settled(self) -> bool:
        """Whether nothing came or went since the graph was built."""
        return self.n_passages == self.n_settled and not self.edges.used

    @property
    def nbytes(self) -> int:
        """Bytes that the arrays take."""
        arrays = (*self.evidence, self.evidence_rights, self.evidence_spans.rows)
        return sum(array.nbytes for array in arrays) + self.edges.nbytes + self.mentions.nbytes

    def idf(self) -> Floats:
        """Return the idf of every phrase, (n_phrases,): ln((N + 1) / (df + 0.5)), N the passages that live."""
        return _idf(self.edges.degrees(Kind.context, self.n_phrases), self.n_living)

    def idf_of(self, phrases: Ints) -> Floats:
        """Return the idf of a few phrases."""
        return _idf(self.edges.degrees_of(Kind.context, phrases), self.n_living)

    def extended(
        self,
        *,
        passages: int = 0,
        phrases: int = 0,
        context: Mentions | None = None,
        relation: Relations | None = None,
        synonymy: Synonyms | None = None,
        dead_passages: Ints | None = None,
        dead_phrases: Ints | None = None,
    ) -> Graph:
        """Return the graph with so many more rows and edges, and without what is dead.

        A passage's facts come with the passage; a context edge may join rows that were there, but only once. Rows
        that die must be alive, and nothing that comes may lead to them; their edges are taken back here, but a phrase
        outlives its facts. The cost goes by what comes and goes. Only one thread may extend a graph at a time.
        """
        dead, gone = _rows(dead_passages), _rows(dead_phrases)
        n_passages, n_phrases = self.n_passages + passages, self.n_phrases + phrases
        came, facts, same = context or Mentions.none(), relation or Relations.none(), synonymy or Synonyms.none()
        facts = Relations(*_ordered(facts, np.argsort(facts.passages, kind="stable")))
        new = np.arange(self.n_passages, n_passages + 1)
        proved = self.edges.used + 2 * np.searchsorted(facts.passages, new)
        went = self._mentions_of(dead, gone)
        mentioned, phrased, counted = (
            np.concatenate([column, lost]) for column, lost in zip(came, (*went[:2], -went.counts), strict=True)
        )
        parts = [
            _both_ways(facts.lefts, facts.rights, facts.counts, Kind.relation),
            _both_ways(*same, Kind.synonymy),
            (_row(phrased, Kind.context), mentioned, counted),
            self._relations_of(dead),
            self._synonyms_of(gone),
        ]
        rows, targets, counts = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        return replace(
            self,
            n_passages=n_passages,
            n_phrases=n_phrases,
            dead_passages=np.union1d(self.dead_passages, dead),
            dead_phrases=np.union1d(self.dead_phrases, gone),
            mentions=self.mentions.extended(mentioned, phrased, counted, n_rows=n_passages),
            edges=self.edges.extended(rows, targets, counts, n_rows=len(Kind) * n_phrases),
            evidence_spans=self.evidence_spans.extended(np.column_stack([proved[:-1], proved[1:]])),
            total_count=self.total_count + int(counts.sum()),
        )

    def all_mentions(self) -> Mentions:
        """Return every context edge, by passage, then phrase."""
        csr = _transposed(self._of_kind(Kind.context), (self.n_phrases, self.n_passages))
        return Mentions(row_numbers(csr), csr.targets, csr.counts)

    def all_relations(self) -> Relations:
        """Return the evidence of every relation edge, by passage."""
        rows, targets, counts = self.edges.records
        starts, stops = self.evidence_spans.rows.T
        later = np.repeat(np.arange(len(starts), dtype=np.int32) + self.n_settled, (stops - starts) // 2)
        records = spread(starts, stops)[::2]  # each fact was written both ways
        found = Relations(
            np.concatenate([row_numbers(self.evidence), later]),
            np.concatenate([self.evidence.targets, rows[records] // len(Kind)]),
            np.concatenate([self.evidence_rights, targets[records]]),
            np.concatenate([self.evidence.counts, counts[records]]),
        )
        return Relations(*_ordered(found, ~np.isin(found.passages, self.dead_passages)))

    def all_synonyms(self) -> Synonyms:
        """Return every synonymy edge, once: the lower row is the left."""
        csr = self._of_kind(Kind.synonymy)
        lefts = row_numbers(csr)
        once = lefts < csr.targets
        return Synonyms(lefts[once], csr.targets[once], csr.counts[once])

    def compacted(self) -> Graph:
        """Return the same graph without logs and without the dead rows; the others keep their order."""
        passage, phrase = (
            np.cumsum(alive, dtype=np.int32) - 1 for alive in (self.living_passages(), self.living_phrases())
        )
        context, relation, synonymy = self.all_mentions(), self.all_relations(), self.all_synonyms()
        return build_graph(
            Mentions(passage[context.passages], phrase[context.phrases], context.counts),
            Relations(passage[relation.passages], phrase[relation.lefts], phrase[relation.rights], relation.counts),
            Synonyms(phrase[synonymy.lefts], phrase[synonymy.rights], synonymy.counts),
            n_passages=self.n_living,
            n_phrases=self.n_phrases - len(self.dead_phrases),
        )

    def living_passages(self) -> NDArray[np.bool_]:
        """Return which rows of passages live, (n_passages,)."""
        return _living(self.n_passages, self.dead_passages)

    def living_phrases(self) -> NDArray[np.bool_]:
        """Return which rows of phrases live, (n_phrases,)."""
        return _living(self.n_phrases, self.dead_phrases)

    def transition(self, shares: Shares) -> csr_matrix:
        """Return the walk's step S (n_nodes, n_nodes), passages first; ``S @ mass`` moves mass along the edges.

        Columns sum to 1, those of nodes without edges to 0. A passage's mass goes to its phrases in proportion to
        count · idf; a phrase's is divided among the kinds by ``shares`` and within each in proportion to count.
        """
        shared = (shares.context, shares.relation, shares.synonymy)
        context, relation, synonymy = matrices = [self._matrix(kind) for kind in Kind]
        totals = [matrix.sum(axis=1) for matrix in matrices]
        whole = sum(share * (total > 0) for share, total in zip(shared, totals, strict=True))
        factors = [
            np.divide(share, total * whole, out=np.zeros(self.n_phrases), where=(total > 0) & (whole > 0))
            for share, total in zip(shared, totals, strict=True)
        ]
        weighted = _scale_rows(context, self.idf())
        leaving = weighted.sum(axis=0)
        to_phrases = weighted * np.divide(1.0, leaving, out=np.zeros(self.n_passages), where=leaving > 0)[None, :]
        among = (_scale_rows(relation, factors[1]) + _scale_rows(synonymy, factors[2])).T
        between = csr_array((self.n_passages, self.n_passages))  # no edge joins two passages
        return csr_matrix(
            block_array([[between, _scale_rows(context, factors[0]).T], [to_phrases, among]], format="csr")
        )

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return a settled graph as named arrays, to be saved."""
        if not self.is_settled:
            raise ValueError("only a compacted graph can be saved")
        found: dict[str, NDArray[Any]] = {"evidence_rights": self.evidence_rights}
        for name, csr in (
            ("mentions", self.mentions.base),
            ("evidence", self.evidence),
            ("edges", self.edges.base),
        ):
            found |= {f"{name}_{part}": array for part, array in csr._asdict().items()}
        return found

    @staticmethod
    def from_arrays(arrays: Mapping[str, NDArray[Any]]) -> Graph:
        """Return the graph that ``to_arrays`` took apart; the arrays may be memory maps."""
        csrs = {
            name: Csr(*(arrays[f"{name}_{part}"] for part in Csr._fields)) for name in ("mentions", "evidence", "edges")
        }
        return Graph(
            n_passages=len(csrs["mentions"].starts) - 1,
            n_phrases=(len(csrs["edges"].starts) - 1) // len(Kind),
            dead_passages=_rows(None),
            dead_phrases=_rows(None),
            mentions=Edges.of(csrs["mentions"]),
            evidence=csrs["evidence"],
            evidence_rights=arrays["evidence_rights"],
            edges=Edges.of(csrs["edges"]),
            evidence_spans=Growing.empty(np.int64, 2),
            total_count=int(csrs["edges"].counts.sum(dtype=np.int64)),
        )

    def _of_kind(self, kind: Kind) -> Csr:
        """Return the settled rows of one kind, (n_phrases, …)."""
        whole = self.edges.settled(len(Kind) * self.n_phrases, max(self.n_passages, self.n_phrases))
        starts, stops = whole.starts[kind :: len(Kind)][: self.n_phrases], whole.starts[kind + 1 :: len(Kind)]
        where = spread(starts, stops)
        return Csr(np.append(0, np.cumsum(stops - starts)), whole.targets[where], whole.counts[where])

    def _matrix(self, kind: Kind) -> csr_array:
        csr = self._of_kind(kind)
        shape = (self.n_phrases, self.n_passages if kind is Kind.context else self.n_phrases)
        return csr_array((csr.counts.astype(np.float64), csr.targets, csr.starts), shape=shape)

    def _mentions_of(self, passages: Ints, phrases: Ints) -> Mentions:
        """Return the context edges of passages and of phrases, each once."""
        found = [Mentions.none()]
        for passage in passages.tolist():
            targets, counts = self.mentions.row(passage)
            found.append(Mentions(np.full(len(targets), passage), targets, counts))
        for phrase in phrases.tolist():
            targets, counts = self.edges.row(phrase * len(Kind) + Kind.context)
            others = ~np.isin(targets, passages)
            found.append(Mentions(targets[others], np.full(int(others.sum()), phrase), counts[others]))
        return Mentions(*(np.concatenate(columns) for columns in zip(*found, strict=True)))

    def _relations_of(self, dead: Ints) -> _Records:
        """Return the records that take back the facts of passages that die."""
        settled, later = dead[dead < self.n_settled], dead[dead >= self.n_settled] - self.n_settled
        where = spread(self.evidence.starts[settled], self.evidence.starts[settled + 1])
        records = spread(*self.evidence_spans.rows[later].T)
        rows, targets, counts = self.edges.records
        lefts, rights = self.evidence.targets[where], self.evidence_rights[where]
        both = _both_ways(lefts, rights, self.evidence.counts[where], Kind.relation)
        return (
            np.concatenate([both[0], rows[records]]),
            np.concatenate([both[1], targets[records]]),
            -np.concatenate([both[2], counts[records]]),
        )

    def _synonyms_of(self, dead: Ints) -> _Records:
        """Return the records that take back the synonymy edges of phrases that die, once where both ends die."""
        pairs: dict[tuple[int, int], int] = {}
        for phrase in dead.tolist():
            for target, count in zip(*self.edges.row(phrase * len(Kind) + Kind.synonymy), strict=True):
                pairs[min(phrase, int(target)), max(phrase, int(target))] = -int(count)
        lefts, rights = np.array(list(pairs), dtype=np.int32).reshape(-1, 2).T
        return _both_ways(lefts, rights, np.array(list(pairs.values()), dtype=np.int32), Kind.synonymy)


def build_graph(
    context: Mentions, relation: Relations, synonymy: Synonyms, *, n_passages: int, n_phrases: int
) -> Graph:
    """Build a settled graph from all its edges."""
    mentions = make_csr(context.passages, context.phrases, context.counts, (n_passages, n_phrases))
    order = np.lexsort((relation.rights, relation.lefts, relation.passages))
    starts = np.searchsorted(relation.passages[order], np.arange(n_passages + 1)).astype(np.int64)
    evidence = Csr(starts, *(np.asarray(column[order], np.int32) for column in (relation.lefts, relation.counts)))
    edges = (
        (_row(context.phrases, Kind.context), context.passages, context.counts),
        _both_ways(relation.lefts, relation.rights, relation.counts, Kind.relation),
        _both_ways(*synonymy, Kind.synonymy),
    )
    rows, targets, counts = (np.concatenate(columns) for columns in zip(*edges, strict=True))
    shape = (len(Kind) * n_phrases, max(n_passages, n_phrases))
    arrays = {"evidence_rights": np.asarray(relation.rights[order], dtype=np.int32)}
    for name, csr in (
        ("mentions", mentions),
        ("evidence", evidence),
        ("edges", make_csr(rows, targets, counts, shape)),
    ):
        arrays |= {f"{name}_{part}": array for part, array in csr._asdict().items()}
    return Graph.from_arrays(arrays)


def empty_graph() -> Graph:
    """Return the graph of an empty memory."""
    return build_graph(Mentions.none(), Relations.none(), Synonyms.none(), n_passages=0, n_phrases=0)


def _idf(frequency: Ints, n_passages: int) -> Floats:
    return np.maximum(np.log((n_passages + 1) / (frequency + 0.5)), LEAST_IDF)


def _rows(rows: Ints | None) -> Ints:
    return np.zeros(0, dtype=np.int64) if rows is None else np.asarray(rows, dtype=np.int64)


def _living(n: int, dead: Ints) -> NDArray[np.bool_]:
    alive = np.ones(n, dtype=bool)
    alive[dead] = False
    return alive


def _ordered(columns: Iterable[NDArray[Any]], order: NDArray[Any]) -> Iterator[NDArray[Any]]:
    return (column[order] for column in columns)


def _row(phrases: NDArray[Any], kind: Kind) -> NDArray[np.int32]:
    """Return the rows of phrases' edges of one kind."""
    return np.asarray(phrases, dtype=np.int32) * len(Kind) + kind


def _both_ways(lefts: NDArray[Any], rights: NDArray[Any], counts: NDArray[Any], kind: Kind) -> _Records:
    """Return each undirected edge as two directed ones that follow each other."""
    return (
        _row(np.column_stack([lefts, rights]).ravel(), kind),
        np.column_stack([rights, lefts]).ravel(),
        np.repeat(counts, 2),
    )


def _transposed(csr: Csr, shape: tuple[int, int]) -> Csr:
    turned = csr_array((csr.counts, csr.targets, csr.starts), shape=shape).T.tocsr()
    return Csr(turned.indptr.astype(np.int64), turned.indices.astype(np.int32, copy=False), turned.data)


def _scale_rows(matrix: csr_array, factors: Floats) -> csr_array:
    scaled = matrix.copy()
    scaled.data *= np.repeat(factors, np.diff(matrix.indptr))
    return scaled
