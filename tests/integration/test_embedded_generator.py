"""The embedded model for real: loads, answers in the agreed form, streams, keeps its door shut, and goes away."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from memory_graph.errors import GeneratorUnavailable
from retrieval.embedded import EmbeddedGenerator
from retrieval.prompts import answer_schema

pytestmark = pytest.mark.alone

MESSAGES = [{"role": "user", "content": 'Reply with JSON: {"answer": "Quell", "passages": [1]}'}]


def test_the_model_answers_streams_and_counts(generator_gguf: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async def scenario() -> None:
        generator = EmbeddedGenerator(generator_gguf, threads=2, context_tokens=1024)
        assert generator.name == generator_gguf.stem
        await generator.warm()
        schema = answer_schema(5)
        reply = await generator.complete(MESSAGES, schema=schema, max_tokens=120)
        assert set(json.loads(reply.text)) == {"answer", "passages"}
        assert reply.usage.prompt_tokens > 0
        deltas = [delta async for delta in generator.stream(MESSAGES, schema=schema, max_tokens=120)]
        assert "".join(delta.text for delta in deltas) == reply.text
        assert deltas[-1].finish_reason == "stop"
        assert deltas[-1].usage is not None
        few, many = await generator.count_tokens(["1", "1 2 3 4 5 6 7 8 9"])
        assert 0 < few < many
        state = await generator.check()
        assert (state.reachable, state.name) == (True, generator.name)
        await generator.aclose()
        # A closed one starts again at its next use.
        assert (await generator.check()).reachable
        await generator.aclose()

    asyncio.run(scenario())
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


def test_without_the_key_only_liveness_answers(generator_gguf: Path) -> None:
    async def scenario() -> None:
        generator = EmbeddedGenerator(generator_gguf, threads=1, context_tokens=256)
        await generator.warm()
        assert generator.address is not None
        async with httpx.AsyncClient(base_url=generator.address, trust_env=False) as stranger:
            assert generator.address.startswith("http://127.0.0.1:")
            assert (await stranger.get("/health")).json() == {"status": "ok"}
            for path in ("/", "/v1/models", "/props", "/slots", "/metrics", "/api/tags", "/lora-adapters"):
                assert (await stranger.get(path)).status_code in {401, 404}, path
            for path in (
                "/completion",
                "/v1/chat/completions",
                "/tokenize",
                "/apply-template",
                "/embedding",
                "/infill",
            ):
                assert (await stranger.post(path, json={"content": "x"})).status_code == 401, path
        await generator.aclose()

    asyncio.run(scenario())


@pytest.mark.parametrize("content", [None, b"this is no model"])
def test_a_file_that_is_no_model_is_said_and_does_not_kill_the_process(tmp_path: Path, content: bytes | None) -> None:
    gguf = tmp_path / "broken.gguf"
    if content is not None:
        gguf.write_bytes(content)

    async def scenario() -> None:
        generator = EmbeddedGenerator(gguf, threads=1)
        with pytest.raises(GeneratorUnavailable, match=r"broken\.gguf"):
            await generator.warm()
        state = await generator.check()
        assert not state.reachable
        assert "broken.gguf" in (state.reason or "")
        await generator.aclose()

    asyncio.run(scenario())


def test_a_process_that_forgets_to_close_it_ends_quietly(generator_gguf: Path) -> None:
    program = (
        "import asyncio, pathlib, sys\n"
        "from retrieval.embedded import EmbeddedGenerator\n"
        "generator = EmbeddedGenerator(pathlib.Path(sys.argv[1]), threads=1, context_tokens=256)\n"
        "asyncio.run(generator.warm())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(generator_gguf)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
