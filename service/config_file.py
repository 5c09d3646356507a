"""``sharpwave.toml`` and files with secrets: where settings come from beside the environment itself.

An option wins over a variable, a variable over a file that a variable names (``SHARPWAVE_ADMIN_KEY_FILE``), that over
``sharpwave.toml``, and that over the default.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from memory_graph.errors import InvalidInput

PREFIX = "SHARPWAVE_"
CONFIG_VARIABLE = "SHARPWAVE_CONFIG"
FILE_NAME = "sharpwave.toml"
# Those that may be read from a file of their own.
SECRETS = ("admin_key", "key", "generator_api_key", "database_url")
# Read where no settings are: see retrieval/models.py.
_VARIABLES_ONLY = ("models_dir",)
_MAX_SECRET_BYTES = 65536


@dataclass(frozen=True)
class Origin:
    """Where a value came from: ``option``, ``environment``, ``file`` or ``default``, and by which name."""

    kind: str
    name: str = ""


@dataclass(frozen=True)
class Found:
    """What the files say: values by setting, where each stands, and the ``sharpwave.toml`` that was read, or None."""

    values: Mapping[str, Any]
    origins: Mapping[str, Origin]
    file: Path | None


def variable_of(name: str) -> str:
    """Return the environment variable of a setting."""
    return PREFIX + name.upper()


def find_variable(name: str) -> str | None:
    """Return the environment variable that sets ``name``, as it is spelt there, or None; an empty one sets nothing."""
    wanted = name.upper()
    return next((one for one, value in os.environ.items() if one.upper() == wanted and value), None)


def read_files(known: Iterable[str], options: Mapping[str, object], default_data_dir: Path) -> Found:
    """Read what the environment and ``options`` leave to files.

    Errors: ``InvalidInput`` for a file that cannot be read, a name that is no setting's, or a secret that is given
    twice.
    """
    known = list(known)
    path, is_own = _find(options, default_data_dir)
    said = _parse(path) if path is not None else {}
    values: dict[str, Any] = {}
    origins: dict[str, Origin] = {}
    names = [*known, *(f"{name}_file" for name in SECRETS)]
    for key in said:
        if key in _VARIABLES_ONLY:
            raise InvalidInput(f"{path}: {key}", f"cannot stand in the file: set {variable_of(key)}")
        if key not in names:
            raise InvalidInput(f"{path}: {key}", f"is no setting{_nearest(key, names)}")
        if key == "data_dir" and is_own:
            raise InvalidInput(f"{path}: {key}", "cannot stand in the file that lies in the data folder itself")
    for name in known:
        if options.get(name) is not None:
            continue
        variable, beside = find_variable(variable_of(name)), None
        if name in SECRETS:
            beside = find_variable(f"{variable_of(name)}_FILE")
            if variable and beside:
                raise InvalidInput(beside, f"and {variable} are both set: keep one")
            if f"{name}_file" in said and name in said:
                raise InvalidInput(f"{path}: {name}", f"and {name}_file both stand there: keep one")
        if variable:
            continue
        if beside:
            values[name], origins[name] = _read_secret(os.environ[beside], beside), Origin("environment", beside)
        elif name in said:
            values[name], origins[name] = said[name], Origin("file", f"{path}: {name}")
        elif f"{name}_file" in said:
            place = f"{path}: {name}_file"
            values[name], origins[name] = _read_secret(said[f"{name}_file"], place), Origin("file", place)
    return Found(values, origins, path)


def unknown_variables(known: Iterable[str], others: Iterable[str]) -> list[tuple[str, str]]:
    """Return the variables that look like settings and are none, each with what may have been meant (or nothing)."""
    names = [variable_of(name) for name in known] + [f"{variable_of(name)}_FILE" for name in SECRETS] + list(others)
    strange = sorted(one for one in os.environ if one.upper().startswith(PREFIX) and one.upper() not in names)
    return [(one, _nearest(one.upper(), names)) for one in strange]


def _find(options: Mapping[str, object], default_data_dir: Path) -> tuple[Path | None, bool]:
    """Return the file to read, and whether it is the one in the data folder, which need not be there."""
    if named := os.environ.get(CONFIG_VARIABLE):
        return Path(named).expanduser(), False
    variable = find_variable(variable_of("data_dir"))
    folder = options.get("data_dir") or (os.environ[variable] if variable else default_data_dir)
    own = Path(str(folder)).expanduser() / FILE_NAME
    return (own, True) if own.exists() else (None, False)


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InvalidInput(str(path), f"cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(str(path), f"is not TOML: {error}") from error


def _read_secret(path: object, named_by: str) -> str:
    """Return the one line of a file. Errors: ``InvalidInput``, which never shows what stands there."""
    file = Path(str(path)).expanduser()
    try:
        if file.stat().st_size > _MAX_SECRET_BYTES:
            raise InvalidInput(named_by, f"{file} is too large for a secret")
        secret = file.read_text("utf-8").rstrip("\r\n")
    except OSError as error:
        raise InvalidInput(named_by, f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidInput(named_by, f"{file} is not UTF-8") from error
    # An empty key would leave the service open.
    if not secret.strip() or "\n" in secret:
        raise InvalidInput(named_by, f"{file} must hold one line, and not an empty one")
    return secret


def _nearest(name: str, names: list[str]) -> str:
    close = get_close_matches(name, names, n=1)
    return f"; did you mean {close[0]}?" if close else ""
