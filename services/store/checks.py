"""Is this a server that keeps its promises? Asked once, at start."""

from __future__ import annotations

from typing import Any, NamedTuple

from redis.exceptions import ResponseError

from services.store.errors import StoreMisconfiguredError
from services.store.node import Node

MIN_REDIS = (7, 2)  # sharded pub/sub, stream counters
MIN_VALKEY = (8, 0)


def parse_info(reply: bytes) -> dict[str, str]:
    """The lines of INFO."""
    lines = (line.partition(":") for line in reply.decode(errors="replace").splitlines())
    return {name: value.strip() for name, separator, value in lines if separator}


class Memory(NamedTuple):
    """Memory of one server; `most_bytes` is its maxmemory, 0 without one."""

    used_bytes: int
    most_bytes: int


def parse_memory(reply: bytes) -> Memory | None:
    """What INFO memory says, None where it does not say it."""
    told = parse_info(reply)
    try:
        return Memory(int(told["used_memory"]), int(told["maxmemory"]))
    except (KeyError, ValueError):
        return None


async def check_node(node: Node, where: str) -> list[str]:
    """Version and eviction policy of one server; answers what could not be asked. Raises
    StoreMisconfiguredError with what to change, redis' and OS errors when it does not answer."""
    replies = await node.exchange(
        [("INFO", "server"), ("INFO", "memory"), ("CONFIG", "GET", "maxmemory-policy")]
    )
    for reply in replies:
        if isinstance(reply, Exception) and not isinstance(reply, ResponseError):
            raise reply
    server, memory, config = replies
    warnings: list[str] = []
    if isinstance(server, ResponseError):
        warnings.append(f"{where} does not tell its version ({server}); Redis 7.2 or Valkey 8 is needed")
    else:
        _check_version(parse_info(server), where)
    policy = _policy(memory, config)
    if policy is None:
        warnings.append(
            f"{where} does not tell its maxmemory-policy; make sure that it is noeviction, "
            "or profiles will vanish"
        )
    elif policy != "noeviction":
        raise StoreMisconfiguredError(
            f"{where} has maxmemory-policy {policy} and would drop profiles when memory is full; "
            "run CONFIG SET maxmemory-policy noeviction and set it in the server's configuration"
        )
    return warnings


def _check_version(info: dict[str, str], where: str) -> None:
    is_valkey = "valkey_version" in info
    text = info.get("valkey_version") or info.get("redis_version", "")
    name, least = ("Valkey", MIN_VALKEY) if is_valkey else ("Redis", MIN_REDIS)
    try:
        version = tuple(int(part) for part in text.split(".")[:2])
    except ValueError:
        return  # a fork with a version of its own
    if version < least:
        raise StoreMisconfiguredError(
            f"{where} is {name} {text}; Freshet needs Redis {'.'.join(map(str, MIN_REDIS))} or Valkey "
            f"{MIN_VALKEY[0]} or later: upgrade it or point FRESHET_STORE_URL at another"
        )


def _policy(memory: Any, config: Any) -> str | None:
    if isinstance(config, list) and len(config) == 2:
        return str(config[1].decode())
    if isinstance(memory, bytes):
        return parse_info(memory).get("maxmemory_policy")
    return None
