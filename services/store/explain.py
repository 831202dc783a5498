"""Turns what the client library raised into what to do about it."""

from __future__ import annotations

from redis.exceptions import (
    AskError,
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)

from services.store.errors import StoreError, StoreMisconfiguredError, StoreUnavailableError

# Beginnings of error replies that pass by themselves and have no class in the library.
_PASSING = ("BUSY ", "NOREPLICAS", "FAILOVER", "UNBLOCKED")


def explain(error: Exception, where: str, is_cluster: bool, timeout_s: float) -> StoreError:
    """`where` is the store's address without credentials."""
    store = f"the store at {where}"
    if isinstance(error, OutOfMemoryError):
        return StoreUnavailableError(
            f"{store} is full: it reached maxmemory and, rightly, evicts nothing. Nothing was written. "
            "Raise maxmemory (CONFIG SET maxmemory …) or shorten FRESHET_PROFILE_TTL_DAYS",
            retry_after_s=10,
        )
    if isinstance(error, AuthenticationError | AuthorizationError):
        return StoreMisconfiguredError(f"{store} refuses the user or password of FRESHET_STORE_URL: {error}")
    if isinstance(error, NoPermissionError):
        return StoreMisconfiguredError(f"{store} does not let this user do what Freshet needs: {error}")
    if isinstance(error, MovedError) and not is_cluster:
        return StoreMisconfiguredError(
            f"{store} is a cluster: write FRESHET_STORE_URL as valkey+cluster:// or redis+cluster://"
        )
    if isinstance(error, ReadOnlyError | MasterDownError):
        return StoreUnavailableError(
            f"{store} is a replica (a failover may be under way; else point FRESHET_STORE_URL at the "
            f"primary): {error}"
        )
    if isinstance(error, BusyLoadingError):
        return StoreUnavailableError(f"{store} is starting and still loads its data", retry_after_s=2)
    if isinstance(error, ClusterDownError | TryAgainError | MovedError | AskError):
        return StoreUnavailableError(f"{store} is being resharded or has lost a node: {error}")
    if isinstance(error, ResponseError):
        return _explain_reply(str(error), store)
    if isinstance(error, TimeoutError):
        return StoreUnavailableError(
            f"{store} did not answer within {timeout_s * 1000:.0f} ms (FRESHET_STORE_TIMEOUT_MS)"
        )
    return StoreUnavailableError(
        f"{store} cannot be reached ({error}); is it running, is FRESHET_STORE_URL right?"
    )


def _explain_reply(reply: str, store: str) -> StoreError:
    if reply.startswith("MISCONF"):
        return StoreUnavailableError(f"{store} cannot write to its disk: {reply}", retry_after_s=10)
    if reply.startswith(_PASSING):
        return StoreUnavailableError(f"{store} is busy: {reply}")
    if "cluster support disabled" in reply:
        return StoreMisconfiguredError(
            f"{store} is not a cluster: write FRESHET_STORE_URL as valkey:// or redis://"
        )
    return StoreMisconfiguredError(f"{store} refused a command: {reply}")
