"""What a group of settings is made of: fields with bounds, read from the environment once, then immutable.

The names are those of pydantic-settings, which did this before: loading it took a third of a cold start
(docs/adr/0007-cold-start.md).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Final, Literal, Self, TypeVar, get_args, get_origin, get_type_hints

Method = TypeVar("Method")

_TRUE: Final = frozenset({"1", "true", "yes", "on", "t", "y"})
_FALSE: Final = frozenset({"0", "false", "no", "off", "f", "n"})
_MARK: Final = "__validates__"


class InvalidValue(ValueError):
    """Values of settings that cannot be used. `problems`: (field, what it should be)."""

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{name}: {text}" for name, text in problems))
        self.problems = problems


class SecretStr:
    """A text that no log line and no trace shows by accident."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def get_secret_value(self) -> str:
        """The text itself."""
        return self._value

    def __repr__(self) -> str:
        return "SecretStr('**********')" if self._value else "SecretStr('')"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretStr) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


@dataclass(frozen=True, slots=True)
class FieldInfo:
    """One setting: its default, its bounds (both inclusive), and what it means."""

    default: Any
    ge: float | None
    le: float | None
    description: str | None


def Field(
    default: Any, *, ge: float | None = None, le: float | None = None, description: str | None = None
) -> Any:
    """Declare a setting in the body of a group: `port: int = Field(8080, ge=1, description="…")`."""
    return FieldInfo(default, ge, le, description)


def field_validator(*fields: str, mode: Literal["before", "after"] = "after") -> Callable[[Method], Method]:
    """Decorates a classmethod that is given the value, before or after its type is checked, and answers the
    value to take; a ValueError says what is wrong."""

    def mark(method: Method) -> Method:
        setattr(getattr(method, "__func__", method), _MARK, (fields, mode))
        return method

    return mark


class FieldGroup:
    """Base of all groups: a value given by name, else the variable `PREFIX + NAME`, else the default.

    Groups are put together by inheritance. Raises InvalidValue with all that is wrong at once, TypeError for
    a value of no field.
    """

    env_prefix: ClassVar[str] = ""
    model_fields: ClassVar[Mapping[str, FieldInfo]] = MappingProxyType({})
    model_fields_set: frozenset[str]  # those that were given, by name or by the environment
    _kinds: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    _validators: ClassVar[tuple[tuple[str, str, str], ...]] = ()  # (field, mode, name of the method)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        fields: dict[str, FieldInfo] = {}
        kinds: dict[str, Any] = {}
        validators: dict[tuple[str, str, str], None] = {}
        for base in reversed(cls.__mro__[1:]):
            if issubclass(base, FieldGroup) and base is not FieldGroup:
                fields |= base.model_fields
                kinds |= base._kinds
                validators |= dict.fromkeys(base._validators)
        own = {name: value for name, value in vars(cls).items() if isinstance(value, FieldInfo)}
        if own:
            hints = get_type_hints(cls)
            fields |= own
            kinds |= {name: hints[name] for name in own}
        for name, value in vars(cls).items():
            found = getattr(getattr(value, "__func__", None), _MARK, None)
            if found is not None:
                validators |= dict.fromkeys((field, found[1], name) for field in found[0])
        for name in own:
            delattr(cls, name)  # or an instance without a value would answer the declaration
        cls.model_fields, cls._kinds = MappingProxyType(fields), MappingProxyType(kinds)
        cls._validators = tuple(validators)

    def __init__(self, **values: Any) -> None:
        unknown = values.keys() - self.model_fields.keys()
        if unknown:
            raise TypeError(f"{type(self).__name__} has no {', '.join(sorted(unknown))}")
        given = {
            name: raw
            for name in self.model_fields
            if (raw := os.environ.get(self.env_prefix + name.upper())) is not None
        } | values
        problems: list[tuple[str, str]] = []
        for name, info in self.model_fields.items():
            value = info.default
            if name in given:
                try:
                    value = self._checked(name, info, given[name])
                except ValueError as error:
                    problems.append((name, str(error)))
            self.__dict__[name] = value
        if problems:
            raise InvalidValue(problems)
        self.__dict__["model_fields_set"] = frozenset(given)

    def _checked(self, name: str, info: FieldInfo, value: Any) -> Any:
        for field, mode, method in self._validators:
            if field == name and mode == "before":
                value = getattr(self, method)(value)
        value = _converted(self._kinds[name], value)
        if info.ge is not None and value < info.ge:
            raise ValueError(f"must be at least {info.ge}, not {value}")
        if info.le is not None and value > info.le:
            raise ValueError(f"must be at most {info.le}, not {value}")
        for field, mode, method in self._validators:
            if field == name and mode == "after":
                value = getattr(self, method)(value)
        return value

    @classmethod
    def model_construct(cls) -> Self:
        """All defaults, whatever the environment says."""
        made = object.__new__(cls)
        made.__dict__.update({name: info.default for name, info in cls.model_fields.items()})
        made.__dict__["model_fields_set"] = frozenset()
        return made

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"settings do not change: {name}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"settings do not change: {name}")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self.model_dump() == other.model_dump()

    def __hash__(self) -> int:
        return hash(tuple(self.model_dump().values()))

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.model_dump().items())
        return f"{type(self).__name__}({shown})"

    def model_dump(self) -> dict[str, Any]:
        """The values by field."""
        return {name: self.__dict__[name] for name in self.model_fields}

    def model_copy(self, *, update: Mapping[str, Any]) -> Self:
        """The same with other values, which are taken as they are."""
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__, **update)
        copy.__dict__["model_fields_set"] = self.model_fields_set | update.keys()
        return copy


def _converted(kind: Any, value: Any) -> Any:
    """A value, or the text of one, as its type. Raises ValueError with what it should be."""
    if get_origin(kind) is Literal:
        choices = get_args(kind)
        if value not in choices:
            raise ValueError(f"must be {' or '.join(map(repr, choices))}, not {value!r}")
        return value
    if kind is bool:
        return _boolean(value)
    if kind is int:
        return _integer(value)
    if kind is SecretStr:
        return value if isinstance(value, SecretStr) else SecretStr(_text(value))
    if kind is Path:
        return value if isinstance(value, Path) else Path(_text(value))
    assert kind is str, f"settings of type {kind} are not read yet"
    return _text(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a text")
    return value


def _integer(value: Any) -> int:
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            raise ValueError(f"must be a whole number, not {value!r}") from None
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError("must be a whole number")
    return value


def _boolean(value: Any) -> bool:
    text = value.strip().lower() if isinstance(value, str) else value
    if isinstance(text, bool):
        return text
    if text in _TRUE or text == 1:
        return True
    if text in _FALSE or text == 0:
        return False
    raise ValueError(f"must be 1 or 0, not {value!r}")
