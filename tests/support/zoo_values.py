"""Objects of the zoo, and documents that ask for them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLError,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    Undefined,
)
from hypothesis import strategies as st

from tests.support.zoo_schema import CLASSES, Mood, Person, Thing, zoo

SCHEMA = zoo()

_LEAVES: dict[str, tuple[list[Any], list[Any]]] = {
    "String": (["one", "two"], [3, True, 1.5]),
    "ID": (["id"], [7, 1.5]),
    "Int": ([1, -5, 2**31 - 1], [2**31, True, "12", 1.0, 1.5]),
    "Float": ([1.5], [2, float("nan"), float("inf")]),
    "Boolean": ([True, False], [0, "yes"]),
    "Stamp": (["stamp", 5, {"deep": [1, None]}, ["a"]], ["refused", "nothing"]),
}
_ODD: list[Callable[[], Any]] = [
    lambda: None,
    lambda: Undefined,
    object,
    lambda: ValueError("as a value"),
    lambda: lambda *_, **__: "by calling",
    lambda: lambda *_, **__: ValueError("by calling"),
]


class Wild:
    """Objects of the zoo, at random: once in `odd` a field gives something else than its type says.

    The same ones for the same seed, however often they are made and in whichever order they are read.
    """

    def __init__(self, odd: int) -> None:
        self._odd = odd

    def thing(self, kind: str, seed: str) -> Thing:
        """An object of a type, or what the root's resolvers look at."""
        type = SCHEMA.type_map[kind]
        assert isinstance(type, GraphQLObjectType)

        def give(name: str) -> Any:
            random = Random(f"{seed}.{name}")
            if name not in type.fields or random.randrange(2 * self._odd) == 0:
                raise AttributeError(name)
            if random.randrange(2 * self._odd) == 0:
                raise GraphQLError("on reading")
            field = type.fields[name].type
            if name.startswith("later"):
                return self._later(field, random)
            return self._value(field, random)

        return CLASSES.get(kind, Person)(give)

    def _value(self, type: Any, random: Random) -> Any:
        if self._oddly(random):
            return self._later(type, random) if random.randrange(4) == 0 else random.choice(_ODD)()
        if isinstance(type, GraphQLNonNull):
            return self._value(type.of_type, random)
        if isinstance(type, GraphQLList):
            items = [self._value(type.of_type, random) for _ in range(random.randrange(4))]
            return iter(items) if self._oddly(random) else random.choice([list, tuple])(items)
        if isinstance(type, GraphQLEnumType):
            return random.choice([1, "HAPPY"] if self._oddly(random) else [*Mood])
        if _is_leaf(type):
            usual, unusual = _LEAVES[type.name]
            return random.choice(unusual if self._oddly(random) else usual)
        kinds = [type.name]
        if isinstance(type, GraphQLUnionType | GraphQLInterfaceType):
            kinds = [each.name for each in SCHEMA.get_possible_types(type)]
            kinds = ["House"] if self._oddly(random) else kinds
        return self.thing(random.choice(kinds), str(random.random()))

    def _oddly(self, random: Random) -> bool:
        return random.randrange(self._odd) == 0

    def _later(self, type: Any, random: Random) -> Awaitable[Any]:
        turns, fails = random.randrange(4), self._oddly(random)
        value = self._value(type, random)

        async def wait() -> Any:
            for _ in range(turns):
                await asyncio.sleep(0)
            if fails:
                raise ValueError("when awaited")
            return value

        return wait()


def _is_leaf(type: Any) -> bool:
    while isinstance(type, GraphQLNonNull | GraphQLList):
        type = type.of_type
    return not isinstance(type, GraphQLObjectType | GraphQLInterfaceType | GraphQLUnionType)


VARIABLES = (
    "$yes: Boolean!, $no: Boolean = false, $text: String, $times: Int = 3, "
    "$mood: Mood, $wish: Wish, $tags: [String!]"
)
variables = st.fixed_dictionaries(
    {"yes": st.booleans()},
    optional={
        "no": st.booleans(),
        "text": st.sampled_from(["said", None]),
        "times": st.integers(0, 3),
        "mood": st.sampled_from(["HAPPY", "SAD", None]),
        "wish": st.sampled_from([None, {"text": "a"}, {"text": "b", "mood": None, "inner": {"text": "c"}}]),
        "tags": st.sampled_from([None, [], ["x"], "y"]),
    },
)

_ARGUMENTS = [
    "",
    '(text: "literal")',
    "(text: $text)",
    "(times: $times, text: $text)",
    "(mood: $mood, tags: $tags)",
    '(mood: HAPPY, tags: ["a", "b"], wish: { text: "w", inner: { text: "v", mood: HAPPY } })',
    "(wish: $wish)",
    '(wish: { text: "t", mood: $mood, tags: $tags }, text: null)',
]
_CONDITIONS = ["", "", "", " @include(if: $yes)", " @skip(if: $no)", " @skip(if: true)", " @include(if: true)"]


@st.composite
def documents(draw: st.DrawFn, kind: str = "query") -> str:
    """With two fragments that may be spread anywhere."""
    root = {"query": "Query", "mutation": "Mutation", "subscription": "Subscription"}[kind]
    if kind == "subscription":
        field = draw(st.sampled_from(["person", "required"]))
        body = f"{{ {field} {draw(_selections('Person', 3))} }}"
    else:
        body = draw(_selections(root, 3, size=4))
    people = draw(_selections("Person", 1, spread=False))
    named = draw(_selections("Named", 1, spread=False))
    return (
        f"{kind} Q({VARIABLES}) {body} fragment OfPerson on Person {people} fragment OfNamed on Named {named}"
    )


@st.composite
def _selections(draw: st.DrawFn, name: str, depth: int, *, size: int = 6, spread: bool = True) -> str:
    number = draw(st.integers(1, size))
    return f"{{ {' '.join(draw(_selection(name, depth, spread)) for _ in range(number))} }}"


@st.composite
def _selection(draw: st.DrawFn, name: str, depth: int, spread: bool) -> str:
    type = SCHEMA.type_map[name]
    condition = draw(st.sampled_from(_CONDITIONS))
    kinds = ["field"] * 6 + ["typename", "inline"] + (["spread"] if spread else [])
    if isinstance(type, GraphQLUnionType):
        kinds = ["inline", "inline", "typename"]
    match draw(st.sampled_from(kinds)) if depth > 0 else "leaf":
        case "inline" if depth > 0:
            on = draw(st.sampled_from(_narrower(SCHEMA, name)))
            return f"... on {on}{condition} {draw(_selections(on, depth - 1, size=3, spread=spread))}"
        case "spread" if name in {"Person", "Dog", "Cat", "Named"}:
            fragment = "OfPerson" if name == "Person" and draw(st.booleans()) else "OfNamed"
            return f"...{fragment}{condition}"
        case "field" | "leaf" if not isinstance(type, GraphQLUnionType):
            return draw(_field(type, depth, condition))
        case _:
            return f"{draw(st.sampled_from(['', 'called: ']))}__typename{condition}"


@st.composite
def _field(draw: st.DrawFn, type: Any, depth: int, condition: str) -> str:
    names = [name for name, each in type.fields.items() if depth > 0 or _is_leaf(each.type)]
    if not names:
        return f"__typename{condition}"
    name = draw(st.sampled_from(names))
    inner = type.fields[name].type
    while isinstance(inner, GraphQLNonNull | GraphQLList):
        inner = inner.of_type
    below = "" if _is_leaf(inner) else f" {draw(_selections(inner.name, depth - 1, size=4))}"
    if name == "said":
        number = draw(st.integers(0, len(_ARGUMENTS) - 1))
        return f"said{number}: said{_ARGUMENTS[number]}{condition}"
    if name == "laterSaid":
        return (
            f"laterSaid(text: $text){condition}"
            if draw(st.booleans())
            else f'loud: laterSaid(text: "x"){condition}'
        )
    alias = draw(st.sampled_from(["", "", f"{name}Again: "]))
    return f"{alias}{name}{condition}{below}"


def _narrower(schema: GraphQLSchema, name: str) -> list[str]:
    type = schema.type_map[name]
    if isinstance(type, GraphQLUnionType | GraphQLInterfaceType):
        return [each.name for each in schema.get_possible_types(type)] + ["Named"]
    assert isinstance(type, GraphQLObjectType)
    return [name, *(each.name for each in type.interfaces)]
