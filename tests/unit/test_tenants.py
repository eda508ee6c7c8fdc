"""To a caller of another tenant, whatever they ask by, what is a tenant's is exactly as if it did not exist."""

from __future__ import annotations

import json
import re
from typing import Any
from uuid import UUID

import pytest
from graphql import GraphQLObjectType

from domain.audit.model import Begun
from domain.dead_letters.model import DeadLetter
from domain.tenancy.model import Caller
from domain.webhooks.model import WebhookSecret
from schema.build import build_schema
from schema.ids import dead_letter_id, webhook_secret_id
from schema.paging import stream_cursor
from tests.support.face import NOW, TENANT, Face
from tests.unit import test_owners as of_owners

FOREIGN = Caller(tenant="other")
SECRET = webhook_secret_id(UUID(int=77))
OF_A_SECRET = {
    "node": "{ node(id: $id) { id } }",
    "rotate": "mutation { rotateWebhookSecret(input: { id: $id }) { secret errors { code message path } } }",
    "delete": "mutation { deleteWebhookSecret(id: $id) { deletedId errors { code message path } } }",
}
LETTER = DeadLetter(of="notifier", key="a:1", tenant=TENANT, at=NOW, what="an event", body="{}")
OF_A_DEAD_LETTER = {
    "replay": "mutation { replayDeadLetters(ids: [$id]) { count errors { code } } }",
    "purge": "mutation { purgeDeadLetters(ids: [$id]) { count errors { code } } }",
}
LISTS = [
    *of_owners.LISTS,
    "{ queues { name depth } }",
    "subscription { queueStats { name depth } }",
    "{ webhookSecrets { id } }",
    "{ auditLog { nodes { operation } } }",
    "{ deadLetters { id } }",
    "{ notifications(first: 9, after: $place) { nodes { id } } }",
    "mutation { markNotificationsRead(input: { upTo: $place }) { count unreadCount } }",
]
ASKED = {
    **{f"task {name}": ("task", query) for name, query in of_owners.OF_A_TASK.items()},
    **{f"schedule {name}": ("schedule", query) for name, query in of_owners.OF_A_SCHEDULE.items()},
    **{f"notification {name}": ("notification", query) for name, query in of_owners.OF_A_NOTIFICATION.items()},
    **{f"attempt {name}": ("attempt", query) for name, query in of_owners.OF_AN_ATTEMPT.items()},
    **{f"secret {name}": ("secret", query) for name, query in OF_A_SECRET.items()},
    **{f"dead letter {name}": ("dead letter", query) for name, query in OF_A_DEAD_LETTER.items()},
}
OF_NOBODYS_ROWS = {
    *("viewer", "handlers", "previewRecurrence"),
    *("createTask", "createTasks", "createSchedule", "createWebhookSecret"),
    *("pauseQueue", "resumeQueue", "updateQueue"),
}
"""What reads no rows, makes one, or names a queue, which every tenant has."""


def full() -> tuple[Face, dict[str, str]]:
    face, ids = of_owners.full("bob")
    face.webhook_secrets.rows[UUID(int=77)] = WebhookSecret(
        id=UUID(int=77), tenant=TENANT, origin=None, prefix="whsec_abcd", created_at=NOW
    )
    caller = Caller(tenant=TENANT)
    begun = Begun(id=UUID(int=78), caller=caller, operation="cancelTask", trace_id="a")
    face.audit_log.rows[begun.id] = (begun, None)
    face.dead_letters["notifier"].rows.append(LETTER)
    return face, {**ids, "secret": SECRET, "dead letter": dead_letter_id(LETTER.id)}


async def answers(face: Face, query: str, id: str = "") -> list[dict[str, Any]]:
    asked = query.replace("$id", json.dumps(id)).replace("$place", json.dumps(stream_cursor(1)))
    if query.startswith("subscription"):
        return await face.follow(asked, FOREIGN, most=2 if "queueStats" in query else None)  # it has no end
    return [(await face.run(asked, FOREIGN)).body]


@pytest.mark.parametrize("name", ASKED)
async def test_a_foreign_id_answers_as_one_of_nothing(name: str) -> None:
    kind, query = ASKED[name]
    face, ids = full()
    before = repr((face.tasks.rows, face.schedules.rows, face.notifications.rows, face.webhook_secrets.rows))
    nothing = {
        **of_owners.NO_IDS,
        "secret": webhook_secret_id(of_owners.NOTHING),
        "dead letter": dead_letter_id("notifier:b:1"),
    }
    assert await answers(face, query, ids[kind]) == await answers(Face(), query, nothing[kind])
    assert before == repr(
        (face.tasks.rows, face.schedules.rows, face.notifications.rows, face.webhook_secrets.rows)
    )
    assert face.dead_letters["notifier"].rows == [LETTER]


@pytest.mark.parametrize("query", LISTS)
async def test_lists_counts_cursors_and_feeds_are_as_if_there_were_nothing(query: str) -> None:
    face, _ = full()
    before = dict(face.tasks.rows), list(face.notifications.rows)
    assert await answers(face, query) == await answers(Face(), query)
    assert before == (face.tasks.rows, face.notifications.rows)


def test_every_field_that_reads_or_changes_rows_is_asked() -> None:
    asked = " ".join([*LISTS, *(query for _, query in ASKED.values())])
    roots = (build_schema()._schema.type_map[name] for name in ("Query", "Mutation", "Subscription"))
    fields = {name for root in roots if isinstance(root, GraphQLObjectType) for name in root.fields}
    assert {name for name in fields if not re.search(rf"\b{name}\b", asked)} == OF_NOBODYS_ROWS
