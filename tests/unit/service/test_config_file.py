"""Settings from files: which source wins, what is refused, and what is shown of a secret."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from memory_graph.errors import InvalidInput
from service.cli import app
from service.commands.config import MASK
from service.config_file import SECRETS
from service.settings import Settings, explain_settings, read_settings


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The data folder, and an environment that names nothing else."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"SHARPWAVE_{name.upper()}", raising=False)
    monkeypatch.delenv("SHARPWAVE_CONFIG", raising=False)
    monkeypatch.setenv("SHARPWAVE_DATA_DIR", str(tmp_path))
    return tmp_path


def write(folder: Path, text: str) -> Path:
    path = folder / "sharpwave.toml"
    path.write_text(text, "utf-8")
    return path


def test_each_source_wins_over_the_next(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(folder, 'port = 9001\nhost = "::1"\nthreads = 3\n')
    monkeypatch.setenv("SHARPWAVE_HOST", "127.0.0.2")
    monkeypatch.setenv("SHARPWAVE_THREADS", "")  # empty: as good as none
    settings, origins, file = explain_settings(port=9002)
    assert (settings.port, settings.host, settings.threads, settings.log_level) == (9002, "127.0.0.2", 3, "info")
    shown = {name: (origins[name].kind, origins[name].name) for name in ("port", "host", "threads", "log_level")}
    assert shown == {
        "port": ("option", "--port"),
        "host": ("environment", "SHARPWAVE_HOST"),
        "threads": ("file", f"{path}: threads"),
        "log_level": ("default", ""),
    }
    assert file == path


def test_a_file_that_is_named_is_read_in_place_of_that_in_the_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    write(folder, "port = 9001\n")
    elsewhere = tmp_path_factory.mktemp("etc")
    monkeypatch.setenv("SHARPWAVE_CONFIG", str(write(elsewhere, f'threads = 2\ndata_dir = "{elsewhere}"\n')))
    assert (read_settings().port, read_settings().threads) == (8000, 2)
    assert read_settings().data_dir == folder  # the environment wins
    monkeypatch.delenv("SHARPWAVE_DATA_DIR")
    assert read_settings().data_dir == elsewhere
    monkeypatch.setenv("SHARPWAVE_CONFIG", str(elsewhere / "nothing.toml"))
    with pytest.raises(InvalidInput, match=r"nothing\.toml: cannot be read: No such file"):
        read_settings()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prot = 9000", r"sharpwave\.toml: prot: is no setting; did you mean port\?"),
        ("wholly_unlike = 1", r"wholly_unlike: is no setting$"),
        ("[server]\nport = 1", r"server: is no setting"),
        ("port = 70000", r"sharpwave\.toml: port: Input should be less than or equal to 65535 \(it is 70000\)"),
        ('log_level = "loud"', r"sharpwave\.toml: log_level: "),
        ("port = ", r"is not TOML"),
        ('models_dir = "/m"', r"set SHARPWAVE_MODELS_DIR"),
        ('data_dir = "/m"', r"cannot stand in the file that lies in the data folder"),
        ('admin_key = "a"\nadmin_key_file = "/b"', r"admin_key_file both stand there"),
        ('admin_key_file = "/nowhere/key"', r"admin_key_file: /nowhere/key cannot be read: No such file"),
        ("admin_key_file = 3", r"admin_key_file: "),
    ],
)
def test_what_is_wrong_is_named_with_its_place(folder: Path, text: str, message: str) -> None:
    write(folder, text)
    with pytest.raises(InvalidInput, match=message):
        read_settings()


@pytest.mark.parametrize("name", SECRETS)
def test_secrets_come_from_files_too(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    secret = folder / "secret"
    secret.write_text("postgresql://u:hush@db/x\n")
    write(folder, f'{name} = "postgresql://u:other@db/x"\n')
    monkeypatch.setenv(f"SHARPWAVE_{name.upper()}_FILE", str(secret))
    settings, origins, _ = explain_settings()
    value = getattr(settings, name)
    assert (value if isinstance(value, str) else value.get_secret_value()) == "postgresql://u:hush@db/x"
    assert origins[name].name == f"SHARPWAVE_{name.upper()}_FILE"
    monkeypatch.setenv(f"SHARPWAVE_{name.upper()}", "sqlite:///x")
    with pytest.raises(InvalidInput, match="are both set: keep one"):
        read_settings()


@pytest.mark.parametrize("content", [b"", b"\n", b"  \n", b"two\nlines\n", b"\xff\xfe", b"x" * 70_000])
def test_a_file_without_a_secret_does_not_leave_the_service_open(
    folder: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    (folder / "key").write_bytes(content)
    monkeypatch.setenv("SHARPWAVE_ADMIN_KEY_FILE", str(folder / "key"))
    with pytest.raises(InvalidInput, match="SHARPWAVE_ADMIN_KEY_FILE"):
        read_settings()


def test_the_command_shows_all_settings_and_no_secret(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, 'generator_url = "http://me:hush@gpu-1/v1,http://token@gpu-2/v1"\nport = 9001\n')
    monkeypatch.setenv("SHARPWAVE_ADMIN_KEY", "hush")
    monkeypatch.setenv("SHARPWAVE_DATABASE_URL", "postgresql://sharpwave:hush@db/x")
    monkeypatch.setenv("SHARPWAVE_THREDS", "2")
    ran = CliRunner().invoke(app, ["config", "--json"])
    assert ran.exit_code == 0
    found = json.loads(ran.stdout)
    assert set(found["settings"]) == set(Settings.model_fields)
    assert found["settings"]["port"] == {
        "value": 9001, "variable": "SHARPWAVE_PORT", "from": "file", "at": f"{folder / 'sharpwave.toml'}: port",
    }  # fmt: skip
    assert found["settings"]["admin_key"]["value"] == MASK
    assert found["settings"]["generator_api_key"]["value"] == ""
    assert found["settings"]["database_url"]["value"] == f"postgresql://sharpwave:{MASK}@db/x"
    assert found["settings"]["generator_url"]["value"] == f"http://me:{MASK}@gpu-1/v1,http://{MASK}@gpu-2/v1"
    assert found["unknown_variables"] == ["SHARPWAVE_THREDS"]
    assert "did you mean SHARPWAVE_THREADS?" in ran.stderr
    told = CliRunner().invoke(app, ["config"], env={"COLUMNS": "300"})
    assert "hush" not in ran.output + told.output
    assert "token@" not in ran.output + told.output


def test_the_option_before_the_verb_names_the_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = write(tmp_path_factory.mktemp("etc"), "port = 9009\n")
    monkeypatch.setenv("SHARPWAVE_CONFIG", "")  # so that it is put back
    ran = CliRunner().invoke(app, ["--config", str(path), "config", "--json"])
    assert json.loads(ran.stdout)["settings"]["port"]["value"] == 9009
