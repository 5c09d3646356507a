from __future__ import annotations

import asyncio

import numpy as np
import pytest

from memory_graph.errors import GeneratorOutputInvalid, GeneratorTimeout, GeneratorUnavailable
from retrieval.testing import HashEmbedder, ScriptedGenerator


def test_embeddings_are_unit_vectors_and_always_the_same() -> None:
    embedder = HashEmbedder(32)
    vectors = embedder.encode(["The salt window", "", "...", "the SALT window"])
    assert vectors.dtype == np.float32
    assert vectors.shape == (4, embedder.dim)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert np.array_equal(vectors[0], vectors[3])
    assert np.array_equal(vectors, HashEmbedder(32).encode(["The salt window", "", "...", "the SALT window"]))
    assert embedder.encode([]).shape == (0, 32)


def test_texts_that_share_words_are_nearer() -> None:
    query, near, far = HashEmbedder(256).encode(
        ["mayor of verrin", "odile marsh is the mayor of verrin", "ropes are made on cliffs"]
    )
    assert query @ near > query @ far


def test_the_script_is_followed_and_recorded() -> None:
    async def scenario() -> None:
        generator = ScriptedGenerator(["one two", GeneratorTimeout("slow")])
        messages = [{"role": "user", "content": "Hi"}]
        assert (await generator.check()).reachable
        deltas = [delta async for delta in generator.stream(messages, schema=None, max_tokens=9)]
        assert [delta.text for delta in deltas] == ["one ", "two", ""]
        assert deltas[-1].finish_reason == "stop"
        with pytest.raises(GeneratorTimeout):
            await generator.complete(messages, schema=None, max_tokens=9)
        with pytest.raises(GeneratorUnavailable):
            await generator.complete(messages, schema=None, max_tokens=9)
        assert not (await generator.check()).reachable
        assert generator.prompts == [messages] * 3
        await generator.aclose()
        assert generator.closed

    asyncio.run(scenario())


def test_a_script_weighs_labels_and_remembers_temperatures() -> None:
    async def scenario() -> None:
        generator = ScriptedGenerator([{"yes": 0.75}, "text", {"yes": 1.0}, "drawn"])
        messages = [{"role": "user", "content": "Hi"}]
        weighed = await generator.weigh(messages, ["yes", "no"])
        assert weighed.probabilities == {"yes": 0.75, "no": 0.0}
        with pytest.raises(GeneratorOutputInvalid):
            await generator.weigh(messages, ["yes", "no"])
        with pytest.raises(GeneratorOutputInvalid):
            await generator.complete(messages, schema=None, max_tokens=9)
        assert (await generator.complete(messages, schema=None, max_tokens=9, temperature=0.7)).text == "drawn"
        assert generator.temperatures == [0.0, 0.7]

    asyncio.run(scenario())
