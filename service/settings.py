"""Every setting, read once from the environment (``SHARPWAVE_*``) and files; below this layer nobody looks there."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Literal

from platformdirs import user_data_path
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from ingest.stores import StoreRule, parse_store_rules
from ingest.web_addresses import HostRule, parse_host_rules
from memory_graph.errors import InvalidInput
from memory_graph.text import hash_text
from service.config_file import SECRETS, Origin, find_variable, read_files, variable_of
from service.hosts import AllowedHosts, parse_allowed_hosts


class Settings(BaseSettings):
    """The settings of one installation; each is documented in docs/configuration.md."""

    model_config = SettingsConfigDict(env_prefix="SHARPWAVE_", env_ignore_empty=True)

    data_dir: Path = Field(default_factory=lambda: user_data_path("sharpwave"))
    database_url: str = ""
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=1, le=65535)
    api_workers: int = Field(default=1, ge=1, le=256)
    shutdown_s: float = Field(default=10.0, ge=0)
    admin_key: SecretStr = SecretStr("")
    key: SecretStr = SecretStr("")
    allowed_hosts: str = ""
    searches_at_once: int = Field(default=16, ge=1, le=1000)
    searches_waiting: int = Field(default=64, ge=0)
    answers_at_once: int = Field(default=32, ge=1, le=1000)
    answers_waiting: int = Field(default=64, ge=0)
    writes_at_once: int = Field(default=8, ge=1, le=1000)
    writes_waiting: int = Field(default=32, ge=0)
    request_timeout_s: float = Field(default=300.0, gt=0)
    client_timeout_s: float = Field(default=30.0, gt=0)
    max_body_mb: int = Field(default=32, ge=1)
    max_upload_mb: int = Field(default=512, ge=1)
    embedder: str = "all-MiniLM-L6-v2"
    ranker: Path | None = None
    ranker_looks: int = Field(default=2, ge=1, le=2)
    extractor: str = "en_core_web_sm-3.8.0"
    extract_facts: bool = True
    extraction_concurrency: int = Field(default=16, ge=1, le=1024)
    extraction_tokens: int = Field(default=0, ge=0)
    filter_facts: bool = False
    reranker: str = "ms-marco-MiniLM-L-12-v2-int8"
    join_synonyms: bool = False
    generator_url: str = ""
    generator_model: str = ""
    generator_api_key: SecretStr = SecretStr("")
    generator_timeout_s: float = Field(default=60.0, gt=0)
    generator_retries: int = Field(default=2, ge=0)
    generator_max_calls: int = Field(default=32, ge=1)
    generator_breaker_failures: int = Field(default=5, ge=0)
    generator_breaker_rest_s: float = Field(default=15.0, gt=0)
    generator_max_tokens: int = Field(default=160, ge=16)
    collection_workers: int = Field(default=4, ge=1, le=1000)
    threads: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1)
    view_memory_mb: int = Field(default=8192, ge=64)
    max_file_mb: int = Field(default=100, ge=1)
    max_file_pages: int = Field(default=5_000, ge=1)
    max_file_seconds: float = Field(default=120.0, ge=1)
    max_file_memory_mb: int = Field(default=2048, ge=128)
    max_unpacked_mb: int = Field(default=64, ge=1)
    max_unpacked_ratio: int = Field(default=200, ge=2)
    max_archive_mb: int = Field(default=1024, ge=1)
    max_archive_files: int = Field(default=10_000, ge=1)
    max_archive_depth: int = Field(default=3, ge=0)
    url_hosts: str = ""
    url_timeout_s: float = Field(default=60.0, gt=0)
    stores: str = ""
    keep_questions_days: int = Field(default=0, ge=0)
    keep_jobs_days: int = Field(default=0, ge=0)
    keep_tombstones_days: int = Field(default=0, ge=0)
    keep_audit_days: int = Field(default=0, ge=0)
    duplicates: Literal["link", "skip", "keep"] = "link"
    offline: bool = False
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["text", "json"] = "text"
    log_text: bool = False
    otlp_endpoint: str = ""

    @property
    def resolved_database_url(self) -> str:
        """The database's URL: the one that was set, or SQLite in the data folder."""
        return self.database_url or f"sqlite:///{self.data_dir.expanduser().absolute() / 'sharpwave.db'}"

    @property
    def generator_urls(self) -> list[str]:
        """The addresses of the model servers, none for the embedded model.

        Errors: ``InvalidInput`` for one that is no address; it is not repeated, as it may hold a password.
        """
        urls = [url.strip() for url in self.generator_url.split(",") if url.strip()]
        for n, url in enumerate(urls, start=1):
            if not re.match(r"https?://[^/\s]+\S*$", url):
                raise InvalidInput(
                    "SHARPWAVE_GENERATOR_URL", f"address {n} of {len(urls)} must be like http://host:8000/v1."
                )
        if self.generator_url and not urls:
            raise InvalidInput("SHARPWAVE_GENERATOR_URL", "holds no address.")
        return urls

    @property
    def host_rules(self) -> tuple[HostRule, ...]:
        """The hosts that documents may be fetched from. Errors: ``InvalidInput``."""
        return parse_host_rules(self.url_hosts, "SHARPWAVE_URL_HOSTS")

    @property
    def host_names(self) -> AllowedHosts:
        """The names that the service answers to. Errors: ``InvalidInput``."""
        return parse_allowed_hosts(self.allowed_hosts, "SHARPWAVE_ALLOWED_HOSTS")

    @property
    def store_rules(self) -> tuple[StoreRule, ...]:
        """The stores that documents may be read from. Errors: ``InvalidInput``."""
        return parse_store_rules(self.stores, "SHARPWAVE_STORES")

    @property
    def views_dir(self) -> Path:
        """Where views of the database's collections are saved; another database has another place."""
        place = hash_text(self.database_url)[:12] if self.database_url else "own"
        return self.data_dir.expanduser().absolute() / "views" / place

    @property
    def is_open(self) -> bool:
        """Whether no first key is set; a key in the database ends the open mode too."""
        return not self.admin_key.get_secret_value()


def read_settings(**overrides: object) -> Settings:
    """Read the settings; ``overrides`` that are not None win over the environment, and that over files.

    Errors: ``InvalidInput`` naming the environment variable, or the place in a file, and what is wrong with it.
    """
    return explain_settings(**overrides)[0]


def explain_settings(**overrides: object) -> tuple[Settings, dict[str, Origin], Path | None]:
    """Read the settings as ``read_settings`` does; also where each comes from, and the file that was read, or None."""
    options = {name: value for name, value in overrides.items() if value is not None}
    found = read_files(Settings.model_fields, options, _default_data_dir())
    values: dict[str, Any] = {**found.values, **options}
    try:
        settings = Settings(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        place = found.origins.get(name)
        was = "" if name in SECRETS else f" (it is {first['input']!r})"
        raise InvalidInput(place.name if place else variable_of(name), f"{first['msg']}{was}") from error
    # Wrong addresses are refused here too, not at their first use.
    _ = settings.generator_urls, settings.host_rules, settings.host_names, settings.store_rules
    origins = {}
    for name in Settings.model_fields:
        variable = find_variable(variable_of(name))
        if name in options:
            origins[name] = Origin("option", f"--{name.replace('_', '-')}")
        elif name in found.origins:
            origins[name] = found.origins[name]
        else:
            origins[name] = Origin("environment", variable) if variable else Origin("default")
    return settings, origins, found.file


def _default_data_dir() -> Path:
    return user_data_path("sharpwave")
