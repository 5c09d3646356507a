"""Documents: learn, list, look at, forget."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Form, Header, Query, Response, UploadFile
from fastapi.responses import JSONResponse

from ingest.alive import live_workers
from ingest.files import SUFFIXES, suffix_of
from ingest.formats.encodings import clean_text
from ingest.jobs import document_items
from ingest.lines import content_id
from memory_graph.errors import InvalidInput, NotFound
from memory_graph.store.audit import document_target
from memory_graph.store.collections import get_collection
from memory_graph.store.duplicates import copies_of
from memory_graph.store.forgetting import Selection
from memory_graph.store.forgetting import forget as forget_selection
from memory_graph.store.jobs import Failure, NewItem, get_job, list_workers
from memory_graph.store.listing import DocumentFilter, DocumentSort, page_documents
from memory_graph.store.reading import document_passages, get_document
from memory_graph.store.updating import document_history
from memory_graph.types import Document, Policy
from service.access import READS, WRITES, Acting, Asking
from service.admission import leave_line
from service.auditing import audited, describe_erased
from service.document_cursors import Order, read_place, write_place
from service.etags import check_document, tag_of
from service.forgetting_schemas import ForgottenOut
from service.learning_schemas import (
    DocumentDetailOut,
    DocumentIn,
    DocumentOut,
    DocumentsIn,
    DocumentsOut,
    JobOut,
    JobRef,
    Priority,
)
from service.paging import Cursor, Limit
from service.schemas import Moment
from service.services import Parts, Services
from service.submitting import submit

router = APIRouter(prefix="/v1/collections/{collection}", tags=["documents"])

POLL_S = 0.1
MB = 2**20
IfMatch = Annotated[
    str | None, Header(description="The `ETag` of the document as it was seen: 412 if it is not so now")
]
IfNoneMatch = Annotated[str | None, Header(description="`*`: 412 if the document is there already")]
ENDED = ("succeeded", "failed", "cancelled")


@router.post(
    "/documents",
    status_code=202,
    response_model=JobRef,
    responses={200: {"model": JobOut, "description": "With `wait`: the finished job"}},
    dependencies=[WRITES],
)
async def learn(
    collection: str,
    body: DocumentsIn,
    parts: Parts,
    caller: Asking,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
) -> Any:
    """Learn documents. An id that is known is replaced if its content changed, and skipped if it did not.

    A request of one document may say with `If-Match` which state of it is replaced, and with `If-None-Match: *` none.
    With `wait` the answer comes when the job has ended; where no worker is alive, at once.
    """
    documents = [_document(index, given) for index, given in enumerate(body.documents)]
    _refuse_twins(documents)
    check = None
    if if_match is not None or if_none_match is not None:
        if len(documents) > 1:
            raise InvalidInput("If-Match" if if_match else "If-None-Match", "speaks of one document: give it alone")
        check = partial(check_document, key=documents[0].id, if_match=if_match, if_none_match=if_none_match)
    submitted = await asyncio.to_thread(
        submit,
        parts,
        caller,
        collection,
        document_items(documents),
        split=body.split,
        duplicates=body.duplicates,
        priority=body.priority,
        check=check,
    )
    if body.wait:
        leave_line()  # what is waited for is the worker's
        job = await _wait(parts, submitted.job_id)
        if job is not None:
            return JSONResponse(job.model_dump(mode="json"), status_code=200)
    return JobRef(job_id=submitted.job_id)


@router.post("/files", status_code=202, dependencies=[WRITES])
async def upload(
    collection: str,
    files: list[UploadFile],
    parts: Parts,
    caller: Asking,
    duplicates: Annotated[Policy | None, Form(description="What becomes of copies of what is there")] = None,
    priority: Annotated[Priority, Form()] = "normal",
) -> JobRef:
    """Learn uploaded files; a file's id is its name. Files that cannot be taken are listed with the job."""
    limit = parts.settings.max_file_mb * MB
    items, failures, names = [], [], set[str]()
    for file in files:
        name = file.filename or ""
        if not name or name in names:
            raise InvalidInput("files", f"every file needs a name of its own; {name!r} is empty or given twice")
        names.add(name)
        if suffix_of(name) not in SUFFIXES:
            failures.append(Failure(name=name, reason="unsupported", error=f"known formats are {' '.join(SUFFIXES)}"))
        elif (file.size or 0) > limit:
            message = f"over {parts.settings.max_file_mb} MB; SHARPWAVE_MAX_FILE_MB sets the limit"
            failures.append(Failure(name=name, reason="too_large", error=message))
        else:
            # Read when its row is written, from the disk where it is large: one file is in memory at a time.
            items.append(NewItem(kind="upload", name=name, size=file.size or 0, data=file.file.read))
    submitted = await asyncio.to_thread(
        submit,
        parts,
        caller,
        collection,
        items,
        failures=failures,
        duplicates=duplicates,
        priority=priority,
    )
    return JobRef(job_id=submitted.job_id)


@router.get("/documents", dependencies=[READS])
def list_page(
    collection: str,
    parts: Parts,
    q: Annotated[str, Query(max_length=1_000, description="What stands in the title, the id or the source")] = "",
    source: Annotated[str | None, Query(max_length=2_000, description="Only those of this source")] = None,
    job: Annotated[str | None, Query(max_length=36, description="Only those that this job wrote last")] = None,
    copies: Annotated[bool | None, Query(description="Only those with copies, exact or near, or without")] = None,
    since: Annotated[Moment | None, Query(description="Only those learned from this moment on")] = None,
    until: Annotated[Moment | None, Query(description="Only those learned before this moment")] = None,
    sort: Annotated[DocumentSort, Query(description="`occurred` has those without a date last")] = "learned",
    order: Order = "asc",
    cursor: Cursor = None,
    limit: Limit = 100,
) -> DocumentsOut:
    """List documents, a page at a time; one that is narrowed looks at a bounded number of them, and may be short."""
    beyond, backwards = read_place(sort, order, cursor)
    with parts.database.read() as connection:
        found = page_documents(
            connection,
            get_collection(connection, collection).id,
            only=DocumentFilter(q=q, source=source, job_id=job, copies=copies, since=since, until=until),
            sort=sort,
            descending=order == "desc",
            beyond=beyond,
            backwards=backwards,
            limit=limit,
        )
    return DocumentsOut(
        documents=[DocumentOut.of(dict(row)) for row in found.rows],
        next_cursor=write_place(sort, order, found.following),
        previous_cursor=write_place(sort, order, found.previous, backwards=True),
    )


@router.get("/documents/{document_id:path}", dependencies=[READS])
def show(
    collection: str,
    document_id: str,
    parts: Parts,
    response: Response,
    contents: Annotated[bool, Query(description="Whether to return the passages too")] = True,
) -> DocumentDetailOut:
    """Return a document with its passages in order, how much of it changed when, and the first hundred copies of it."""
    with parts.database.read() as connection:
        found = get_collection(connection, collection)
        row = get_document(connection, found.id, document_id)
        if row is None:
            raise NotFound("document", document_id)
        passages = [dict(one) for one in document_passages(connection, row["id"])] if contents else []
        history = document_history(connection, row["id"])
        copies = copies_of(connection, found.id, document_id)
    response.headers["ETag"] = tag_of(row, copies)
    told = {"id": row["key"], "contents": passages, "history": history, "duplicates": copies}
    return DocumentDetailOut.model_validate({**row, **told})


@router.delete("/documents/{document_id:path}", dependencies=[WRITES])
def forget(
    collection: str,
    document_id: str,
    parts: Parts,
    actor: Acting,
    dry_run: bool = False,
    if_match: IfMatch = None,
) -> ForgottenOut:
    """Forget a document and all that rested on it alone; with `dry_run`, only tell what that would be."""
    parts.query_log.flush()
    target = document_target(collection, document_id)
    with audited(
        parts.database, actor, "documents.forget", collection=collection, target=target, dry_run=dry_run
    ) as change:
        found = get_collection(change.connection, collection)
        check_document(change.connection, found.id, document_id, if_match=if_match)
        erased = forget_selection(change.connection, found.id, Selection(key=document_id), dry_run=dry_run)
        change.detail = describe_erased(erased)
    return ForgottenOut.of(erased, dry_run=dry_run, document_id=document_id)


def _document(index: int, given: DocumentIn) -> Document:
    text = clean_text(given.text)
    return Document(
        id=given.id or content_id(given.title, text),
        title=given.title,
        text=text,
        metadata=given.metadata,
        source=given.source,
        occurred_at=_moment(index, given.occurred_at),
    )


def _moment(index: int, given: datetime | None) -> datetime | None:
    if given is None:
        return None
    field = f"documents.{index}.occurred_at"
    if given.tzinfo is None:
        raise InvalidInput(field, "needs a time zone, such as 2026-01-31T12:00:00Z")
    try:
        return given.astimezone(UTC)
    except OverflowError:
        raise InvalidInput(field, "lies outside the years 1 to 9999 in UTC") from None


def _refuse_twins(documents: list[Document]) -> None:
    first: dict[str, int] = {}
    for index, document in enumerate(documents):
        earlier = first.setdefault(document.id, index)
        if earlier != index:
            raise InvalidInput(
                f"documents.{index}.id", f"{document.id!r} is used by documents.{earlier} too; give each its own id"
            )


async def _wait(parts: Services, job_id: str) -> JobOut | None:
    def look() -> tuple[JobOut, bool]:
        with parts.database.read() as connection:
            job = get_job(connection, job_id)
            return JobOut.of(job), bool(live_workers(list_workers(connection)))

    while True:
        job, someone_works = await asyncio.to_thread(look)
        if job.state in ENDED:
            return job
        if not someone_works:
            return None
        await asyncio.sleep(POLL_S)
