"""Copies among the documents of a collection: found by rows, and a function of the rows that live.

Equal texts share one signature; two that are alike are joined by a row of ``near_copies``. A signature's bands are
rows, so that texts that may be alike are found by a look-up in an index (Broder 1997; Indyk and Motwani 1998).
Signatures go with the last document of their text, and with them their bands and links.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Select, bindparam, delete, exists, insert, or_, select, union_all

from memory_graph.store.rows import chunks
from memory_graph.tables import documents, near_copies, passages, signature_bands, signatures

Kind: TypeAlias = Literal["exact", "near"]
Values: TypeAlias = NDArray[np.uint32]

# From this share of equal values on, two texts are alike: below it are pages of one form with other content.
SIMILARITY = 0.8
# Two texts of similarity s share a band with probability 1 - (1 - s⁶)²⁰: 0.998 at 0.8, 0.27 at 0.5.
BANDS, BAND_VALUES = 20, 6
SIGNATURE_VALUES = BANDS * BAND_VALUES
# Of the texts that share a band so many are compared, the oldest first: a collection of a hundred thousand copies of
# one form must not be compared pair by pair.
CROWD = 64
_EXACT = 2.0  # above the similarity of texts that are alike, which may be 1 too


@dataclass(frozen=True, kw_only=True)
class Signature:
    """What a document is compared by: the hash of its folded text and, unless it is short, (120,) MinHash values."""

    text_hash: str
    values: Values | None


@dataclass(frozen=True, kw_only=True)
class Copy:
    """Another document with the same text (``exact``, similarity 1) or one alike (``near``), by its id."""

    document_id: str
    kind: Kind
    similarity: float


def write_signature(connection: Connection, collection_id: int, signature: Signature) -> int:
    """Find or make the row of a text, joined to those that are alike; return its id."""
    known = _find(connection, collection_id, signature)
    if known is not None:
        return known
    alike = _alike(connection, collection_id, signature)
    values = signature.values
    new: int = connection.execute(
        insert(signatures)
        .values(
            collection_id=collection_id,
            text_hash=signature.text_hash,
            minhash=None if values is None else values.astype("<u4").tobytes(),
        )
        .returning(signatures.c.id)
    ).scalar_one()
    if values is not None:
        connection.execute(
            insert(signature_bands),
            [{"collection_id": collection_id, "band": band, "signature_id": new} for band in _bands(values)],
        )
    if alike:
        rows = [
            {"one_id": other, "other_id": new, "collection_id": collection_id, "similarity": similarity}
            for other, similarity in alike.items()
        ]
        connection.execute(insert(near_copies), rows)
    return new


def drop_signature(connection: Connection, collection_id: int, signature_id: int) -> None:
    """Forget a text that no document has any more, with its bands and links."""
    if connection.scalar(select(exists().where(documents.c.signature_id == signature_id))):
        return
    stored = connection.scalar(select(signatures.c.minhash).where(signatures.c.id == signature_id))
    if stored is not None:
        # By the whole key, which the values tell: an index by signature would be as large as the bands.
        connection.execute(
            delete(signature_bands).where(
                signature_bands.c.collection_id == collection_id,
                signature_bands.c.band.in_(_bands(_values(stored))),
                signature_bands.c.signature_id == signature_id,
            )
        )
    for end in (near_copies.c.one_id, near_copies.c.other_id):
        connection.execute(delete(near_copies).where(end == signature_id))
    connection.execute(delete(signatures).where(signatures.c.id == signature_id))


def find_copies(
    connection: Connection, collection_id: int, signature: Signature, *, besides: str, limit: int = 100
) -> list[Copy]:
    """Return the documents that a text is a copy of, except the one of id ``besides``; the most alike come first."""
    known = _find(connection, collection_id, signature)
    alike = _linked(connection, known) if known is not None else _alike(connection, collection_id, signature)
    by_share: dict[float, list[int]] = {} if known is None else {_EXACT: [known]}
    for other, similarity in alike.items():
        by_share.setdefault(similarity, []).append(other)
    found: list[Copy] = []
    # A share at a time, of which there are no more than values: what is wanted are the most alike.
    for similarity in sorted(by_share, reverse=True):
        keys: list[str] = []
        for some in chunks(by_share[similarity]):
            of_these = documents.c.signature_id.in_(some)
            wanted = select(documents.c.key).where(of_these, documents.c.key != besides).order_by(documents.c.key)
            keys += connection.scalars(wanted.limit(limit))
        kind: Kind = "exact" if similarity == _EXACT else "near"
        found += [Copy(document_id=key, kind=kind, similarity=min(similarity, 1.0)) for key in sorted(keys)]
        if len(found) >= limit:
            break
    return found[:limit]


def copies_of(connection: Connection, collection_id: int, key: str, *, limit: int = 100) -> list[Copy]:
    """Return the copies of a document that is there, as ``find_copies`` does; none of one that is not compared."""
    row = connection.execute(
        select(signatures.c.text_hash, signatures.c.minhash)
        .join(documents, documents.c.signature_id == signatures.c.id)
        .where(documents.c.collection_id == collection_id, documents.c.key == key)
    ).one_or_none()
    if row is None:
        return []
    signature = Signature(text_hash=row.text_hash, values=None if row.minhash is None else _values(row.minhash))
    return find_copies(connection, collection_id, signature, besides=key, limit=limit)


def read_signatures(connection: Connection, passage_ids: Sequence[int]) -> tuple[dict[int, int], dict[int, set[int]]]:
    """Return the signature of each passage's document, if it has one, and which of these are joined to which."""
    signature_of: dict[int, int] = {}
    for some in chunks(passage_ids):
        rows = connection.execute(
            select(passages.c.id, documents.c.signature_id)
            .join(documents, documents.c.id == passages.c.document_id)
            .where(passages.c.id.in_(some), documents.c.signature_id.is_not(None))
        )
        signature_of.update({row.id: row.signature_id for row in rows})
    joined: dict[int, set[int]] = {one: {one} for one in signature_of.values()}
    for some in chunks(sorted(joined) if len(joined) > 1 else []):
        links = select(near_copies.c.one_id, near_copies.c.other_id).where(near_copies.c.one_id.in_(some))
        for row in connection.execute(links):
            if row.other_id in joined:
                joined[row.one_id].add(row.other_id)
                joined[row.other_id].add(row.one_id)
    return signature_of, joined


def _find(connection: Connection, collection_id: int, signature: Signature) -> int | None:
    return connection.scalar(
        select(signatures.c.id).where(
            signatures.c.collection_id == collection_id, signatures.c.text_hash == signature.text_hash
        )
    )


def _linked(connection: Connection, signature_id: int) -> dict[int, float]:
    rows = connection.execute(
        select(near_copies).where(or_(near_copies.c.one_id == signature_id, near_copies.c.other_id == signature_id))
    )
    return {row.one_id if row.other_id == signature_id else row.other_id: row.similarity for row in rows}


def _alike(connection: Connection, collection_id: int, signature: Signature) -> dict[int, float]:
    """Return the texts that are alike, by id, with the share of equal values."""
    if signature.values is None:
        return {}
    wanted = {f"band_{place}": band for place, band in enumerate(_bands(signature.values))}
    candidates = sorted(set(connection.scalars(_SHARING, {"collection": collection_id, **wanted})))
    found: dict[int, float] = {}
    for some in chunks(candidates):
        rows = connection.execute(select(signatures.c.id, signatures.c.minhash).where(signatures.c.id.in_(some)))
        for row in rows:
            similarity = float(np.mean(_values(row.minhash) == signature.values))
            if similarity >= SIMILARITY:
                found[row.id] = similarity
    return found


def _bands(values: Values) -> list[int]:
    """Return the keys of a signature's bands: 64-bit hashes of their place and values."""
    return [
        int.from_bytes(
            blake2b(bytes([place]) + band.astype("<u4").tobytes(), digest_size=8).digest(), "little", signed=True
        )
        for place, band in enumerate(values.reshape(BANDS, BAND_VALUES))
    ]


def _values(stored: bytes) -> Values:
    return np.frombuffer(stored, dtype="<u4")


def _sharing(place: int) -> Select[tuple[int]]:
    return (
        select(signature_bands.c.signature_id)
        .where(
            signature_bands.c.collection_id == bindparam("collection"),
            signature_bands.c.band == bindparam(f"band_{place}"),
        )
        .order_by(signature_bands.c.signature_id)
        .limit(CROWD)
    )


_SHARING = union_all(*(select(_sharing(place).subquery().c.signature_id) for place in range(BANDS)))
