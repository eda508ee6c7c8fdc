"""Relay can page through the lists and ask for the nodes: https://relay.dev/docs/guides/graphql-server-specification/"""

from __future__ import annotations

from typing import Any

import pytest
from graphql import (
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLObjectType,
    build_schema,
    get_named_type,
    graphql_sync,
)

from schema.export import sdl

SCHEMA = build_schema(sdl())
OBJECTS = {name: each for name, each in SCHEMA.type_map.items() if isinstance(each, GraphQLObjectType)}
CONNECTIONS = sorted(name for name in OBJECTS if name.endswith("Connection"))
PAGED = {
    f"{owner}.{name}": field
    for owner, each in OBJECTS.items()
    for name, field in each.fields.items()
    if get_named_type(field.type).name.endswith("Connection")
}
SHOWN_BY_THEIR_CONNECTION_ALONE = {"AuditEntry", "DeadLetter"}  # records: nobody asks for one again


def told(question: str) -> Any:
    answer = graphql_sync(SCHEMA, question)
    assert answer.errors is None
    return answer.data


def of(type_name: str) -> dict[str, str]:
    return {name: str(field.type) for name, field in OBJECTS[type_name].fields.items()}


def arguments(field: GraphQLField) -> dict[str, str]:
    return {name: str(argument.type) for name, argument in field.args.items()}


def test_the_interface_of_nodes_is_an_id_that_is_always_there() -> None:
    question = '{ __type(name: "Node") { name kind fields { name type { kind ofType { name kind } } } } }'
    (field,) = told(question)["__type"]["fields"]
    assert field == {"name": "id", "type": {"kind": "NON_NULL", "ofType": {"name": "ID", "kind": "SCALAR"}}}


def test_a_node_is_asked_for_by_its_id_and_may_be_gone() -> None:
    fields = OBJECTS["Query"].fields
    assert (str(fields["node"].type), arguments(fields["node"])) == ("Node", {"id": "ID!"})
    assert (str(fields["nodes"].type), arguments(fields["nodes"])) == ("[Node]!", {"ids": "[ID!]!"})


def test_whatever_is_paged_through_can_be_asked_for_again() -> None:
    interface = SCHEMA.type_map["Node"]
    assert isinstance(interface, GraphQLInterfaceType)
    nodes = {each.name for each in SCHEMA.get_implementations(interface).objects}
    paged = {get_named_type(OBJECTS[name].fields["nodes"].type).name for name in CONNECTIONS}
    assert paged - nodes == SHOWN_BY_THEIR_CONNECTION_ALONE


def test_a_page_says_where_it_lies() -> None:
    assert of("PageInfo") == {
        "hasNextPage": "Boolean!",
        "hasPreviousPage": "Boolean!",
        "startCursor": "String",
        "endCursor": "String",
    }


@pytest.mark.parametrize("name", CONNECTIONS)
def test_a_connection_has_edges_with_cursors_and_nodes(name: str) -> None:
    connection, edge_name = of(name), f"{name.removesuffix('Connection')}Edge"
    assert connection["edges"] == f"[{edge_name}!]!"
    assert connection["pageInfo"] == "PageInfo!"
    edge = of(edge_name)
    assert edge["cursor"] == "String!"
    assert connection["nodes"] == f"[{edge['node']}]!", "the short way to the same"
    assert edge["node"].endswith("!")


@pytest.mark.parametrize("name", sorted(PAGED))
def test_a_list_is_read_from_one_end_or_from_both(name: str) -> None:
    taken = arguments(PAGED[name])
    forward = {each: taken.get(each) for each in ("first", "after")}
    backward = {each: taken.get(each) for each in ("last", "before")}
    assert forward == {"first": "Int", "after": "String"}, "the type of cursors"
    assert backward in ({"last": "Int", "before": "String"}, {"last": None, "before": None})


def test_nothing_else_is_called_as_connections_are() -> None:
    assert len(CONNECTIONS) >= 5
    for kind in SCHEMA.type_map.values():
        assert isinstance(kind, GraphQLObjectType) or not kind.name.endswith(("Connection", "Edge"))
    edges = {name for name in OBJECTS if name.endswith("Edge")}
    assert edges == {f"{name.removesuffix('Connection')}Edge" for name in CONNECTIONS}
