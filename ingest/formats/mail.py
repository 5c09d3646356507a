"""E-mail (RFC 5322, MIME): the text of a message, and what is attached to it."""

from __future__ import annotations

import email
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import Message
from email.policy import compat32
from email.utils import parsedate_to_datetime

from ingest.formats.converted import PARSER_ERRORS
from ingest.formats.encodings import decode_text
from ingest.formats.html import convert_html
from ingest.formats.limits import ReadLimits, check_length
from ingest.formats.titles import UNSTORABLE
from memory_graph.errors import UnreadableDocument

SHOWN = ("From", "To", "Cc", "Date", "Subject")
MAX_HEADER_CHARS = 2_000  # of each that is shown: a message may have gone to thousands
MAX_PARTS = 1_000


@dataclass(frozen=True, kw_only=True)
class Mail:
    """A message: what it says, when it was sent, and its attachments as (file name, bytes)."""

    text: str
    title: str
    sent_at: datetime | None
    attachments: tuple[tuple[str, bytes], ...]


def read_mail(name: str, data: bytes, limits: ReadLimits) -> Mail:
    """Read a message: plain text where there is some, else the HTML; errors: ``UnreadableDocument``."""
    try:
        message = email.message_from_bytes(data, policy=compat32)
        headers = {field: _read_header(message, field) for field in SHOWN}
        if not any(headers.values()):
            raise UnreadableDocument(name, "damaged", "is no e-mail: it has none of the usual headers.")
        texts: list[str] = []
        attachments: list[tuple[str, bytes]] = []
        for number, part in enumerate(_leaves(message)):
            if number >= MAX_PARTS:
                raise UnreadableDocument(name, "too_large", f"has over {MAX_PARTS:,} parts.")
            file_name = _file_name(part)
            kind = part.get_content_type()
            if kind == "message/rfc822":
                inner = part.get_payload(0)
                attachments.append((_name_of(file_name, number, ".eml"), bytes(inner)))  # type: ignore[arg-type]
            elif file_name or part.get_content_disposition() == "attachment":
                attachments.append((_name_of(file_name, number, ""), _payload(part)))
            elif kind in ("text/plain", "text/html"):
                texts.append(_read_text(name, part, limits))
    except (MessageError, *PARSER_ERRORS):
        raise UnreadableDocument(name, "damaged", "is no e-mail, or a damaged one. Save it again.") from None
    body = "\n\n".join(text.strip() for text in texts if text.strip())
    check_length(name, len(body), limits)
    shown = "\n".join(f"{field}: {value}" for field, value in headers.items() if value)
    text = f"{shown}\n\n{body}" if body else (shown if headers["Subject"] else "")
    return Mail(text=text, title=headers["Subject"][:300], sent_at=_read_date(message), attachments=tuple(attachments))


def _leaves(message: Message) -> Iterator[Message]:
    """Yield the parts that have no parts, and messages in it; of alternatives one, the plain text if it is there."""
    waiting = [message]
    while waiting:
        part = waiting.pop()
        payload = part.get_payload()
        if part.get_content_type() == "message/rfc822" or not isinstance(payload, list):
            yield part
            continue
        children = [child for child in payload if isinstance(child, Message)]
        if part.get_content_type() == "multipart/alternative" and children:
            plain = [child for child in children if child.get_content_type() == "text/plain"]
            children = plain[:1] or children[-1:]  # the last is the richest: RFC 2046, 5.1.4
        waiting.extend(reversed(children))


def _read_header(message: Message, field: str) -> str:
    raw = message.get(field)
    if raw is None:
        return ""
    raw = str(raw)[: 5 * MAX_HEADER_CHARS]  # before it is decoded, which takes the square of its length
    try:
        value = str(make_header(decode_header(raw)))
    except (MessageError, *PARSER_ERRORS):  # an encoded word that is broken: better as it stands than lost
        value = raw
    return " ".join(UNSTORABLE.sub("\ufffd", value).split())[:MAX_HEADER_CHARS]


def _read_date(message: Message) -> datetime | None:
    try:
        sent = parsedate_to_datetime(str(message.get("Date", "")))
        return sent.astimezone(UTC) if sent.tzinfo else sent.replace(tzinfo=UTC)
    except (ValueError, TypeError, OverflowError, IndexError):  # many programs write dates of their own kind
        return None


def _file_name(part: Message) -> str:
    try:
        name = part.get_filename()
        name = str(make_header(decode_header(name))) if name else ""
    except (MessageError, *PARSER_ERRORS):
        name = "attachment"
    # Some programs send whole paths; the name is a label, and nothing is written under it.
    return UNSTORABLE.sub("\ufffd", name).replace("\\", "/").rsplit("/", 1)[-1].strip()[:200]


def _name_of(file_name: str, number: int, suffix: str) -> str:
    name = file_name or f"part-{number + 1}"
    return name if name.lower().endswith(suffix) else name + suffix


def _payload(part: Message) -> bytes:
    data = part.get_payload(decode=True)
    return data if isinstance(data, bytes) else b""


def _read_text(name: str, part: Message, limits: ReadLimits) -> str:
    data = _payload(part)
    if not data.strip():
        return ""
    declared = (part.get_content_charset() or "").lower()
    text, _ = decode_text(name, data, limits, declared)
    return convert_html(name, text).text if part.get_content_type() == "text/html" else text
