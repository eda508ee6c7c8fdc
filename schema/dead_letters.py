"""Events of the tenant that could not be handled or published, as GraphQL sees them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Annotated

import strawberry

from domain.dead_letters.model import Chosen, LetterPlace, Letters, named
from domain.dead_letters.model import DeadLetter as DomainLetter
from domain.errors import TooMany
from domain.paging import MAX_PAGE
from domain.tenancy.permissions import Permission
from schema.absent import given
from schema.context import Ask
from schema.ids import dead_letter_id, read_dead_letter_id
from schema.paging import After, First, PageInfo, letter_cursor, page_info, page_request, read_letter_cursor
from schema.permissions import changes, needs
from schema.scalars import Json
from schema.user_errors import UserError, user_errors

Ids = Annotated[list[strawberry.ID], strawberry.argument(description=f"Up to {MAX_PAGE} of them.")]


@strawberry.type(
    description="An event that could not be handled or published. (Tasks that failed are in `tasks`.)",
)
class DeadLetter:
    id: strawberry.ID = strawberry.field(description="To replay or purge it by.")
    of: str = strawberry.field(
        description="The consumer that could not handle it, or `outbox` when it could not be published."
    )
    at: datetime | None = strawberry.field(description="When it happened; null when that cannot be read.")
    what: str = strawberry.field(description="What kind of event it is, in a few words.")
    body: Json = strawberry.field(description="The event; a string when it is no JSON.")

    @staticmethod
    def kept(letter: DomainLetter) -> DeadLetter:
        return DeadLetter(
            id=dead_letter_id(letter.id),
            of=letter.of,
            at=letter.at,
            what=letter.what,
            body=Json(letter.content),
        )


@strawberry.type(description="A dead letter and its place in the list.")
class DeadLetterEdge:
    cursor: str = strawberry.field(description="Its place, for `after`.")
    node: DeadLetter = strawberry.field(description="The dead letter.")


@strawberry.type(description="A page of dead letters.")
class DeadLetterConnection:
    edges: list[DeadLetterEdge] = strawberry.field(description="The dead letters with their cursors.")
    nodes: list[DeadLetter] = strawberry.field(description="The dead letters.")
    page_info: PageInfo = strawberry.field(description="Whether there are more.")
    unseen: bool = strawberry.field(
        description="Whether there may be others beyond what can be looked at, until some are settled."
    )

    @staticmethod
    def of(page: Letters, *, has_previous: bool) -> DeadLetterConnection:
        nodes = [DeadLetter.kept(each) for each in page.items]
        cursors = [letter_cursor(each.place) for each in page.items]
        edges = [DeadLetterEdge(cursor=at, node=node) for at, node in zip(cursors, nodes, strict=True)]
        info = page_info(cursors, has_next=page.more, has_previous=has_previous)
        return DeadLetterConnection(edges=edges, nodes=nodes, page_info=info, unseen=page.unseen)


@strawberry.type(description="What was done with dead letters.")
class DeadLettersPayload:
    count: int = strawberry.field(
        description="How many it was done with; what is none any more is passed over."
    )
    errors: list[UserError] = strawberry.field(description="What was refused; empty when all went well.")


@needs(Permission.MANAGE_DEAD_LETTERS)
async def dead_letters(
    info: Ask, first: First = strawberry.UNSET, after: After = strawberry.UNSET
) -> DeadLetterConnection:
    context = info.context
    service = context.dead_letters

    def place(cursor: str) -> LetterPlace | None:
        read = read_letter_cursor(cursor)
        return read if read is not None and read.of in service.kinds else None

    request = page_request(place, first=given(first), after=given(after))
    page = await context.tally.read(
        lambda: service.page(context.caller.tenant, request.size, request.after),
        lambda page: [each.body for each in page.items],
    )
    return DeadLetterConnection.of(page, has_previous=request.after is not None)


@changes(Permission.MANAGE_DEAD_LETTERS)
async def replay_dead_letters(info: Ask, ids: Ids) -> DeadLettersPayload:
    return await _settled(info, ids, info.context.dead_letters.replay)


@changes(Permission.MANAGE_DEAD_LETTERS)
async def purge_dead_letters(info: Ask, ids: Ids) -> DeadLettersPayload:
    return await _settled(info, ids, info.context.dead_letters.purge)


async def _settled(
    info: Ask, ids: list[strawberry.ID], settle: Callable[[Mapping[str, Chosen]], Awaitable[int]]
) -> DeadLettersPayload:
    caller = info.context.acting()
    if len(ids) > MAX_PAGE:
        refusal = TooMany(f"At most {MAX_PAGE} are settled at once; these are {len(ids)}.", ("ids",))
        return DeadLettersPayload(count=0, errors=user_errors(refusal, below=()))
    known = [known for id in ids if (known := read_dead_letter_id(id)) is not None]
    return DeadLettersPayload(count=await settle(named(known, caller.tenant)), errors=[])
