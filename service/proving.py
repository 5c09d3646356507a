"""``forget --verify``: strings taken before the forgetting are looked for afterwards, in bytes and by searches."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from ingest.proof import (
    Check,
    check_files,
    check_readers,
    check_rows,
    make_probes,
    out_of_reach,
    without_living,
)
from ingest.scanning import Scanner
from memory_graph.database import Database
from memory_graph.errors import SharpwaveError
from memory_graph.store.probing import read_contents
from memory_graph.store.purges import Purge
from retrieval.search import Mode, Searcher, SearchRequest
from service.forgetting_schemas import CheckOut, ProofOut, PurgeOut
from service.local import find_service
from service.recall_schemas import SearchOut
from service.settings import Settings
from service.wiring import open_searcher

MAX_QUESTIONS = 12
_QUESTION_CHARS = 300
_TOP_K = 20


@dataclass(frozen=True, kw_only=True)
class Remembered:
    """What is kept, in memory alone, of documents that are about to be forgotten."""

    keys: frozenset[str]
    probes: Sequence[bytes]
    questions: Sequence[str]


def remember(database: Database, collection_id: int, keys: Sequence[str]) -> Remembered:
    """Take from documents what their absence will be proved with."""
    with database.read() as connection:
        contents = read_contents(connection, collection_id, keys)
    sentences = [text[:_QUESTION_CHARS] for text in contents.texts if text.strip()]
    names = sorted((name for name in contents.names if name.strip()), key=len, reverse=True)
    questions = [*_spread(sentences), *(name[:_QUESTION_CHARS] for name in _spread(names))]
    return Remembered(keys=frozenset(keys), probes=make_probes(contents), questions=questions)


def prove(
    settings: Settings, database: Database, collection: str, remembered: Remembered, purge: Purge | None
) -> ProofOut:
    """Look for what was forgotten wherever this installation writes, and ask for it."""
    probes = without_living(database, remembered.probes)
    scanner = Scanner(probes)
    checks = [_check_purge(purge)]
    checks += _check_searches(settings, database, collection, remembered, scanner)
    checks.append(check_rows(database, scanner))
    checks.append(check_files(database, [settings.data_dir.expanduser(), settings.views_dir], scanner))
    checks.append(check_readers(settings.views_dir))
    return ProofOut(
        ok=all(check.ok for check in checks),
        purge=None if purge is None else PurgeOut.of(purge),
        probes=len(probes),
        shared=len(remembered.probes) - len(probes),
        checks=[CheckOut.model_validate(check) for check in checks],
        out_of_reach=out_of_reach(database),
    )


def _check_purge(purge: Purge | None) -> Check:
    if purge is None:
        return Check(name="purge", looked_at=0, found=0, detail="nothing was there to be forgotten")
    done = purge.state == "done"
    detail = "done" if done else f"{purge.state}; it waits for {purge.waits_for or 'a worker'}"
    return Check(name="purge", looked_at=1, found=int(not done), detail=detail)


def _check_searches(
    settings: Settings, database: Database, collection: str, remembered: Remembered, scanner: Scanner
) -> list[Check]:
    """Ask the service if one runs here, else this process, for sentences and names of what was forgotten."""
    ask, who = _searcher(settings, database, collection)
    checks = []
    for mode in get_args(Mode):
        found = hits = 0
        try:
            for question in remembered.questions:
                for hit in ask(question, mode):
                    hits += 1
                    said = json.dumps([hit["title"], hit["text"]], ensure_ascii=False).encode()
                    found += hit["document_id"] in remembered.keys or bool(scanner.find(said))
        except SharpwaveError as error:
            checks.append(Check(name=f"search {mode}", looked_at=hits, found=1, detail=f"not done: {error.message}"))
            continue
        detail = f"hits of {len(remembered.questions)} questions, asked of {who}"
        checks.append(Check(name=f"search {mode}", looked_at=hits, found=found, detail=detail))
    return checks


def _searcher(
    settings: Settings, database: Database, collection: str
) -> tuple[Callable[[str, Mode], list[dict[str, Any]]], str]:
    service = find_service(settings)
    if service is not None:

        def ask_service(question: str, mode: Mode) -> list[dict[str, Any]]:
            body = {"query": question, "mode": mode, "rerank": "none", "top_k": _TOP_K}
            hits: list[dict[str, Any]] = json.loads(service.post(f"/v1/collections/{collection}/search", body))["hits"]
            return hits

        return ask_service, f"the service at {service.url}"
    opened: list[Searcher] = []

    def ask_here(question: str, mode: Mode) -> list[dict[str, Any]]:
        if not opened:
            opened.append(open_searcher(settings, database))
        request = SearchRequest(query=question, mode=mode, rerank="none", top_k=_TOP_K)
        found = SearchOut.of(opened[0].search(collection, request), trace=False)
        return [hit.model_dump() for hit in found.hits]

    return ask_here, "this process"


def _spread(texts: Sequence[str]) -> list[str]:
    """Return some of the texts, evenly over all of them."""
    count = min(len(texts), MAX_QUESTIONS // 2)
    return [texts[at * len(texts) // count] for at in range(count)]
