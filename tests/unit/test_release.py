"""Releases: manifest, hashes, pointer, names, and the vectors of new items."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from services.cli.__main__ import main
from services.kernel.ids import item_key
from services.kernel.item import Item
from services.kernel.release import (
    Graph,
    NoReleaseError,
    ReleaseError,
    TensorSpec,
    VectorSpace,
    check_graph,
    content_name,
    decode_manifest,
    encode_manifest,
)
from services.kernel.settings import SettingsError
from services.release.files import Release, open_release
from services.release.repository import check, list_releases, promote, publish
from services.release.source import ReleaseSource
from services.trainer.day0 import build_day0, init_release

SPACE = VectorSpace("s-1", 4, 2, (0.5, 1.0))
BANK = TensorSpec("bank", "float32", ("B", 2, 4))
VECTOR = TensorSpec("user_vector", "float32", ("B", 4))


def test_manifest_round_trip(release: Release) -> None:
    raw = encode_manifest(release.manifest)
    assert decode_manifest(raw) == release.manifest
    assert encode_manifest(decode_manifest(raw)) == raw
    assert content_name(release.manifest) == release.name


def test_a_changed_manifest_is_refused(release: Release) -> None:
    changed = msgspec.structs.replace(release.manifest, event_weights={"view": 9.0})
    with pytest.raises(ReleaseError, match="was changed"):
        decode_manifest(encode_manifest(changed))


@pytest.mark.parametrize("raw", [b"", b"{}", b"[1]", b"\xff\xfe", b'{"name": 3}'])
def test_what_is_no_manifest_is_refused(raw: bytes) -> None:
    with pytest.raises(ReleaseError, match=r"manifest\.json cannot be read"):
        decode_manifest(raw)


def test_an_artefact_outside_the_directory_is_refused(release: Release) -> None:
    stray = msgspec.structs.replace(release.manifest.artefacts["item_ids"], file="../../etc/passwd")
    bare = msgspec.structs.replace(
        release.manifest, artefacts={**release.manifest.artefacts, "item_ids": stray}
    )
    named = msgspec.structs.replace(bare, name=content_name(bare))
    with pytest.raises(ReleaseError, match="outside the release"):
        decode_manifest(encode_manifest(named))


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        (
            (TensorSpec("bank", "float32", ("B", 3, 4)),),
            (VECTOR,),
            r"'bank' has shape .*3, 4.*expected .*2, 4",
        ),
        (
            (TensorSpec("bank", "float64", ("B", 2, 4)),),
            (VECTOR,),
            "'bank' has dtype float64, expected float32",
        ),
        ((TensorSpec("user", "float32", ("B", 2, 4)),), (VECTOR,), "'user' is not in the contract"),
        ((TensorSpec("bank", "float32", (1, 2, 4)),), (VECTOR,), "'bank' has shape"),
        ((), (VECTOR,), "takes no input"),
        ((BANK,), (TensorSpec("scores", "float32", ("B", 10)),), "has outputs"),
        ((BANK,), (), "has outputs"),
        ((BANK,), (TensorSpec("user_vector", "float32", ("B", 5)),), "expected .*4"),
    ],
)
def test_the_contract_names_what_does_not_fit(
    inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...], message: str
) -> None:
    with pytest.raises(ReleaseError, match=message):
        check_graph("model", Graph("model", 17, inputs, outputs), SPACE)


def test_free_sizes_may_be_fixed_but_the_batch() -> None:
    history = (
        TensorSpec("history_items", "int64", ("batch", 50)),
        TensorSpec("bank_weight", "float32", ("n", "K")),
    )
    check_graph("model", Graph("model", 17, history, (VECTOR,)), SPACE)
    with pytest.raises(ReleaseError, match="opset 7"):
        check_graph("model", Graph("model", 7, history, (VECTOR,)), SPACE)


def test_same_catalogue_same_name(shop_items: list[Item], release: Release, tmp_path: Path) -> None:
    again = build_day0(reversed(shop_items), tmp_path, now_ms=99)
    assert again.name == release.name
    other = build_day0(shop_items[1:], tmp_path)
    assert other.name != release.name
    assert open_release(other).space.name != release.space.name


@pytest.mark.parametrize("count", [1, 2, 5])
def test_tiny_catalogues_have_releases(shop_items: list[Item], tmp_path: Path, count: int) -> None:
    release = open_release(build_day0(shop_items[:count], tmp_path))
    assert np.isfinite(release.item_vectors).all()
    assert release.item_vectors.shape == (count, 64)
    assert (np.linalg.norm(release.item_vectors, axis=1) > 0.99).all()


def test_no_items_no_release(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="needs items"):
        build_day0([], tmp_path)
    assert not list(tmp_path.iterdir())


def test_items_without_metadata_have_no_vector_and_break_nothing(tmp_path: Path) -> None:
    items = [Item(item_id="bare"), Item(item_id="gid://shopify/Product/1", title="Tea, green")]
    release = open_release(build_day0(items, tmp_path))
    assert release.item_ids == ["bare", "gid://shopify/Product/1"]
    assert release.encoder is not None
    assert release.encoder.vector(items[0]) is None
    assert not release.item_vectors[0].any()


def test_a_new_item_gets_the_vector_it_would_have_had(shop_items: list[Item], release: Release) -> None:
    encoder = release.encoder
    assert encoder is not None
    for item in shop_items:
        vector, stored = encoder.vector(item), release.vector_of(item_key(item.item_id))
        assert vector is not None
        assert stored is not None
        assert vector.tobytes() == stored.tobytes()


def test_a_new_item_lies_near_its_like(shop_items: list[Item], release: Release) -> None:
    coffee = next(item for item in shop_items if item.title is not None and "offee" in item.title)
    encoder = release.encoder
    assert encoder is not None
    new = encoder.vector(msgspec.structs.replace(coffee, item_id="brand-new"))
    assert new is not None
    nearest = np.argsort(release.item_vectors @ new)[::-1][:5]
    assert coffee.item_id in [release.item_ids[index] for index in nearest]


def test_look_ups(release: Release) -> None:
    keys = release.item_keys[[5, 0, 7]]
    assert release.indices_of(keys).tolist() == [5, 0, 7]
    assert release.indices_of(np.array([3, int(keys[0])], dtype=np.uint64)).tolist() == [-1, 5]
    assert release.index_of(int(keys[2])) == 7
    assert release.has(int(keys[0]))
    assert not release.has(3)
    assert release.vector_of(3) is None
    assert [item_key(item_id) for item_id in release.item_ids] == release.item_keys.tolist()


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("file", ["item_vectors.npy", "model.onnx", "item_ids.json", "catalogue.ndjson"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_flip, "has sha256 .*, expected"),
        (lambda path: path.write_bytes(path.read_bytes()[:-3]), "bytes, expected"),
        (Path.unlink, "No such file"),
    ],
)
def test_a_tampered_file_is_refused(
    release_dir: Path, tmp_path: Path, file: str, damage: Callable[[Path], None], message: str
) -> None:
    copy = tmp_path / release_dir.name
    shutil.copytree(release_dir, copy)
    damage(copy / file)
    with pytest.raises(ReleaseError, match=f"{file} of .*{message}"):
        open_release(copy)


def test_checksums_are_those_of_the_files(release_dir: Path) -> None:
    from services.release.files import sha256_of

    lines = [line.split("  ") for line in (release_dir / "checksums").read_text().splitlines()]
    assert {name for _, name in lines} == {path.name for path in release_dir.iterdir()} - {"checksums"}
    assert all(sha256_of(release_dir / name) == digest for digest, name in lines)


def test_publish_promote_follow(release_dir: Path, shop_items: list[Item], tmp_path: Path) -> None:
    url = str(tmp_path / "releases")
    source = ReleaseSource(url)
    with pytest.raises(NoReleaseError, match="freshet release init"):
        source.live()
    first = publish(release_dir, url)
    assert publish(release_dir, url) == first == release_dir.name
    with pytest.raises(NoReleaseError):
        source.live_name()
    promote(url, first, 5)
    assert source.live() == Path(url) / first
    second = init_release(url, shop_items[:50], 9)
    assert source.live_name() == second != first
    promote(url, first, 11)
    assert source.live_name() == first
    assert [(one.name, one.live) for one in list_releases(url)] == [(first, True), (second, False)]
    assert check(source.live()).name == first
    assert not [path for path in Path(url).iterdir() if path.name.startswith(".")], "drafts are gone"


def test_a_pinned_release_needs_no_pointer(release_dir: Path) -> None:
    assert ReleaseSource(str(release_dir)).live() == release_dir
    assert ReleaseSource(f"file://{release_dir}").live_name() == release_dir.name


@pytest.mark.parametrize(
    "pointer", [b"", b"nonsense", b'{"release": "../../etc"}', b'{"release": 3}', b'{"release": "x"}']
)
def test_a_broken_pointer_is_refused(tmp_path: Path, pointer: bytes) -> None:
    (tmp_path / "live").write_bytes(pointer)
    with pytest.raises(ReleaseError, match="pointer"):
        ReleaseSource(str(tmp_path)).live()


@pytest.mark.parametrize("pointer", [b"nonsense", b'{"release": "day0-000000000000", "promoted_at_ms": 1}'])
def test_a_broken_pointer_hides_no_release_from_who_must_mend_it(
    release_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], pointer: bytes
) -> None:
    publish(release_dir, str(tmp_path))
    listing = ["release", "list", "--release-url", str(tmp_path)]
    assert main(listing) == 0
    assert capsys.readouterr().err == ""
    (tmp_path / "live").write_bytes(pointer)
    assert main(listing) == 3
    shown = capsys.readouterr()
    assert release_dir.name in shown.out
    assert "the pointer 'live'" in shown.err
    assert "`freshet release promote NAME` makes another one live" in shown.err
    assert main(["release", "promote", release_dir.name, "--release-url", str(tmp_path)]) == 0
    assert main(listing) == 0
    manifest = tmp_path / release_dir.name / "manifest.json"
    manifest.write_bytes(
        msgspec.json.encode({**msgspec.json.decode(manifest.read_bytes()), "format_version": 2})
    )
    capsys.readouterr()
    assert main(listing) == 3
    shown = capsys.readouterr()
    assert f"names {release_dir.name}, which cannot be read: manifest format_version is 2" in shown.err
    assert "no releases" not in shown.err


def test_promoting_what_is_not_there_lists_what_is(release_dir: Path, tmp_path: Path) -> None:
    publish(release_dir, str(tmp_path))
    with pytest.raises(ReleaseError, match=f"there is {release_dir.name}"):
        promote(str(tmp_path), "day0-000000000000", 1)
    with pytest.raises(ReleaseError, match="no release"):
        promote(str(tmp_path), "../elsewhere", 1)


def test_a_broken_release_is_neither_published_nor_promoted(release_dir: Path, tmp_path: Path) -> None:
    copy = tmp_path / "broken" / release_dir.name
    shutil.copytree(release_dir, copy)
    _flip(copy / "item_vectors.npy")
    with pytest.raises(ReleaseError, match=r"item_vectors\.npy"):
        publish(copy, str(tmp_path / "there"))
    with pytest.raises(ReleaseError, match=r"item_vectors\.npy"):
        promote(str(tmp_path / "broken"), release_dir.name, 1)
    assert not (tmp_path / "broken" / "live").exists()


def test_a_remote_release_is_cached_by_its_name(release_dir: Path, tmp_path: Path) -> None:
    url = f"memory://{tmp_path.name}/releases"
    name = publish(release_dir, url)
    promote(url, name, 3)
    assert [one.name for one in list_releases(url)] == [name]
    source = ReleaseSource(url, cache_dir=tmp_path / "cache")
    local = source.live()
    assert local == tmp_path / "cache" / name
    assert open_release(local).name == name
    kept = (local / "manifest.json").stat().st_ino
    assert source.live() == local
    assert (local / "manifest.json").stat().st_ino == kept, "fetched once"
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [name]
    assert json.loads((local / "manifest.json").read_text())["name"] == name


def test_a_url_that_nothing_can_open_is_a_setting_to_change(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"FRESHET_RELEASE_URL: nothing://here cannot be opened"):
        ReleaseSource("nothing://here", tmp_path)
