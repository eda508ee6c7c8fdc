"""Reads from a handler's signature what its payload must be, and turns a payload into its arguments."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,
    Required,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

import typing_extensions
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model
from pydantic.json_schema import GenerateJsonSchema

from carillon.context import Context

MOST_FAULTS = 100
"""Of one payload: enough to see what is wrong."""
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong in one place of a payload."""

    message: str
    path: tuple[str, ...]
    """Empty for the whole of it."""

    @typing_extensions.override
    def __str__(self) -> str:
        return f"{'.'.join(self.path)}: {self.message}" if self.path else self.message


class PayloadError(ValueError):
    """The payload does not fit the handler: `faults` has all that is wrong, one for each place."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(map(str, faults)))
        self.faults = tuple(faults)

    @property
    def message(self) -> str:
        """Why the first of them does not fit."""
        return self.faults[0].message

    @property
    def path(self) -> tuple[str, ...]:
        """The field of the first."""
        return self.faults[0].path


class _Schema(GenerateJsonSchema):
    # A default that JSON cannot say is left out of the schema, which is all there is to tell.
    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012  as the parent has it


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """What a handler takes."""

    schema: Mapping[str, Any]
    """JSON Schema, draft 2020-12."""
    context: str | None
    """The parameter that gets the context."""
    whole: str | None
    """The parameter that gets the whole payload; None where each field has its own."""
    adapter: TypeAdapter[Any]
    extra: Literal["forbid"] | None

    def arguments(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments that `payload` stands for, without the context. Raises PayloadError."""
        try:
            # By way of JSON, where a string may stand for a date but never for a number.
            value = self.adapter.validate_json(json.dumps(payload), strict=True, extra=self.extra)
        except ValidationError as error:
            raise PayloadError(_faults(error, payload)) from None
        except RecursionError:
            raise PayloadError([Fault("Input is nested too deep", ())]) from None
        if self.whole is not None:
            return {self.whole: value}
        return {field.alias: getattr(value, name) for name, field in type(value).model_fields.items()}


def payload_of(function: Callable[..., Any], name: str) -> Payload:
    """What `function` takes. Raises TypeError, naming the handler, where its signature does not say."""
    try:
        hints = get_type_hints(function, include_extras=True)
    except NameError as error:
        raise TypeError(
            f"handler {name}: {error}; define the types it takes above it, in its module"
        ) from error
    context: str | None = None
    fields: dict[str, inspect.Parameter] = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in _NAMED:
            raise TypeError(f"handler {name}: {parameter} has no place in a payload; name each parameter")
        if parameter.name not in hints:
            raise TypeError(f"handler {name}: parameter {parameter.name} needs a type")
        if hints[parameter.name] is not Context:
            fields[parameter.name] = parameter
        elif context is None:
            context = parameter.name
        else:
            raise TypeError(f"handler {name}: more than one parameter is a Context")
    return _built(name, context, fields, hints)


def _built(
    name: str, context: str | None, fields: dict[str, inspect.Parameter], hints: dict[str, Any]
) -> Payload:
    whole = next(iter(fields), None) if len(fields) == 1 else None
    if whole is not None and not _is_record(hints[whole]):
        whole = None
    try:
        accepted = _portable(hints[whole]) if whole is not None else _record(name, fields, hints)
        adapter: TypeAdapter[Any] = TypeAdapter(accepted)
        schema = adapter.json_schema(schema_generator=_Schema)
    except Exception as error:  # pydantic has many ways to say that a type is not one of JSON
        raise TypeError(f"handler {name}: its payload cannot be described: {error}") from error
    says_extra = whole is not None and "extra" in getattr(accepted, "model_config", {})
    if not says_extra and "$ref" not in schema:
        schema.setdefault("additionalProperties", False)
    return Payload(
        schema=schema, context=context, whole=whole, adapter=adapter, extra=None if says_extra else "forbid"
    )


def _record(name: str, fields: dict[str, inspect.Parameter], hints: dict[str, Any]) -> type[BaseModel]:
    """A model with one field for each parameter; aliases, because a parameter may be called `json` or `_x`."""
    definitions: dict[str, Any] = {}
    for number, parameter in enumerate(fields.values()):
        default = ... if parameter.default is parameter.empty else parameter.default
        definitions[f"field_{number}"] = (hints[parameter.name], Field(default, alias=parameter.name))
    return create_model(name, __config__=ConfigDict(extra="forbid", allow_inf_nan=False), **definitions)


def _is_record(hint: object) -> bool:
    kind = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    if typing_extensions.is_typeddict(kind):
        return True
    return isinstance(kind, type) and (is_dataclass(kind) or issubclass(kind, BaseModel))


def _portable(hint: type[Any]) -> type[Any]:
    """`typing.TypedDict` as `typing_extensions` has it, the only kind pydantic reads before Python 3.12."""
    if not is_typeddict(hint):
        return hint
    keys = get_type_hints(hint, include_extras=True)
    for key, kind in keys.items():
        if get_origin(kind) not in (Required, NotRequired):
            keys[key] = Required[kind] if key in hint.__required_keys__ else NotRequired[kind]
    declare: Any = typing_extensions.TypedDict  # which type checkers take for a declaration only
    return cast(type[Any], declare(hint.__name__, keys))


def _faults(error: ValidationError, payload: object) -> list[Fault]:
    """One for each place: of a union, pydantic tells what is wrong by each of its members."""
    found: dict[tuple[str, ...], Fault] = {}
    for each in error.errors(include_url=False, include_context=False, include_input=False):
        path = _path(each["loc"], payload, missing=each["type"] == "missing")
        found.setdefault(path, Fault(each["msg"], path))
        if len(found) == MOST_FAULTS:
            break
    return list(found.values())


def _path(location: tuple[int | str, ...], payload: object, *, missing: bool) -> tuple[str, ...]:
    """The part of pydantic's location that lies in the payload: it also names the members of unions."""
    path: list[str] = []
    for step in location:
        try:
            payload = payload[step]  # type: ignore[index]  # what cannot be indexed ends the path
        except (LookupError, TypeError):
            return (*path, str(step)) if missing and isinstance(payload, Mapping) else tuple(path)
        path.append(str(step))
    return tuple(path)
