"""A small schema that has every kind of type and field, in all places where there may be null and where not.

What its objects give is up to a test.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum, EnumMeta
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLError,
    GraphQLField,
    GraphQLFieldResolver,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLScalarType,
    GraphQLSchema,
    build_schema,
)
from typing_extensions import override

SDL = """
interface Named { name: String!  friend: Named  again: Person }
type Person implements Named {
  name: String!  friend: Named  id: ID!  age: Int  ratio: Float  happy: Boolean  mood: Mood  moods: [Mood!]
  stamp: Stamp  stamps: [Stamp!]!  tags: [String!]  grid: [[Int]!]
  again: Person  others: [Person]  home: House!  pets: [Pet!]  pet: Pet
  later: String  laterRequired: String!  laterPerson: Person  laterPet: Pet!  laterAll: [Person!]
  now: Int  nowPets: [Pet]
  said(text: String = "hi", times: Int! = 1, mood: Mood, wish: Wish, tags: [String!]): String
  laterSaid(text: String!): String
}
type House { name: String!  rooms: Int!  owner: Person!  laterOwner: Person!  neighbours: [[House]!] }
type Dog implements Named { name: String!  friend: Named  again: Person  legs: Int! }
type Cat implements Named { name: String!  friend: Named  again: Person  lives: Int  laterLives: Int! }
union Pet = Dog | Cat
enum Mood { HAPPY SAD }
scalar Stamp
input Wish { text: String!  count: Int = 2  mood: Mood = SAD  tags: [String!]  inner: Wish }
type Query {
  person: Person  required: Person!  people: [Person!]  named: Named  pet: Pet!
  laterPerson: Person  laterAll: [Person]
  said(text: String = "hi", times: Int! = 1, mood: Mood, wish: Wish, tags: [String!]): String
}
type Mutation { laterPerson: Person  laterRequired: Person!  now: Person  later: Int }
type Subscription { person: Person  required: Person! }
"""


class Mood(Enum):
    HAPPY = 1
    SAD = 2


class Thing:
    """Its attributes are what a function gives for their names."""

    def __init__(self, give: Callable[[str], Any]) -> None:
        self._give = give

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self._give(name)

    @override
    def __repr__(self) -> str:
        return f"<{self.__class__.__name__}>"


class Person(Thing):
    pass


class House(Thing):
    pass


class Dog(Thing):
    pass


class Cat(Thing):
    pass


CLASSES: Mapping[str, type[Thing]] = {"Person": Person, "House": House, "Dog": Dog, "Cat": Cat}


class ZooBindings:
    def attribute(self, field: GraphQLField, name: str) -> str | None:
        return name if field.resolve is None else None

    def resolver(self, field: GraphQLField, shape: object) -> GraphQLFieldResolver | None:
        return None

    def python_class(self, type: GraphQLObjectType) -> type | None:
        return CLASSES.get(type.name)

    def enum_class(self, type: GraphQLEnumType) -> EnumMeta | None:
        return Mood


def zoo() -> GraphQLSchema:
    schema = build_schema(SDL)
    for kind in schema.type_map.values():
        if isinstance(kind, GraphQLObjectType) and not kind.name.startswith("__"):
            for name, each in kind.fields.items():
                if name.startswith(("later", "now")) or each.args:
                    each.resolve = _resolve
            if kind.name in {"Person", "Dog", "Cat"}:
                kind.is_type_of = _is_of(CLASSES[kind.name])
    mood, stamp = schema.type_map["Mood"], schema.type_map["Stamp"]
    assert isinstance(mood, GraphQLEnumType)
    assert isinstance(stamp, GraphQLScalarType)
    for name, value in mood.values.items():
        value.value = Mood[name]
    stamp.coerce_output_value = _write_stamp
    return schema


def _is_of(cls: type) -> Callable[[Any, GraphQLResolveInfo[Any]], bool]:
    return lambda value, _: isinstance(value, cls)


def _write_stamp(value: Any) -> Any:
    if value == "refused":
        raise GraphQLError("This stamp is refused.")
    return None if value == "nothing" else value


def _resolve(source: Any, info: GraphQLResolveInfo[Any], **arguments: Any) -> Any:
    info.context.append((info.path.as_list(), info.parent_type.name, len(info.field_nodes), repr(arguments)))
    if arguments and info.field_name == "said":
        return repr(arguments)
    return getattr(source, info.field_name)
