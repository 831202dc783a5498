"""What only the place in Valkey or Redis does: bounds of values, errors that say what to mend, no secret."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import redis

from services.cli.__main__ import main
from services.kernel.release import ReleaseError
from services.kernel.settings import SettingsError
from services.release import valkey_place
from services.release.place import ReleaseUrlError, open_place, shown_url
from services.release.repository import list_releases
from services.release.valkey_place import CHUNK_BYTES
from tests.servers import ValkeyServer, valkey_server
from tests.valkey_cluster import ValkeyCluster


def keys_of(server: ValkeyServer, prefix: str) -> dict[str, int]:
    """Keys below a prefix and the bytes of those that are strings."""
    with redis.Redis(host=server.host, port=server.port, protocol=2) as client:
        return {
            key.decode(): client.strlen(key) if client.type(key) == b"string" else 0
            for key in client.scan_iter(f"{prefix}:*", count=1000)
        }


def test_no_value_is_larger_than_a_chunk_and_none_is_left_behind(
    valkey: ValkeyServer, namespace: str, tmp_path: Path
) -> None:
    place = open_place(f"{valkey.url}?prefix={namespace}")
    source = tmp_path / "source"
    source.write_bytes(os.urandom(10 * CHUNK_BYTES + 1))
    place.put(source, "f/data")
    held = keys_of(valkey, namespace)
    assert max(held.values()) == CHUNK_BYTES + 16
    assert len(held) == 13, "eleven chunks, the files and the folders"
    source.write_bytes(b"x")
    place.put(source, "f/data")
    assert len(keys_of(valkey, namespace)) == 3
    place.remove("f")
    assert keys_of(valkey, namespace) == {}


@pytest.mark.parametrize("killed_at", ["header", "chunks", "second"])
def test_what_a_killed_writer_or_remover_left_goes_with_the_folder(
    valkey: ValkeyServer, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_at: str
) -> None:
    monkeypatch.setattr(valkey_place, "_SCAN_COMMANDS", 4)
    place = valkey_place.ValkeyPlace(f"{valkey.url}?prefix={namespace}")
    source = tmp_path / "source"
    source.write_bytes(os.urandom(10 * CHUNK_BYTES))
    call, removals = place._call, 0

    def killed(commands: Iterable[valkey_place.Command], name: str) -> list[Any]:
        nonlocal removals
        commands = list(commands)
        kind = commands[0][0] if commands else ""
        removals += kind == "UNLINK"
        if (killed_at == "header" and kind == "SET" and ":file:" in commands[0][1]) or removals == stop_at:
            raise ReleaseError("killed")
        return call(commands, name)

    stop_at = {"header": 0, "chunks": 2, "second": 3}[killed_at] or None
    monkeypatch.setattr(place, "_call", killed)

    def write_and_remove() -> None:
        place.put(source, "f/data")
        place.remove("f")

    with pytest.raises(ReleaseError, match="killed"):
        write_and_remove()
    monkeypatch.setattr(place, "_call", call)
    assert any(":chunk:" in key for key in keys_of(valkey, namespace))
    place.remove("f")
    assert keys_of(valkey, namespace) == {}


def test_prefixes_do_not_meet(valkey: ValkeyServer, namespace: str) -> None:
    one, other = (open_place(f"{valkey.url}?prefix={namespace}{end}") for end in "ab")
    one.write("live", b"one")
    other.write("live", b"other")
    assert (one.read("live"), other.read("live")) == (b"one", b"other")


def test_a_cluster_shares_the_chunks(store_cluster: ValkeyCluster, namespace: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(30 * CHUNK_BYTES))
    open_place(f"{store_cluster.url}?prefix={namespace}").put(source, "f/data")
    assert all(len(keys_of(server, namespace)) > 3 for server in store_cluster.servers)


def test_a_single_url_for_a_cluster_says_so(store_cluster: ValkeyCluster, namespace: str) -> None:
    url = store_cluster.url.replace("+cluster", "") + f"?prefix={namespace}"
    place = open_place(url)
    texts = []
    for number in range(20):  # some of them are on another node
        try:
            place.read(f"f{number}")
        except ReleaseError as error:
            texts.append(str(error))
    assert texts
    assert all("write valkey+cluster://" in text for text in texts)


def test_the_password_is_needed_and_never_told(tmp_path: Path) -> None:
    with valkey_server(config={"requirepass": "p@ss/word"}) as server:
        address = f"{server.host}:{server.port}/0"
        place = open_place(f"valkey://:p%40ss%2Fword@{address}")
        place.write("live", b"x")
        assert place.read("live") == b"x"
        assert "p@ss" not in place.url
        assert "p%40ss" not in place.url
        for user in (":wr0ng", "someone:wr0ng"):
            with pytest.raises(ReleaseError, match="does not take the user and password") as refused:
                open_place(f"valkey://{user}@{address}").read("live")
            assert "wr0ng" not in str(refused.value)
        with pytest.raises(ReleaseError, match="does not take the user and password"):
            open_place(f"valkey://{address}").read("live")


@pytest.mark.parametrize("scheme", ["valkey", "s3"])
@pytest.mark.parametrize("special", "/?#[@:")
def test_a_password_that_is_not_encoded_is_not_told_either(scheme: str, special: str) -> None:
    url = f"{scheme}://user:begin{special}end@host:6379/0?prefix=shop"
    told = shown_url(url)
    try:
        told += open_place(url).url
    except ReleaseUrlError as error:
        told += str(error)
    assert "begin" not in told
    assert "end" not in told


def test_a_server_that_is_away_and_comes_back(tmp_path: Path) -> None:
    with valkey_server() as server:
        place = open_place(server.url)
        place.write("live", b"x")
        server.kill()
        with pytest.raises(
            ReleaseError, match=r"live at valkey://.* \(FRESHET_RELEASE_URL\) does not answer"
        ):
            place.read("live")
        server.restart()
        assert place.read("live") is None, "it keeps nothing"


def test_a_server_without_room_says_what_to_do(tmp_path: Path) -> None:
    with valkey_server(config={"maxmemory": "4mb"}) as server:
        source = tmp_path / "source"
        source.write_bytes(os.urandom(8 << 20))
        place = open_place(server.url)
        with pytest.raises(ReleaseError, match=r"out of memory: raise its maxmemory.*freshet release remove"):
            place.put(source, "f/data")
        assert place.read("f/data") is None, "without its header it is not there"
        place.remove("f")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (("UNLINK", "{}:release:chunk:f/data:2"), "a chunk of it is gone"),
        (("SET", "{}:release:chunk:f/data:2", "x"), "a chunk of it is cut"),
        (("SET", "{}:release:file:f/data", "x"), "not written by this version"),
        (("SETRANGE", "{}:release:file:f/data", 4, b"\xff"), "not written by this version"),
        (("LPUSH", "{}:release:folders2", "x"), ""),
    ],
)
def test_what_was_damaged_is_no_release(
    valkey: ValkeyServer, namespace: str, tmp_path: Path, damage: tuple[Any, ...], message: str
) -> None:
    place = open_place(f"{valkey.url}?prefix={namespace}")
    source = tmp_path / "source"
    source.write_bytes(os.urandom(4 * CHUNK_BYTES))
    place.put(source, "f/data")
    with redis.Redis(host=valkey.host, port=valkey.port, protocol=2) as client:
        client.execute_command(damage[0], damage[1].format(namespace), *damage[2:])
    if not message:
        place.fetch("f/data", tmp_path / "target")
        return
    with pytest.raises(ReleaseError, match=message):
        place.fetch("f/data", tmp_path / "target")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("valkey://u:s3cret@host:port/0", "cannot be read"),
        ("valkey://u:s3cret@host:6379/zero", "number of a database"),
        ("valkey+cluster://u:s3cret@host:6379/2", "database 0 only"),
        ("unix+cluster:///tmp/x", "TCP addresses"),
        ("valkey://u:s3cret@host/0?prefix=a%20b", "prefix takes"),
        ("valkey://u:s3cret@host/0?colour=red", "colour is no option"),
        ("valkey://u:s3cret@[::1/0", "cannot be read"),
    ],
)
def test_a_url_that_can_never_work_is_a_setting_to_change(url: str, message: str) -> None:
    with pytest.raises(SettingsError, match=f"FRESHET_RELEASE_URL: .*{message}") as refused:
        open_place(url)
    assert "s3cret" not in str(refused.value)
    assert "s3cret" not in shown_url(url)


def test_the_client_is_loaded_for_such_urls_only() -> None:
    program = (
        "import sys\n"
        "from services.release.source import ReleaseSource\n"
        "ReleaseSource('/tmp/nothing')\n"
        "assert not {'redis', 'fsspec', 'services.release.valkey_place'} & set(sys.modules), sys.modules\n"
        "ReleaseSource('valkey://host')\n"
        "assert 'redis' in sys.modules\n"
        "assert 'fsspec' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_commands_tell_no_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    items = tmp_path / "items.ndjson"
    with valkey_server(config={"requirepass": "s3cret"}) as server:
        monkeypatch.setenv(
            "FRESHET_RELEASE_URL", f"valkey://:s3cret@{server.host}:{server.port}/0?prefix=shop"
        )
        monkeypatch.setenv("FRESHET_CACHE_DIR", str(tmp_path / "cache"))
        for count, flags in ((30, []), (40, ["--no-promote"])):
            lines = [f'{{"item_id": "p{n}", "title": "tea {n % 7} kind {n % 3}"}}' for n in range(count)]
            items.write_text("\n".join(lines))
            assert main(["release", "init", "--items", str(items), *flags]) == 0
        live, other = (release.name for release in list_releases(os.environ["FRESHET_RELEASE_URL"]))
        assert main(["release", "list"]) == 0
        assert main(["release", "check"]) == 0
        assert main(["release", "remove", live]) == 1
        assert main(["release", "promote", other]) == 0
        assert main(["release", "remove", live, "--json"]) == 0
        assert main(["release", "remove", live]) == 1
        assert [release.name for release in list_releases(os.environ["FRESHET_RELEASE_URL"])] == [other]
    told = "".join(capsys.readouterr())
    assert f"{other} is live at valkey://{server.host}:{server.port}/0" in told
    assert f"{live} is live: promote another one first" in told
    assert "s3cret" not in told
