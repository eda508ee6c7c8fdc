"""Execution plans for GraphQL operations that are executed often: see the README beside this file."""

from graphql_plans.bindings import Bindings, GraphQLCoreBindings
from graphql_plans.operation import Fallback, PlannedOperation

__all__ = ["Bindings", "Fallback", "GraphQLCoreBindings", "PlannedOperation"]
