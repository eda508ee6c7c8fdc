"""The audit log as GraphQL sees it."""

from __future__ import annotations

from datetime import datetime

import strawberry

from domain.audit.model import AuditEntry as DomainEntry
from domain.paging import Page
from domain.tenancy.permissions import Permission
from schema.absent import given
from schema.context import Ask
from schema.enums import AuditOutcome, Role
from schema.paging import After, First, PageInfo, audit_cursor, page_info, page_request, read_audit_cursor
from schema.permissions import needs


@strawberry.type(description="A mutation that was asked for: by whom, when, and how it ended.")
class AuditEntry:
    at: datetime = strawberry.field(description="When it was begun.")
    operation: str = strawberry.field(description="Its field, such as `cancelTask`.")
    credential: str | None = strawberry.field(
        description="Whose it was: the prefix of a token, the `sub` of a JWT; null without authentication."
    )
    role: Role = strawberry.field(description="The role they had.")
    owner: str | None = strawberry.field(description="The owner they were bound to; null for none.")
    trace_id: str = strawberry.field(description="The trace it belongs to, as in logs and in `traceparent`.")
    outcome: AuditOutcome | None = strawberry.field(
        description="Null while under way, or when its end was not noted: it may or may not have happened."
    )
    code: str | None = strawberry.field(description="Why it was refused, or failed.")
    ids: list[str] = strawberry.field(
        description="What it touched, or asked for: up to 100 global ids, or the name of a queue."
    )
    count: int = strawberry.field(description="How many things it touched.")

    @staticmethod
    def of(entry: DomainEntry) -> AuditEntry:
        ended = entry.ended
        return AuditEntry(
            at=entry.at,
            operation=entry.operation,
            credential=entry.credential,
            role=entry.role,
            owner=entry.owner,
            trace_id=entry.trace_id,
            outcome=ended.outcome if ended else None,
            code=ended.code if ended else None,
            ids=list(ended.ids) if ended else [],
            count=ended.count if ended else 0,
        )


@strawberry.type(description="An entry and its place in the log.")
class AuditLogEdge:
    cursor: str = strawberry.field(description="Its place, for `after`.")
    node: AuditEntry = strawberry.field(description="The entry.")


@strawberry.type(description="A page of the audit log.")
class AuditLogConnection:
    edges: list[AuditLogEdge] = strawberry.field(description="The entries with their cursors.")
    nodes: list[AuditEntry] = strawberry.field(description="The entries.")
    page_info: PageInfo = strawberry.field(description="Whether there are more.")

    @staticmethod
    def of(page: Page[DomainEntry]) -> AuditLogConnection:
        nodes = [AuditEntry.of(each) for each in page.items]
        cursors = [audit_cursor(each.id) for each in page.items]
        return AuditLogConnection(
            edges=[AuditLogEdge(cursor=cursor, node=node) for cursor, node in zip(cursors, nodes, strict=True)],
            nodes=nodes,
            page_info=page_info(cursors, has_next=page.has_next, has_previous=page.has_previous),
        )


@needs(Permission.READ_AUDIT_LOG)
async def audit_log(
    info: Ask, first: First = strawberry.UNSET, after: After = strawberry.UNSET
) -> AuditLogConnection:
    request = page_request(read_audit_cursor, first=given(first), after=given(after))
    context = info.context
    page = await context.tally.read(
        lambda: context.audit_log.page(context.caller.tenant, request),
        lambda page: [each.ended.ids for each in page.items if each.ended],
    )
    return AuditLogConnection.of(page)
