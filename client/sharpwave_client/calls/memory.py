"""Collections, documents, passages, and the jobs that learn them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypeAlias

from sharpwave_client.call import Call, Upload, into, listed, nothing, paged, write_key
from sharpwave_client.models import (
    Collection,
    Document,
    DocumentDetail,
    Forgotten,
    Health,
    Job,
    JobRef,
    MarkedPassage,
    NewDocument,
    Page,
    PassageDetail,
    Readiness,
)

Split: TypeAlias = Literal["recursive", "none"]
Duplicates: TypeAlias = Literal["link", "skip", "keep"]
Priority: TypeAlias = Literal["high", "normal", "low"]
JobState: TypeAlias = Literal["queued", "running", "succeeded", "failed", "cancelled"]
DocumentSort: TypeAlias = Literal["learned", "title", "passages", "occurred"]

_ONE = "/v1/collections/{collection}"
_DOCUMENT = f"{_ONE}/documents/{{document_id}}"
_JOB = "/v1/jobs/{job_id}"


def health() -> Call[Health]:
    """Ask whether the service lives."""
    return Call(method="GET", route="/healthz", read=into(Health))


def readiness() -> Call[Readiness]:
    """Ask whether questions can be answered. Errors: ``Unavailable``."""
    return Call(method="GET", route="/readyz", read=into(Readiness))


def list_collections() -> Call[list[Collection]]:
    """List the collections by name, with what each holds; a thousand at most."""
    return Call(method="GET", route="/v1/collections", read=listed(Collection, "collections"))


def page_collections(*, cursor: str | None = None, limit: int = 100) -> Call[Page[Collection]]:
    """List a page of the collections by name, for those who have more than the thousand of ``list_collections``."""
    params = {"cursor": cursor, "limit": limit}
    return Call(method="GET", route="/v1/collections", params=params, read=paged(Collection, "collections"))


def create_collection(name: str, description: str = "") -> Call[Collection]:
    """Create an empty collection. Errors: ``Conflict`` if the name is taken."""
    body = {"name": name, "description": description}
    return Call(method="POST", route="/v1/collections", body=body, headers=write_key(), read=into(Collection))


def get_collection(collection: str) -> Call[Collection]:
    """Return a collection with its counts and version."""
    return Call(method="GET", route=_ONE, path={"collection": collection}, read=into(Collection))


def delete_collection(collection: str) -> Call[None]:
    """Delete a collection with all that it holds."""
    return Call(method="DELETE", route=_ONE, path={"collection": collection}, headers=write_key(), read=nothing)


def export_collection(collection: str) -> Call[bytes]:
    """Return all of a collection as JSON lines, in memory; ``save_export`` writes a large one to a file."""
    path = {"collection": collection}
    return Call(method="GET", route=f"{_ONE}/export", path=path, read=lambda response: response.content, slow=True)


def add_documents(
    collection: str,
    documents: Iterable[NewDocument | Mapping[str, Any] | str],
    *,
    split: Split = "recursive",
    duplicates: Duplicates | None = None,
    priority: Priority = "normal",
) -> Call[JobRef]:
    """Learn up to 1,000 documents, each a text or the fields of a ``NewDocument``; ``wait_for_job`` tells the end."""
    given = [_document(one).model_dump(mode="json", exclude_unset=True) for one in documents]
    body = {"documents": given, "split": split, "priority": priority} | _chosen(duplicates=duplicates)
    path = {"collection": collection}
    return Call(method="POST", route=f"{_ONE}/documents", path=path, body=body, headers=write_key(), read=into(JobRef))


def upload_files(
    collection: str,
    files: Iterable[Upload],
    *,
    duplicates: Duplicates | None = None,
    priority: Priority = "normal",
) -> Call[JobRef]:
    """Learn files, given as paths or as (name, bytes); a file's name becomes its document's id."""
    return Call(
        method="POST",
        route=f"{_ONE}/files",
        path={"collection": collection},
        uploads=tuple(files),
        form={"duplicates": duplicates, "priority": priority},
        headers=write_key(),
        read=into(JobRef),
    )


def add_urls(
    collection: str,
    urls: Sequence[str],
    *,
    split: Split = "recursive",
    duplicates: Duplicates | None = None,
    priority: Priority = "normal",
) -> Call[JobRef]:
    """Learn what stands at addresses, where the service's settings allow them."""
    body = {"urls": list(urls), "split": split, "priority": priority} | _chosen(duplicates=duplicates)
    path = {"collection": collection}
    return Call(method="POST", route=f"{_ONE}/urls", path=path, body=body, headers=write_key(), read=into(JobRef))


def list_documents(
    collection: str,
    *,
    q: str | None = None,
    source: str | None = None,
    job: str | None = None,
    copies: bool | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    sort: DocumentSort = "learned",
    order: Literal["asc", "desc"] = "asc",
    cursor: str | None = None,
    limit: int = 100,
) -> Call[Page[Document]]:
    """List documents, those with ``q`` in title, id or source; a narrowed page may be short and yet not the last."""
    only = {"q": q, "source": source, "job": job, "copies": copies, "since": since, "until": until}
    return Call(
        method="GET",
        route=f"{_ONE}/documents",
        path={"collection": collection},
        params={**only, "sort": sort, "order": order, "cursor": cursor, "limit": limit},
        read=paged(Document, "documents"),
    )


def get_document(collection: str, document_id: str, *, contents: bool = True) -> Call[DocumentDetail]:
    """Return a document with its passages, unless ``contents`` is false, its history and its copies."""
    path, params = {"collection": collection, "document_id": document_id}, {"contents": contents}
    return Call(method="GET", route=_DOCUMENT, path=path, params=params, read=into(DocumentDetail))


def list_passages(
    collection: str, document: str, *, first: int = 0, cursor: str | None = None, limit: int = 50
) -> Call[Page[MarkedPassage]]:
    """List a document's passages from its place ``first`` on, with where names and facts stand in their texts."""
    return Call(
        method="GET",
        route=f"{_ONE}/passages",
        path={"collection": collection},
        params={"document": document, "from": first, "cursor": cursor, "limit": limit},
        read=paged(MarkedPassage, "passages"),
    )


def forget_document(collection: str, document_id: str, *, dry_run: bool = False) -> Call[Forgotten]:
    """Forget a document and all that rested on it alone; with ``dry_run`` only tell what that would be."""
    return Call(
        method="DELETE",
        route=_DOCUMENT,
        path={"collection": collection, "document_id": document_id},
        params={"dry_run": dry_run},
        headers=write_key(),
        read=into(Forgotten),
    )


def forget(
    collection: str,
    *,
    documents: Sequence[str] | None = None,
    source: str | None = None,
    filter: Mapping[str, Any] | None = None,
    everything: bool = False,
    dry_run: bool = False,
) -> Call[Forgotten]:
    """Forget, in one commit, documents by their ids, those of a source, those that meet a filter, or everything.

    One of these must be given; of ids, those that are not there are passed over.
    """
    chosen = _chosen(documents=None if documents is None else list(documents), source=source, filter=filter)
    body = {"all": everything, "dry_run": dry_run} | chosen
    path = {"collection": collection}
    return Call(method="POST", route=f"{_ONE}/forget", path=path, body=body, headers=write_key(), read=into(Forgotten))


def get_passage(
    collection: str, passage_id: int, *, context: int = 0, episode: str | None = None
) -> Call[PassageDetail]:
    """Return a passage with ``context`` neighbours on either side; with ``episode`` across documents."""
    return Call(
        method="GET",
        route=f"{_ONE}/passages/{{passage_id}}",
        path={"collection": collection, "passage_id": passage_id},
        params={"context": context, "episode": episode},
        read=into(PassageDetail),
    )


def list_jobs(
    *,
    state: JobState | None = None,
    collection: str | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Call[Page[Job]]:
    """List jobs, the newest first, without their failures; those in a state, and of a collection."""
    params = {"state": state, "collection": collection, "cursor": cursor, "limit": limit}
    return Call(method="GET", route="/v1/jobs", params=params, read=paged(Job, "jobs"))


def get_job(job_id: str) -> Call[Job]:
    """Return a job with its progress and the items that failed."""
    return Call(method="GET", route=_JOB, path={"job_id": job_id}, read=into(Job))


def job_events(job_id: str, last_event_id: str | None = None) -> Call[Job]:
    """Describe the stream of a job's events."""
    headers = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
    return Call(method="GET", route=f"{_JOB}/events", path={"job_id": job_id}, headers=headers, read=into(Job))


def cancel_job(job_id: str) -> Call[Job]:
    """End a job, or give up a failed one: what it has committed stays."""
    return _move_job(job_id, "cancel")


def resume_job(job_id: str) -> Call[Job]:
    """Queue a failed job again for what it has left."""
    return _move_job(job_id, "resume")


def retry_job(job_id: str, *, item: int | None = None) -> Call[Job]:
    """Queue a job that has ended again for its failed items; for one of them, where ``item`` is its ``retry_id``."""
    path = {"job_id": job_id}
    return Call(
        method="POST",
        route=f"{_JOB}/retry",
        path=path,
        params={"item": item},
        headers=write_key(),
        read=into(Job),
    )


def remove_job(job_id: str) -> Call[None]:
    """Remove a job that has ended; what it learned stays."""
    return Call(method="DELETE", route=_JOB, path={"job_id": job_id}, headers=write_key(), read=nothing)


def _move_job(job_id: str, verb: str) -> Call[Job]:
    path = {"job_id": job_id}
    return Call(method="POST", route=f"{_JOB}/{verb}", path=path, headers=write_key(), read=into(Job))


def _document(given: NewDocument | Mapping[str, Any] | str) -> NewDocument:
    if isinstance(given, str):
        return NewDocument(text=given)
    return given if isinstance(given, NewDocument) else NewDocument.model_validate(given)


def _chosen(**values: Any) -> dict[str, Any]:
    """Return those fields that were given: what is left out is as the service's settings say."""
    return {name: value for name, value in values.items() if value is not None}
