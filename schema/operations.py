"""One GraphQL operation at a time, for every transport: parsed, checked, executed, its errors fit to show.

    operations = Operations(build_schema())
    request = OperationRequest(query="...", variables=None, operation_name=None)

    operations.kind(request)            # "query", "mutation", "subscription"; None: cannot be told
    result = await operations.execute(request, context)       # queries and mutations
    result.body                         # the response, ready for JSON
    result.valid                        # False: nothing was executed; over HTTP that is a 400

    paid = await operations.pay(request, context)     # for each subscriber, also where they share a stream
    stream = await operations.subscribe(request, new_context)
    if isinstance(stream, Result): ...  # refused before it began: `stream.body["errors"]`
    async with aclosing(stream):        # iterate and close it in one and the same task
        async for body in stream: ...   # each a response; after one that says RESYNC the stream ends

`new_context` is called for the subscription and again for each of its events, so that nothing stale is told;
`begin`, before, with the traceparent of the event, where it has one.
What can be resumed tells its place in each response's `extensions.cursor`, whether or not it was selected.
Nothing here raises, except when it is cancelled, and Unauthenticated when `new_context` does.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from dataclasses import dataclass, replace
from inspect import isawaitable
from typing import Any, Literal, TypeGuard, cast

import strawberry
from graphql import ExecutionResult, GraphQLError, OperationType, get_operation_ast
from graphql.execution import (
    Executor,
    create_source_event_stream,
    map_source_to_response_event,
)
from strawberry.execution import optimized_is_awaitable

from domain.budgets.ports import Budgets
from domain.errors import Unauthenticated
from graphql_plans import Fallback
from schema.balances import told
from schema.context import Context
from schema.documents import Document, Documents
from schema.errors import present
from schema.introspection import may_see_schema, without_suggestion
from schema.limits import Limits
from schema.plans import Execute, Plans
from schema.sharing import begins_now
from schema.variables import check_lists

Kind = Literal["query", "mutation", "subscription"]
Turn = Callable[[], AbstractAsyncContextManager[None]]
"""Entered when it is there."""


@dataclass(frozen=True, slots=True)
class OperationRequest:
    query: str
    variables: dict[str, Any] | None = None
    operation_name: str | None = None
    published: bool = False
    """Whether the document is one that was published."""


@dataclass(frozen=True, slots=True)
class Result:
    body: dict[str, Any]
    """As JSON: `data`, `errors`."""
    valid: bool
    """Whether it came to executing; if not, there is no `data`."""


class Operations:
    """`fell_back` is told why graphql-core executed an operation that was to have a plan, or a part of it."""

    def __init__(
        self,
        schema: strawberry.Schema,
        fell_back: Callable[[Fallback], None] = lambda _: None,
        limits: Limits = Limits(),  # noqa: B008  it is frozen
        budgets: Budgets | None = None,
    ) -> None:
        # Strawberry offers to execute only together with parsing and validating anew.
        self._schema = schema._schema
        self._executor_class = cast(type[Executor[Any]], schema.execution_context_class)
        self._limits = limits
        self._budgets = budgets
        self._documents = Documents(self._schema, limits)
        self._plans = Plans(schema, self._documents, fell_back)

    def kind(self, request: OperationRequest) -> Kind | None:
        """None when the document cannot be parsed, or does not say which operation is meant."""
        document = self._document(request)
        operation = document.operation(request.operation_name)
        return None if operation is None else operation.value

    def declared(self, request: OperationRequest) -> OperationRequest:
        """With those variables alone that its operation declares: the rest has no effect, and may be large."""
        if not request.variables:
            return request
        document = self._document(request)
        if document.node is None:
            return request
        operation = get_operation_ast(document.node, request.operation_name)
        if operation is None:
            return request
        names = {each.variable.name.value for each in operation.variable_definitions or ()}
        kept = {name: value for name, value in request.variables.items() if name in names}
        return request if len(kept) == len(request.variables) else replace(request, variables=kept)

    def published_name(self, request: OperationRequest) -> str | None:
        """Of the operation, when its document was published and it has one: there are only so many."""
        return self._document(request).name(request.operation_name) if request.published else None

    def begins_now(self, request: OperationRequest) -> bool:
        """Whether it is a subscription to what happens from now on, the same for all who ask alike."""
        document = self._document(request)
        if document.node is None or document.errors:
            return False
        operation = get_operation_ast(document.node, request.operation_name)
        return operation is not None and begins_now(self._schema, operation, request.variables)

    def is_good(self, text: str) -> bool:
        """Whether this document can be executed, and is short enough to be remembered."""
        return self._documents.read(text).node is not None and self._documents.remembers(text)

    async def execute(self, request: OperationRequest, context: Context) -> Result:
        """For queries and mutations."""
        try:
            executor = self._executor(request, context)
            if isinstance(executor, Result):
                return executor
            if executor.operation.operation is OperationType.SUBSCRIPTION:
                return _refused([GraphQLError("A subscription is not executed, but subscribed to.")], context)
            cost = await self._spend(request, executor, context)
            result = self._executing(request)(executor)
            body = _body(await result if isawaitable(result) else result, context)
            if context.tally.over:
                mutation = executor.operation.operation is OperationType.MUTATION
                body = _left_out(context, mutation=mutation)
            return Result(body | cost, valid=True)
        except Exception as error:  # noqa: BLE001  the edge of what we know: shown as internal, and logged
            return _refused([error], context)

    async def pay(self, request: OperationRequest, context: Context) -> Result | dict[str, Any]:
        """What to tell of what a subscription costs; a Result when it is refused, and nothing is spent."""
        try:
            executor = self._executor(request, context)
            if isinstance(executor, Result):
                return executor
            return await self._spend(request, executor, context)
        except Exception as error:  # noqa: BLE001  the edge of what we know: shown as internal, and logged
            return _refused([error], context)

    async def subscribe(
        self,
        request: OperationRequest,
        new_context: Callable[[], Context],
        begin: Callable[[str | None], None] = lambda _: None,
        turn: Turn = nullcontext,
    ) -> AsyncGenerator[dict[str, Any], None] | Result:
        """For subscriptions that are paid for. Each event is executed within a `turn`."""
        context = new_context()
        try:
            executor = self._executor(request, context)
            if isinstance(executor, Result):
                return executor
            if executor.operation.operation is not OperationType.SUBSCRIPTION:
                return _refused([GraphQLError("Only a subscription is subscribed to.")], context)
            stream = create_source_event_stream(executor)
            source = await stream if isawaitable(stream) else stream
        except Exception as error:  # noqa: BLE001  the edge of what we know: shown as internal, and logged
            return _refused([error], context)
        if isinstance(source, ExecutionResult):
            return _refused(source.errors or [], context)

        def begun(event: object) -> Context:
            begin(getattr(event, "traceparent", None))
            return new_context()

        return _responses(executor, source, context, begun, self._executing(request), turn=turn)

    def _document(self, request: OperationRequest) -> Document:
        return self._documents.read(request.query, published=request.published)

    def _executing(self, request: OperationRequest) -> Execute:
        return self._plans.executing(request.query, request.operation_name, published=request.published)

    def _executor(self, request: OperationRequest, context: Context) -> Executor[Any] | Result:
        document = self._document(request)
        if document.node is None or document.errors:
            return _refused(map(self._of_request, document.errors), context)
        if document.introspecting and not may_see_schema(context.caller, self._limits.introspection):
            return _refused(document.introspecting, context)
        variables = request.variables or {}
        uses, name = document.uses, request.operation_name
        check_lists(self._schema, document.node, uses, name, variables, limits=self._limits)
        executor = self._executor_class.build(
            self._schema,
            document.node,
            context_value=context,
            raw_variable_values=request.variables,
            operation_name=request.operation_name,
            is_awaitable=cast(Callable[[Any], TypeGuard[Awaitable[Any]]], optimized_is_awaitable),
        )
        return _refused(map(self._of_request, executor), context) if isinstance(executor, list) else executor

    async def _spend(
        self, request: OperationRequest, executor: Executor[Any], context: Context
    ) -> dict[str, Any]:
        """What to tell of it. Raises BudgetExceeded, and a GraphQLError for what costs too much."""
        costed = self._documents.cost(self._document(request), executor.operation)
        points = costed.check(executor.variable_values.coerced, self._limits)
        if self._budgets is None:
            return {}
        balance = await self._budgets.spend(context.caller.tenant, points)
        return {"extensions": {"cost": {"requested": points, **told(balance)}}}

    def _of_request(self, error: GraphQLError) -> GraphQLError:
        """GraphQL lets out Python's own words about values it cannot read, as for integers of 5,000 digits."""
        if isinstance(error.original_error, ValueError | OverflowError | RecursionError):
            return GraphQLError("A value in the request cannot be read.", error.nodes)
        if self._limits.introspection != "everyone":
            error.message = without_suggestion(error.message)
        return error


async def _responses(
    executor: Executor[Any],
    source: AsyncIterable[Any],
    context: Context,
    begun: Callable[[object], Context],
    execute: Execute,
    *,
    turn: Turn,
) -> AsyncGenerator[dict[str, Any], None]:
    cursor: str | None = None
    event_context = context

    async def answer(event: Executor[Any]) -> ExecutionResult:
        nonlocal cursor, event_context
        async with turn():
            cursor = getattr(event.root_value, "cursor", None)
            event.context_value = event_context = begun(event.root_value)
            result = execute(event)
            return await result if isawaitable(result) else result

    results = map_source_to_response_event(executor, source, answer)
    try:
        async with aclosing(results):
            async for result in results:
                over = event_context.tally.over
                body = _left_out(event_context) if over else _body(result, context)
                yield body if cursor is None else body | {"extensions": {"cursor": cursor}}
    except Unauthenticated:
        raise
    except Exception as error:  # noqa: BLE001  the edge of what we know: told to the subscriber, and its end
        yield {"errors": present([error], context.ids)}


def _body(result: ExecutionResult, context: Context) -> dict[str, Any]:
    body: dict[str, Any] = {"data": result.data}
    if result.errors:
        body["errors"] = present(result.errors, context.ids)
    return body


def _left_out(context: Context, *, mutation: bool = False) -> dict[str, Any]:
    """Fields that were answered all the same are of no use without the others, and may be large."""
    return {"data": None, "errors": present([context.tally.refusal(mutation=mutation)], context.ids)}


def _refused(errors: Iterable[Exception], context: Context) -> Result:
    return Result({"errors": present(errors, context.ids)}, valid=False)
