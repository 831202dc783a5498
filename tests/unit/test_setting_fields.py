"""Settings: what is read, what is refused and in which words, and that nothing changes or leaks."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest

from services.kernel.setting_fields import Field, SecretStr, field_validator
from services.kernel.settings import HttpSettings, NamespaceSettings, SettingsError, SettingsGroup
from services.local.settings import RunSettings


class Group(SettingsGroup):
    """One field of each kind."""

    port: int = Field(80, ge=1, le=65535, description="a port")
    insecure: bool = Field(False, description="a flag")
    keys: SecretStr = Field(SecretStr(""), description="a secret")
    data_dir: Path = Field(Path("here"), description="a path")
    host: str = Field("localhost", description="a text")
    profiler_mode: Literal["pull", "push"] = Field("pull", description="a choice")

    @field_validator("profiler_mode", mode="before")
    @classmethod
    def _in_small_letters(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("host")
    @classmethod
    def _is_short(cls, value: str) -> str:
        if len(value) > 9:
            raise ValueError("use nine characters at most")
        return value


class Longer(Group):
    """A group with a field more, and another default."""

    host: str = Field("other", description="a text")
    log_url: str = Field("", description="one more")


def read(monkeypatch: pytest.MonkeyPatch, **environment: str) -> Group:
    for name, value in environment.items():
        monkeypatch.setenv(f"FRESHET_{name.upper()}", value)
    return Group.from_environment()


def test_each_kind_is_read_from_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    group = read(
        monkeypatch, port="8080", insecure="Yes", keys="k", data_dir="/d", host="h", profiler_mode="PUSH"
    )
    assert (group.port, group.insecure, group.data_dir, group.host) == (8080, True, Path("/d"), "h")
    assert (group.keys.get_secret_value(), group.profiler_mode) == ("k", "push")
    assert group.model_fields_set == set(Group.model_fields)


def test_without_a_variable_the_default_stands_and_is_known_to_be_one() -> None:
    group = Group.from_environment()
    assert (group.port, group.insecure, group.host) == (80, False, "localhost")
    assert not group.model_fields_set


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("port", "0", "at least 1, not 0"),
        ("port", "65536", "at most 65535, not 65536"),
        ("port", "http", "whole number, not 'http'"),
        ("port", "", "whole number, not ''"),
        ("insecure", "maybe", "1 or 0, not 'maybe'"),
        ("profiler_mode", "poll", "'pull' or 'push', not 'poll'"),
        ("host", "far.too.long", "nine characters"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, wanted: str
) -> None:
    with pytest.raises(SettingsError, match=f"FRESHET_{name.upper()}: .*{wanted}"):
        read(monkeypatch, **{name: text})


def test_all_that_is_wrong_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match=r"FRESHET_PORT: .*; FRESHET_INSECURE: "):
        read(monkeypatch, port="x", insecure="x")


def test_a_value_given_by_name_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHET_PORT", "1")
    assert Group(port=2).port == 2
    assert Group().port == 1


def test_a_name_that_is_no_setting_is_a_mistake_of_ours() -> None:
    wrong: dict[str, Any] = {"prot": 1}
    with pytest.raises(TypeError, match="prot"):
        Group(**wrong)


def test_groups_inherit_fields_defaults_and_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    longer = Longer()
    assert (longer.host, longer.port, longer.log_url) == ("other", 80, "")
    monkeypatch.setenv("FRESHET_HOST", "far.too.long")
    with pytest.raises(SettingsError, match="nine characters"):
        Longer.from_environment()


def test_settings_do_not_change_and_a_copy_knows_what_was_given() -> None:
    group = Group(port=1)
    with pytest.raises(AttributeError):
        group.port = 2
    copy = group.model_copy(update={"host": "else"})
    assert (copy.host, copy.port, group.host) == ("else", 1, "localhost")
    assert copy.model_fields_set == {"port", "host"}


def test_a_secret_is_not_shown_by_accident() -> None:
    settings = HttpSettings(keys=SecretStr("open sesame"))
    assert "sesame" not in f"{settings} {settings!r} {settings.keys} {settings.keys!r}"


def test_the_group_of_everything_has_each_field_once() -> None:
    settings = RunSettings()
    assert len(settings.model_dump()) == len(RunSettings.model_fields)


@pytest.mark.parametrize("name", ["", "Shop", "-shop", "shop\n", "a" * 33])
def test_a_namespace_that_no_topic_could_be_named_after(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A value from a file easily ends with a line break."""
    monkeypatch.setenv("FRESHET_NAMESPACE", name)
    with pytest.raises(SettingsError, match="FRESHET_NAMESPACE"):
        NamespaceSettings.from_environment()
