"""Where a service may bind without keys."""

from __future__ import annotations

import socket
from contextlib import ExitStack

import pytest

from services.http.addresses import is_loopback
from services.http.server import bind, check_binding
from services.kernel.setting_fields import SecretStr
from services.kernel.settings import HttpSettings, SettingsError


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_no_keys(host: str) -> None:
    assert is_loopback(host)
    check_binding(HttpSettings(host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org", "", "127.0.0.1.example.org"])
def test_the_network_needs_keys(host: str) -> None:
    assert not is_loopback(host)
    with pytest.raises(SettingsError, match=r"set FRESHET_KEYS .* or FRESHET_INSECURE=1"):
        check_binding(HttpSettings(host=host))
    check_binding(HttpSettings(host=host, keys=SecretStr("k")))
    check_binding(HttpSettings(host=host, write_keys=SecretStr("k")))
    check_binding(HttpSettings(host=host, insecure=True))


def test_every_address_of_a_name_is_bound() -> None:
    addresses = {found[4][0] for found in socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM)}
    with ExitStack() as held:
        bound = {held.enter_context(listener).getsockname()[0] for listener in bind("localhost", 0)}
    assert bound
    assert bound <= addresses


def test_what_cannot_be_bound_says_which_setting_to_change() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"port {port} of 127.0.0.1 is in use; set FRESHET_PORT"):
            bind("127.0.0.1", port)
    with pytest.raises(
        SettingsError, match=r"FRESHET_HOST=192\.0\.2\.1"
    ):  # an address for documentation only
        bind("192.0.2.1", 0)
    for no_host in ("no.such.host.invalid", "a" * 70 + ".x", ""):
        with pytest.raises(SettingsError, match=f"FRESHET_HOST={no_host} is no address"):
            bind(no_host, 0)
