"""A client of Sharpwave, long-term memory for a language model: ``Client`` waits, ``AsyncClient`` is for asyncio."""

from sharpwave_client.async_client import AsyncClient
from sharpwave_client.client import Client
from sharpwave_client.errors import (
    ApiError,
    Conflict,
    ConnectionFailed,
    Forbidden,
    InvalidRequest,
    JobFailed,
    NotFound,
    RateLimited,
    ServerFault,
    SharpwaveError,
    TimedOut,
    Unauthorized,
    Unavailable,
    UnexpectedAnswer,
)
from sharpwave_client.models import Answer, Document, Found, Hit, Job, NewDocument, Note, SearchResult, Token
from sharpwave_client.retrying import Retry

__all__ = [
    "Answer",
    "ApiError",
    "AsyncClient",
    "Client",
    "Conflict",
    "ConnectionFailed",
    "Document",
    "Forbidden",
    "Found",
    "Hit",
    "InvalidRequest",
    "Job",
    "JobFailed",
    "NewDocument",
    "NotFound",
    "Note",
    "RateLimited",
    "Retry",
    "SearchResult",
    "ServerFault",
    "SharpwaveError",
    "TimedOut",
    "Token",
    "Unauthorized",
    "Unavailable",
    "UnexpectedAnswer",
]
