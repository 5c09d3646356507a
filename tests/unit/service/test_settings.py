"""Settings: where they come from, and what a wrong one is called."""

from __future__ import annotations

from pathlib import Path

import pytest

from memory_graph.errors import InvalidInput
from service.settings import Settings, read_settings


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"SHARPWAVE_{name.upper()}", raising=False)


def test_the_defaults_are_open_on_loopback() -> None:
    settings = read_settings()
    assert (settings.host, settings.port, settings.is_open) == ("127.0.0.1", 8000, True)
    assert settings.threads >= 1


def test_the_environment_is_read_and_an_argument_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SHARPWAVE_PORT", "9000")
    monkeypatch.setenv("SHARPWAVE_DATA_DIR", str(tmp_path / "environment"))
    settings = read_settings(port=None, data_dir=tmp_path / "argument")
    assert (settings.port, settings.data_dir) == (9000, tmp_path / "argument")


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHARPWAVE_PORT", "")
    monkeypatch.setenv("SHARPWAVE_ADMIN_KEY", "")
    settings = read_settings()
    assert settings.port == 8000
    assert settings.is_open


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "70000"),
        ("PORT", "-1"),
        ("THREADS", "0"),
        ("MAX_FILE_MB", "0"),
        ("GENERATOR_TIMEOUT_S", "0"),
        ("GENERATOR_MAX_TOKENS", "1"),
        ("GENERATOR_RETRIES", "-1"),
        ("GENERATOR_MAX_CALLS", "0"),
        ("GENERATOR_BREAKER_FAILURES", "-1"),
        ("GENERATOR_BREAKER_REST_S", "0"),
        ("URL_HOSTS", "ftp://docs.example.org"),
        ("URL_HOSTS", "https://docs.example.org/page"),
        ("URL_TIMEOUT_S", "0"),
        ("STORES", "file"),
        ("STORES", "simplecache"),
        ("LOG_LEVEL", "loud"),
        ("OFFLINE", "perhaps"),
        ("EXTRACT_FACTS", "7"),
    ],
)
def test_a_wrong_value_names_its_variable(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"SHARPWAVE_{name}", value)
    with pytest.raises(InvalidInput, match=f"SHARPWAVE_{name}: ") as caught:
        read_settings()
    assert value in caught.value.message
    assert "\n" not in caught.value.message


def test_a_key_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHARPWAVE_ADMIN_KEY", "the-key")
    monkeypatch.setenv("SHARPWAVE_GENERATOR_API_KEY", "the-key")
    settings = read_settings()
    assert not settings.is_open
    assert "the-key" not in repr(settings)
    assert "the-key" not in settings.model_dump_json()


def test_the_database_is_a_file_of_the_data_folder_unless_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert read_settings(data_dir=tmp_path).resolved_database_url == f"sqlite:///{tmp_path}/sharpwave.db"
    monkeypatch.chdir(tmp_path)
    assert read_settings(data_dir=Path("here")).resolved_database_url == f"sqlite:///{tmp_path}/here/sharpwave.db"
    monkeypatch.setenv("SHARPWAVE_DATABASE_URL", "postgresql://host/name")
    assert read_settings().resolved_database_url == "postgresql://host/name"


def test_several_addresses_of_model_servers_are_separated_by_commas() -> None:
    assert read_settings().generator_urls == []
    settings = read_settings(generator_url=" http://a:1/v1, https://b/v1 ,")
    assert settings.generator_urls == ["http://a:1/v1", "https://b/v1"]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (",", "holds no address"),
        ("http://a/v1,gpu-2:8000", "address 2 of 2 must be like http://host:8000/v1"),
        ("http://a/v1 http://user:hidden@b/v1", "address 1 of 1 must be like"),
        ("http:///v1", "address 1 of 1"),
    ],
)
def test_an_address_that_is_none_is_refused_without_repeating_it(url: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=f"^SHARPWAVE_GENERATOR_URL: .*{said}") as caught:
        read_settings(generator_url=url)
    assert "hidden" not in caught.value.message
