"""The images, the compose file and the gateway agree with the project that they carry."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.routing import Route

from services.http.keys import GA4_PATH, SEGMENT_PATHS
from services.ingest.app import create_ingest_app
from services.ingest.settings import IngestSettings
from services.kernel.settings import HttpSettings, catalogue
from services.recommender.app import create_app as create_recommender_app
from services.recommender.settings import RecommenderSettings

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text()
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
GATEWAY = (ROOT / "deploy/gateway/nginx.conf").read_text()
SERVERS = ("ingest", "profiler", "recommender")
# Of each service's own, not reached through the gateway.
ITS_OWN = {"/healthz", "/health", "/readyz", "/ready", "/metrics", "/openapi.json"}
PAGE = "/docs"  # and the files that it loads: the recommender's


def test_one_version_everywhere() -> None:
    version = PROJECT["project"]["version"]
    images = {name: service["image"] for name, service in COMPOSE["services"].items() if "build" in service}
    assert set(images.values()) == {
        f"freshet-{name}:{version}" for name in (*SERVERS, "gateway", "cli", "trainer")
    }
    assert f"ARG VERSION={version}\n" in DOCKERFILE


def test_every_image_has_an_extra_and_a_command_in_exec_form() -> None:
    stages = set(re.findall(r"^FROM (?:server|job|bare) AS (\w+)$", DOCKERFILE, re.MULTILINE))
    images = stages - {"server", "job", "runtime"}
    assert images == {*SERVERS, "cli", "trainer", "gateway"}
    assert images - {"gateway"} <= PROJECT["project"]["optional-dependencies"].keys()
    assert all(line.startswith('["') for line in re.findall(r"^(?:ENTRYPOINT|CMD) (.*)$", DOCKERFILE, re.M))
    for argument in {service["build"]["args"]["SERVICE"] for service in built()}:
        assert argument in images


def built() -> list[dict[str, Any]]:
    """The services of the compose file that are ours."""
    return [service for service in COMPOSE["services"].values() if "build" in service]


def test_images_and_compose_use_settings_that_exist() -> None:
    known = {name for name, _, _ in catalogue()}
    used = set(re.findall(r"\bFRESHET_\w+(?==)", DOCKERFILE))
    for service in COMPOSE["services"].values():
        used |= {name for name in service.get("environment", {}) if name.startswith("FRESHET_")}
    assert used <= known
    assert "FRESHET_PORT" not in used  # platforms say PORT


def rooms_kept() -> dict[str, tuple[str, ...]]:
    """What shrink.py leaves in the servers' images."""
    tree = ast.parse((ROOT / "deploy/image/shrink.py").read_text())
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_SERVERS":
            kept: dict[str, tuple[str, ...]] = ast.literal_eval(node.value)
            return kept
    raise AssertionError("shrink.py names no rooms")


def imported_rooms(room: str) -> set[str]:
    """The rooms that modules of `room` import, anywhere in them."""
    found = set()
    for path in (ROOT / "services" / room).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("services."):
                found.add((node.module or "").split(".")[1])
    return found


@pytest.mark.parametrize("service", SERVERS)
def test_an_image_keeps_every_room_that_its_service_imports(service: str) -> None:
    kept = rooms_kept()[service]
    assert service in kept
    assert {needed for room in kept for needed in imported_rooms(room)} <= set(kept)


def chosen_by_gateway(method: str, path: str) -> str:
    """The upstream that nginx takes: the first expression that matches, or the default."""
    block = re.search(r'map "\$request_method \$request_uri" \$freshet_service \{(.*?)\}', GATEWAY, re.DOTALL)
    assert block is not None
    for expression, upstream in re.findall(r'"~(.*)"\s+(\S+);', block[1]):
        if re.search(expression, f"{method} {path}"):
            return str(upstream)
    default = re.search(r"default\s+(\S+);", block[1])
    assert default is not None
    return default[1]


def calls_of(routes: list[Any]) -> Iterator[tuple[str, str]]:
    """(method, a path as a client sends it) of each call that clients make."""
    for route in routes:
        if isinstance(route, Route) and not (route.path in ITS_OWN or route.path.startswith(PAGE)):
            for method in route.methods or ():
                yield method, re.sub(r"\{\w+:path\}", "gid%3A%2F%2Fshop%2F1%3Fa", route.path)


def test_the_gateway_sends_every_call_where_it_is_answered() -> None:
    ingest = create_ingest_app(IngestSettings())
    recommender = create_recommender_app(RecommenderSettings())
    writes, reads = list(calls_of(ingest.router.routes)), list(calls_of(recommender.router.routes))
    assert len(writes) == 6 + len(SEGMENT_PATHS | {GA4_PATH})
    assert len(reads) >= 8
    for method, path in writes:
        assert chosen_by_gateway(method, path) == "ingest:8080", (method, path)
    for method, path in reads:
        for sent in (path, f"{path}?n=5&a=/events"):
            assert chosen_by_gateway(method, sent) == "recommender:8080", (method, sent)
    for lookalike in ("/eventsx", "/items-of-mine", "/usersx/1", "/x/events", "/v10/t", "/mp/collects"):
        assert chosen_by_gateway("POST", lookalike) == "recommender:8080"


def test_the_gateway_is_no_tighter_than_the_services() -> None:
    assert "client_max_body_size 1m;" in GATEWAY
    assert RecommenderSettings().max_body_bytes == 1 << 20
    read_timeout = re.search(r"proxy_read_timeout (\d+)s", GATEWAY)
    assert read_timeout is not None
    assert int(read_timeout[1]) > RecommenderSettings().stream_max_s


def begun_gateway(tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """What the gateway's start does before nginx, in a directory of the test's: prints what it copies."""
    for name, does in {"cp": 'echo "$1"', "nginx": "true"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / name).chmod(0o755)
    script = (ROOT / "deploy/gateway/entrypoint.sh").read_text().replace("/dev/shm", str(tmp_path))
    return subprocess.run(
        ["sh", "-c", script],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_gateway_lets_pages_in_that_the_services_let_in(tmp_path: Path) -> None:
    assert "FRESHET_CORS_ORIGINS" in COMPOSE["services"]["gateway"]["environment"]
    assert begun_gateway(tmp_path).returncode == 0
    assert (tmp_path / "origins.conf").read_text() == ""
    assert (
        begun_gateway(tmp_path, FRESHET_CORS_ORIGINS=" https://a.example/, http://[::2]:3000 *").returncode
        == 0
    )
    lines = (tmp_path / "origins.conf").read_text().splitlines()
    matched = {"https://a.example", "http://[::2]:3000", "~."}
    assert set(lines) == {f'"{origin}" $foreign_host;' for origin in matched}
    assert begun_gateway(tmp_path, FRESHET_CORS_ORIGINS="https://a, https://a/ https://A").returncode == 0
    assert (tmp_path / "origins.conf").read_text() == '"https://a" $foreign_host;\n'
    for bad in ('https://a"b', "https://a;b", "https://a$b", "https://a{b}"):
        refused = begun_gateway(tmp_path, FRESHET_CORS_ORIGINS=bad)
        assert refused.returncode == 2
        assert "FRESHET_CORS_ORIGINS" in refused.stderr


@pytest.mark.parametrize("keys", ["", " ", ",", ", \n", "a", " a,b "])
@pytest.mark.parametrize("setting", ["keys", "write_keys"])
def test_the_gateway_has_keys_when_the_services_have(tmp_path: Path, setting: str, keys: str) -> None:
    chosen = begun_gateway(tmp_path, **{f"FRESHET_{setting.upper()}": keys})
    assert chosen.returncode == 0, chosen.stderr
    settings = HttpSettings(**{setting: keys})
    locked = bool(settings.key_set() or settings.write_key_set())
    assert chosen.stdout == f"/etc/freshet/access-{'keys' if locked else 'local'}.conf\n"


def test_compose_binds_loopback_limits_memory_and_stays_inside_the_project() -> None:
    for name, service in COMPOSE["services"].items():
        assert "mem_limit" in service, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service.get("read_only", False) or name == "kafka", name  # it writes its configuration
        assert "restart" in service or service.get("profiles") in (["train"], ["tools"]), name
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), (name, port)
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in COMPOSE["volumes"] or (source.startswith("./deploy/") and volume.endswith(":ro"))


def test_the_page_of_calls_has_the_description_of_both_behind_the_gateway() -> None:
    """The page is the recommender's, its /openapi.json the gateway's."""
    assert "location = /docs {" not in GATEWAY
    whole = re.search(r"location = /openapi\.json \{.*?alias /etc/freshet/(\S+);", GATEWAY, re.DOTALL)
    assert whole is not None
    assert f"COPY deploy/gateway/ docs/{whole[1]} /etc/freshet/" in DOCKERFILE
    assert f"!docs/{whole[1]}\n" in (ROOT / ".dockerignore").read_text()
    assert set(re.findall(r"location = /openapi/(\w+)\.json", GATEWAY)) == {"ingest", "recommender"}
