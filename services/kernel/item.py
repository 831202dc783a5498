"""The item of the catalogue: canonical form, what clients may send, patches, how it stands on the log."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import Any, Final

import msgspec

from services.kernel.bounded import BoundError, read_number, read_object, read_text
from services.kernel.event import PoisonError
from services.kernel.ids import IdError, json_type, read_id
from services.kernel.nearest import likely_meant
from services.kernel.timestamps import TimestampError, read_timestamp_ms

ITEM_CE_TYPE: Final = "freshet.item.v1"
ITEM_PATCH_CE_TYPE: Final = "freshet.item_patch.v1"
ITEM_DELETION_CE_TYPE: Final = "freshet.item_deletion.v1"
# The record's key once more, as a CloudEvents extension: a Knative KafkaSource hands on the attributes of a
# record that is a CloudEvent, and not its key. base64url (without padding), since its client writes header
# values as Latin-1 and others percent-encode them.
KEY_ATTRIBUTE: Final = "freshetkey"

MAX_ITEM_BYTES: Final = 65_536  # a catalogue of 100,000 such items would still fit in memory
MAX_PROPERTIES_BYTES: Final = 16_384
MAX_PROPERTIES_DEPTH: Final = 5
_MAX_TITLE_BYTES: Final = 1024
_MAX_DESCRIPTION_BYTES: Final = 32_768
_MAX_URL_BYTES: Final = 2048
_MAX_WORD_BYTES: Final = 256
_MAX_IMAGES: Final = 20
_MAX_CATEGORIES: Final = 20
_MAX_CATEGORY_DEPTH: Final = 10
_MAX_TAGS: Final = 100
_MAX_AMOUNT: Final = 1e12
_MAX_PLAIN_KEY_BYTES: Final = 200  # longer lists of patched fields stand in the key as a hash
_CATEGORY_SEPARATOR: Final = " > "


class Item(msgspec.Struct, omit_defaults=True, frozen=True, kw_only=True):
    """A product, video or article in canonical names. Times are Unix ms."""

    item_id: str
    title: str | None = None
    description: str | None = None
    url: str | None = None
    image_urls: list[str] = []
    categories: list[list[str]] = []  # paths from the root, such as ["Food", "Cheese"]
    brand: str | None = None
    tags: list[str] = []
    price: float | None = None
    list_price: float | None = None  # before a discount
    currency: str | None = None  # ISO 4217
    language: str | None = None
    group_id: str | None = None  # variants of a product, episodes of a series
    group_order: float | None = None
    available: bool = True
    published_at: int | None = None
    expires_at: int | None = None
    properties: dict[str, Any] = {}


class ItemError(ValueError):
    """One item or patch cannot be accepted: a stable `code`, and a message that says what to change."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(Item)
_object_decoder: Final = msgspec.json.Decoder(dict[str, Any])


def parse_item(raw: object, item_id: str | None = None) -> Item:
    """The canonical item of one decoded JSON object. Null means absent. Raises ItemError.

    `item_id` is the one of the request's path; an `item_id` in the body must then be the same.
    """
    fields = _fields(raw)
    found = _item_id(fields, item_id)
    item = Item(
        item_id=found,
        **{name: read(name, fields[name]) for name, read in _READERS.items() if fields.get(name) is not None},
    )
    if len(encode_item(item)) > MAX_ITEM_BYTES:
        raise ItemError(
            "item_too_large", f"the item is larger than {MAX_ITEM_BYTES} bytes; shorten its texts"
        )
    return item


def parse_patch(raw: object, item_id: str) -> dict[str, Any]:
    """A merge patch (RFC 7396) in canonical form: null removes a field. Raises ItemError."""
    fields = _fields(raw)
    if fields.get("item_id") is not None:
        _item_id(fields, item_id)
    patch = {name: _patched(name, value) for name, value in fields.items() if name != "item_id"}
    if not patch:
        raise ItemError("empty_patch", f"the patch changes nothing; the fields are {', '.join(_READERS)}")
    if len(_encoder.encode(patch)) > MAX_ITEM_BYTES:
        raise ItemError(
            "item_too_large", f"the patch is larger than {MAX_ITEM_BYTES} bytes; shorten its texts"
        )
    return patch


def merge_patch(item: Item, patch: dict[str, Any]) -> Item:
    """The item after a canonical patch (RFC 7396). Raises PoisonError for a patch that fits no item."""
    merged = _merge(msgspec.to_builtins(item), patch)
    merged["item_id"] = item.item_id
    try:
        patched = msgspec.convert(merged, Item)
    except msgspec.ValidationError as error:
        raise PoisonError(f"not a patch of an item: {error}") from None
    if len(encode_item(patched)) > MAX_ITEM_BYTES:
        raise PoisonError(f"the patched item would be larger than {MAX_ITEM_BYTES} bytes")
    return patched


def patch_key(item_id: str, patch: dict[str, Any]) -> bytes:
    """The record key of a patch: item id, NUL, the sorted pointers of the fields that it sets.

    Compaction keeps the last record of a key. A later patch of the very same fields overwrites all that an
    earlier one did, so nothing is lost; patches of other fields have other keys, nested properties too.
    """
    pointers = _encoder.encode(sorted(_pointers(patch)))[1:-1]
    if len(pointers) > _MAX_PLAIN_KEY_BYTES:
        pointers = blake2b(pointers, digest_size=16).hexdigest().encode()
    return item_id.encode() + b"\0" + pointers


def item_id_of_key(key: bytes) -> str:
    """The item id in a record key of the items topic (item or patch). Raises PoisonError."""
    try:
        return key.partition(b"\0")[0].decode()
    except UnicodeDecodeError:
        raise PoisonError("the record's key is no item id: not UTF-8") from None


def key_attribute(key: bytes) -> str:
    """What `KEY_ATTRIBUTE` says of a record's key."""
    return base64.urlsafe_b64encode(key).rstrip(b"=").decode()


def key_of_attribute(text: str) -> bytes:
    """The record's key. Raises PoisonError for what `key_attribute` did not write."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise PoisonError(f"the attribute {KEY_ATTRIBUTE} is not base64url") from None


def encode_item(item: Item) -> bytes:
    """The record's value: canonical JSON, absent fields left out."""
    return _encoder.encode(item)


def decode_item(value: bytes) -> Item:
    """Read a record's value. Raises PoisonError."""
    try:
        item = _decoder.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise PoisonError(f"not an item: {error}") from None
    if not item.item_id:
        raise PoisonError("not an item: item_id is empty")
    return item


def encode_patch(patch: dict[str, Any]) -> bytes:
    """The record's value of a patch."""
    return _encoder.encode(patch)


def decode_patch(value: bytes) -> dict[str, Any]:
    """Read a record's value of a patch. Raises PoisonError."""
    try:
        return _object_decoder.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise PoisonError(f"not a patch: {error}") from None


def _merge(target: object, patch: object) -> Any:
    """RFC 7396, section 2. Recursion is bounded by MAX_PROPERTIES_DEPTH."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merge(merged.get(name), value)
    return merged


def _pointers(patch: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """JSON pointers (RFC 6901) of the leaves, without the leading slash."""
    for name, value in patch.items():
        pointer = prefix + name.replace("~", "~0").replace("/", "~1")
        if isinstance(value, dict):
            if not value:  # makes an object of what was none, yet overwrites nothing: a pointer of its own
                yield pointer + "/"
            yield from _pointers(value, pointer + "/")
        else:
            yield pointer


def _fields(raw: object) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise ItemError("not_an_object", f"an item is a JSON object, not {json_type(raw)}")
    for name in raw:
        if name not in _READERS and name != "item_id":
            meant = likely_meant(str(name), _READERS)
            raise ItemError(
                "unknown_field",
                f"{str(name)[:64]!r} is no field of an item; "
                + (f"did you mean {meant!r}? Fields" if meant else "fields")
                + " of your own go under properties",
            )
    return raw


def _item_id(fields: dict[str, Any], expected: str | None) -> str:
    raw = fields.get("item_id")
    if raw is None:
        if expected is None:
            raise ItemError("missing_item_id", "item_id is missing")
        return expected
    try:
        found = read_id(raw)
    except IdError as error:
        raise ItemError("invalid_item_id", f"item_id {error}") from None
    if expected is not None and found != expected:
        raise ItemError("conflicting_item_id", "item_id in the body differs from the one in the path")
    return found


def _patched(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name == "properties" and value == {}:
        raise ItemError("empty_patch", "properties: {} changes nothing; null removes them all")
    return _READERS[name](name, value)


def _reader(read: Callable[[object], Any]) -> Callable[[str, object], Any]:
    """Turns what a check raises into an ItemError that names the field."""

    def named(name: str, raw: object) -> Any:
        try:
            return read(raw)
        except (BoundError, IdError, TimestampError) as error:
            raise ItemError(f"invalid_{name}", f"{name} {error}") from None

    return named


def _text(max_bytes: int) -> Callable[[object], str]:
    return lambda raw: read_text(raw, max_bytes)


def _texts(max_entries: int, max_bytes: int) -> Callable[[object], list[str]]:
    def read(raw: object) -> list[str]:
        if not isinstance(raw, list):
            raise BoundError(f"must be a list of strings, not {json_type(raw)}")
        if len(raw) > max_entries:
            raise BoundError(f"holds more than {max_entries} entries")
        return [read_text(entry, max_bytes) for entry in raw]

    return read


def _categories(raw: object) -> list[list[str]]:
    if not isinstance(raw, list):
        raise BoundError(f'must be a list of paths such as ["Food > Cheese"], not {json_type(raw)}')
    if len(raw) > _MAX_CATEGORIES:
        raise BoundError(f"holds more than {_MAX_CATEGORIES} paths")
    return [_category(path) for path in raw]


def _category(raw: object) -> list[str]:
    """A path is a list, or a string split at " > "."""
    parts = raw.split(_CATEGORY_SEPARATOR) if isinstance(raw, str) else raw
    if not isinstance(parts, list) or not 0 < len(parts) <= _MAX_CATEGORY_DEPTH:
        raise BoundError(f"holds a path that is not 1 to {_MAX_CATEGORY_DEPTH} names")
    names = [read_text(part, _MAX_WORD_BYTES).strip() for part in parts]
    if not all(names):
        raise BoundError("holds a path with an empty name")
    return names


def _currency(raw: object) -> str:
    if not (isinstance(raw, str) and len(raw) == 3 and raw.isascii() and raw.isalpha()):
        raise BoundError("must be an ISO 4217 code such as EUR")
    return raw.upper()


def _available(raw: object) -> bool:
    if not isinstance(raw, bool):
        raise BoundError(f"must be true or false, not {json_type(raw)}")
    return raw


def _price(raw: object) -> float:
    return read_number(raw, 0, _MAX_AMOUNT)


_READERS: Final[dict[str, Callable[[str, object], Any]]] = {
    name: _reader(read)
    for name, read in {
        "title": _text(_MAX_TITLE_BYTES),
        "description": _text(_MAX_DESCRIPTION_BYTES),
        "url": _text(_MAX_URL_BYTES),
        "image_urls": _texts(_MAX_IMAGES, _MAX_URL_BYTES),
        "categories": _categories,
        "brand": _text(_MAX_WORD_BYTES),
        "tags": _texts(_MAX_TAGS, _MAX_WORD_BYTES),
        "price": _price,
        "list_price": _price,
        "currency": _currency,
        "language": _text(_MAX_WORD_BYTES),
        "group_id": read_id,
        "group_order": lambda raw: read_number(raw, -_MAX_AMOUNT, _MAX_AMOUNT),
        "available": _available,
        "published_at": read_timestamp_ms,
        "expires_at": read_timestamp_ms,
        "properties": lambda raw: read_object(raw, MAX_PROPERTIES_BYTES, MAX_PROPERTIES_DEPTH),
    }.items()
}
