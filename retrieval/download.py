"""Fetching bytes: one resumable download, the user's package index, and the members of a wheel read as data."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import ssl
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import BinaryIO
from urllib.parse import urlsplit
from urllib.request import url2pathname

import httpx

from memory_graph.errors import ModelMissing

BLOCK_BYTES = 1 << 18
TRIES = 3  # of one download, each going on where the last one broke off
HUB_CONNECT_SECONDS = 3.0
CONNECT_SECONDS = 10.0
READ_SECONDS = 30.0
RESOLVE_SECONDS = 600.0

# Nothing listens there or nothing leads there: trying again within the same pull would only make the user wait.
_NO_CONNECTION = (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError, httpx.UnsupportedProtocol)

OnBytes = Callable[[int, int | None], None]
"""Called with the bytes of one download that are here and its total, or None where the server does not say."""

Resolve = Callable[[Sequence[str]], Sequence[str]]
"""From exact requirements (``name==version``) to the URL of each one's wheel, in the same order."""


class MirrorFailed(Exception):
    """One mirror did not give what was asked; the message says why. It never leaves ``retrieval.models``."""


class BadBytes(MirrorFailed):
    """One mirror gave bytes that are not the ones that the registry names."""


def resolve_wheels(requirements: Sequence[str]) -> list[str]:
    """Ask the user's own pip where the wheels are, without installing or running any of them.

    Raises MirrorFailed with pip's own reason.
    """
    options = ["--quiet", "--dry-run", "--no-deps", "--ignore-installed", "--ignore-requires-python", "--no-input"]
    # Building a source package would run its code; these packages are data.
    options += ["--only-binary=:all:", "--disable-pip-version-check", "--retries=1", "--timeout=10", "--report=-"]
    # -P: a folder called pip where the user stands is not pip.
    command = [sys.executable, "-P", "-m", "pip", "install", *options, *requirements]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=RESOLVE_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise MirrorFailed(f"pip did not answer within {RESOLVE_SECONDS:.0f} s") from error
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        reasons = [line for line in lines if line.startswith("ERROR")] or lines or [f"status {done.returncode}"]
        raise MirrorFailed(f"pip: {reasons[-1].removeprefix('ERROR: ')}")
    try:
        found = {
            _normalise(item["metadata"]["name"]): str(item["download_info"]["url"])
            for item in json.loads(done.stdout)["install"]
        }
        return [found[_normalise(requirement.partition("==")[0])] for requirement in requirements]
    except (ValueError, KeyError, TypeError) as error:
        raise MirrorFailed("pip gave no readable report; version 22.2 or newer is needed") from error


def _normalise(package: str) -> str:
    return package.lower().replace("_", "-").replace(".", "-")


class Downloader:
    """The connections of one pull; it remembers which hosts cannot be reached and does not try them twice."""

    def __init__(self) -> None:
        # The system's certificates, so that a company's own authority works; proxies come from the environment.
        self._client = httpx.Client(
            verify=ssl.create_default_context(), follow_redirects=True, headers={"Accept-Encoding": "identity"}
        )
        self._unreachable: dict[str, str] = {}

    def __enter__(self) -> Downloader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def fetch(
        self,
        url: str,
        target: Path,
        *,
        size: int | None = None,
        connect_seconds: float = CONNECT_SECONDS,
        on_bytes: OnBytes = lambda done, total: None,
    ) -> None:
        """Download ``url`` to ``target``, going on from ``target``'s ``.part`` file where an earlier try stopped.

        ``size`` in bytes, where known, ends a download that is too long. Raises MirrorFailed, or BadBytes for a
        wrong size; a broken download leaves its ``.part`` file for the next try.
        """
        try:
            host = httpx.URL(url).netloc.decode()  # without a user name and password
        except httpx.InvalidURL as error:
            raise MirrorFailed(f"the address of {target.name} is not a URL ({error})") from error
        if host in self._unreachable:
            raise MirrorFailed(self._unreachable[host])
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(target.name + ".part")
        timeout = httpx.Timeout(READ_SECONDS, connect=connect_seconds)
        trouble = ""
        for _ in range(TRIES):
            try:
                trouble = self._go_on(url, part, size, timeout, on_bytes)
            except _NO_CONNECTION as error:
                self._unreachable[host] = f"{host} cannot be reached ({str(error) or type(error).__name__})"
                raise MirrorFailed(self._unreachable[host]) from error
            except (httpx.TransportError, httpx.TooManyRedirects, httpx.DecodingError) as error:
                trouble = str(error) or type(error).__name__
            if not trouble:
                os.replace(part, target)
                return
        raise MirrorFailed(f"{host}: the download of {target.name} broke off {TRIES} times ({trouble})")

    def _go_on(self, url: str, part: Path, size: int | None, timeout: httpx.Timeout, on_bytes: OnBytes) -> str:
        """Fetch what ``part`` still lacks; return "" when it is whole, else why another try is needed."""
        have = part.stat().st_size if part.exists() else 0
        if size is not None and have >= size > 0:
            return ""  # whole, or too long: the hash decides
        headers = {"Range": f"bytes={have}-"} if have else {}
        with self._client.stream("GET", url, headers=headers, timeout=timeout) as response:
            span = response.headers.get("Content-Range", "")
            if have and response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                if span == f"bytes */{have}":
                    return ""
                part.unlink()
                return "the server has another length than the part kept here"
            if not response.is_success:
                raise MirrorFailed(f"{response.url.host} answered {response.status_code} for {response.url.path}")
            if response.status_code == httpx.codes.PARTIAL_CONTENT and not span.startswith(f"bytes {have}-"):
                part.unlink(missing_ok=True)
                return "the server sent another range than asked for"
            if response.status_code != httpx.codes.PARTIAL_CONTENT:
                have = 0  # the server ignored the range and sends everything
            # What is encoded in spite of our asking has a length of its own.
            length = "" if "Content-Encoding" in response.headers else response.headers.get("Content-Length", "")
            total = size if size is not None else (have + int(length) if length.isdigit() else None)
            with part.open("ab" if have else "wb") as out:
                for block in response.iter_bytes():  # as it comes: a buffered tail would be lost
                    out.write(block)
                    have += len(block)
                    on_bytes(have, total)
                    if size is not None and have > size:
                        break
        if size is not None and have > size:
            part.unlink()
            raise BadBytes(f"{part.stem}: expected {size} bytes, the server sends more")
        # Without a Content-Length a cut connection looks like the end.
        return "" if total is None or have == total else f"{have} of {total} bytes came"

    def fetch_wheel(self, url: str, folder: Path, on_bytes: OnBytes) -> Path:
        """Return the path of the wheel at ``url``: a local one where it lies, another one downloaded to ``folder``."""
        parts = urlsplit(url)
        if parts.scheme == "file":
            local = Path(url2pathname(parts.path))
            if not local.is_file():
                raise MirrorFailed(f"{local} does not exist")
            return local
        target = folder / PurePosixPath(url2pathname(parts.path)).name
        if not target.exists():
            self.fetch(url, target, on_bytes=on_bytes)
        return target


def copy_member(wheel: Path, pattern: str, out: BinaryIO, *, limit: int) -> None:
    """Append to ``out`` the one member of ``wheel`` whose name matches ``pattern``, reading at most ``limit`` bytes.

    Nothing is unpacked by its own name, so a member cannot choose where it lands. Raises MirrorFailed where not
    exactly one member matches, BadBytes where it is unsafe, too long or damaged.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            members = [member for member in archive.infolist() if fnmatchcase(member.filename, pattern)]
            if len(members) != 1:
                raise MirrorFailed(f"{wheel.name}: {len(members)} members match {pattern!r}, expected one")
            name = PurePosixPath(members[0].filename.replace("\\", "/"))
            if name.is_absolute() or ".." in name.parts or members[0].is_dir():
                raise BadBytes(f"{wheel.name}: refused the unsafe member {members[0].filename!r}")
            if members[0].file_size > limit:
                raise BadBytes(f"{wheel.name}: {name} has {members[0].file_size} bytes, expected at most {limit}")
            with archive.open(members[0]) as source:
                # The sizes in a zip's directory may lie; zipfile stops at them, so the limit above holds.
                while block := source.read(BLOCK_BYTES):
                    out.write(block)
    # RuntimeError is zipfile's word for an encrypted member, NotImplementedError for a compression it lacks.
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise BadBytes(f"{wheel.name} is damaged ({error})") from error


def check_file(folder: Path, path: str, size: int, sha256: str) -> None:
    """Raise BadBytes unless ``folder/path`` has this size in bytes and this sha256 in hex."""
    file = folder / path
    if not file.is_file():
        raise BadBytes(f"{path} is missing")
    if (found := file.stat().st_size) != size:
        raise BadBytes(f"{path}: expected {size} bytes, found {found}")
    with file.open("rb") as source:
        digest = hashlib.file_digest(source, "sha256").hexdigest()
    if digest != sha256:
        raise BadBytes(f"{path}: expected sha256 {sha256}, found {digest}")


def check_space(root: Path, needed: int, what: str) -> None:
    """Raise ModelMissing where the disk of ``root`` has fewer than ``needed`` bytes free."""
    free = shutil.disk_usage(root).free
    if needed > free:
        raise ModelMissing(
            f"not enough space in {root} for {what}: "
            f"{needed} bytes ({in_megabytes(needed)}) are needed, {in_megabytes(free)} are free"
        )


def put_in_place(tree: Path, folder: Path, aside: Path) -> None:
    """Rename the finished ``tree`` to ``folder``; a damaged folder that stands there is first moved ``aside``."""
    for path in tree.rglob("*"):
        if path.is_file():
            with path.open("r+b") as source:
                os.fsync(source.fileno())  # or a power cut could leave a manifest without the bytes it vouches for
    shutil.rmtree(aside, ignore_errors=True)
    if folder.exists():
        os.replace(folder, aside)
    os.replace(tree, folder)


def in_megabytes(count: int) -> str:
    """Write a number of bytes for people."""
    return f"{count / 1e6:.1f} MB"
