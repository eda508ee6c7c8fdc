"""Dead letters over GraphQL: a tenant's own alone, replayed and purged by their ids."""

from __future__ import annotations

from typing import Any

from domain.audit.model import Outcome
from domain.dead_letters.model import DeadLetter
from domain.dead_letters.service import Settling
from schema.ids import dead_letter_id
from tests.support.face import NOW, TENANT, Face

LIST = "query ($first: Int) { deadLetters(first: $first) { id of at what body } }"
REPLAY = "mutation ($ids: [ID!]!) { replayDeadLetters(ids: $ids) { count errors { code path } } }"
PURGE = "mutation ($ids: [ID!]!) { purgeDeadLetters(ids: $ids) { count errors { code path } } }"


def a_letter(key: str = "a:1", **changes: Any) -> DeadLetter:
    fields: dict[str, Any] = {
        "of": "notifier",
        "tenant": TENANT,
        "at": NOW,
        "what": "an event",
        "body": '{"title": "Hi"}',
    }
    return DeadLetter(key=key, **(fields | changes))


def keeping(*letters: DeadLetter) -> Face:
    face = Face()
    face.dead_letters["notifier"].rows = list(letters)
    return face


def id_of(letter: DeadLetter) -> str:
    return dead_letter_id(letter.id)


async def test_the_tenants_own_are_listed_and_no_others() -> None:
    mine, broken = a_letter(), a_letter("b:1", at=None, body="no JSON")
    face = keeping(mine, a_letter("c:1", tenant="other"), broken, a_letter("d:1", tenant=None))
    assert (await face.ask(LIST))["deadLetters"] == [
        {
            "id": id_of(mine),
            "of": "notifier",
            "at": "2030-01-31T08:00:00Z",
            "what": "an event",
            "body": {"title": "Hi"},
        },
        {"id": id_of(broken), "of": "notifier", "at": None, "what": "an event", "body": "no JSON"},
    ]
    assert len((await face.ask(LIST, first=1))["deadLetters"]) == 1
    assert (await face.error(LIST, first=101))["extensions"]["code"] == "INVALID"


async def test_a_replay_is_counted_noted_and_does_nothing_the_second_time() -> None:
    one, other = a_letter(), a_letter("b:1")
    face = keeping(one, other)
    ids = [id_of(one), "nonsense", dead_letter_id("elsewhere:b:1")]
    assert (await face.ask(REPLAY, ids=ids))["replayDeadLetters"] == {"count": 1, "errors": []}
    assert face.dead_letters["notifier"].replayed == [one]
    assert (await face.ask(REPLAY, ids=ids))["replayDeadLetters"] == {"count": 0, "errors": []}
    assert face.dead_letters["notifier"].rows == [other]
    assert face.settled == [(Settling.REPLAYED, "notifier", 1), (Settling.REPLAYED, "notifier", 0)]
    begun, ended = next(iter(face.audit_log.rows.values()))
    assert ended is not None
    assert (begun.operation, ended.outcome, ended.count) == ("replayDeadLetters", Outcome.DONE, 1)
    assert ended.ids == tuple(ids)


async def test_what_is_purged_is_gone_and_was_not_replayed() -> None:
    one, other = a_letter(), a_letter("b:1")
    face = keeping(one, other)
    assert (await face.ask(PURGE, ids=[id_of(one)]))["purgeDeadLetters"] == {"count": 1, "errors": []}
    assert (face.dead_letters["notifier"].rows, face.dead_letters["notifier"].replayed) == ([other], [])
    assert face.settled == [(Settling.PURGED, "notifier", 1)]


async def test_what_is_no_tenants_or_anothers_is_out_of_reach_by_its_id() -> None:
    letters = [a_letter(tenant="other"), a_letter("b:1", tenant=None)]
    face = keeping(*letters)
    for change in (REPLAY, PURGE):
        [payload] = (await face.ask(change, ids=[id_of(each) for each in letters])).values()
        assert payload == {"count": 0, "errors": []}
    assert face.dead_letters["notifier"].rows == letters


async def test_more_than_a_page_is_not_settled_at_once() -> None:
    face = keeping(a_letter())
    [payload] = (await face.ask(REPLAY, ids=[id_of(a_letter())] * 101)).values()
    assert payload == {"count": 0, "errors": [{"code": "TOO_MANY", "path": ["ids"]}]}
    assert face.calls == []
