"""Dead letters over GraphQL: a tenant's own alone, replayed and purged by their ids."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from domain.audit.model import Outcome
from domain.dead_letters.model import DeadLetter, LetterPlace
from domain.dead_letters.service import Settling
from schema.ids import dead_letter_id
from schema.paging import letter_cursor
from tests.support.face import NOW, TENANT, Face
from tests.support.stored_dead_letters import StoredDeadLetters

LIST = """query ($first: Int, $after: String) { deadLetters(first: $first, after: $after) {
  nodes { id of at what body } edges { cursor node { id } } unseen
  pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""
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
    listed = (await face.ask(LIST))["deadLetters"]
    assert listed["nodes"] == [
        {"id": id_of(broken), "of": "notifier", "at": None, "what": "an event", "body": "no JSON"},
        {
            "id": id_of(mine),
            "of": "notifier",
            "at": "2030-01-31T08:00:00Z",
            "what": "an event",
            "body": {"title": "Hi"},
        },
    ]
    assert [edge["node"]["id"] for edge in listed["edges"]] == [id_of(broken), id_of(mine)]
    assert listed["unseen"] is False
    assert (await face.error(LIST, first=101))["extensions"]["code"] == "PAGE_TOO_LARGE"


async def test_they_are_paged_through_all_kinds_while_some_of_them_are_settled() -> None:
    letters = [a_letter(f"{number}:1", at=NOW + timedelta(seconds=number)) for number in range(4)]
    unpublished = [a_letter(str(number), of="outbox", at=NOW) for number in range(2)]
    face = keeping(*reversed(letters))
    face.dead_letters["outbox"] = StoredDeadLetters(face.calls, rows=unpublished)
    seen, after, infos = [], None, []
    while True:
        page = (await face.ask(LIST, first=2, after=after))["deadLetters"]
        seen += [node["id"] for node in page["nodes"]]
        infos.append(page["pageInfo"])
        if not page["pageInfo"]["hasNextPage"]:
            break
        after = page["pageInfo"]["endCursor"]
        await face.ask(PURGE, ids=[page["nodes"][-1]["id"]])
    assert seen == [id_of(letter) for letter in (*letters, *unpublished)]
    assert [info["hasPreviousPage"] for info in infos] == [False, True, True]


async def test_what_could_not_be_looked_at_is_told() -> None:
    face = keeping(a_letter())
    face.dead_letters["notifier"].unseen = True
    assert (await face.ask(LIST))["deadLetters"]["unseen"] is True


@pytest.mark.parametrize("place", [LetterPlace("elsewhere", NOW, "a"), None])
async def test_what_is_no_place_among_them_is_refused(place: LetterPlace | None) -> None:
    cursor = "nonsense" if place is None else letter_cursor(place)
    error = await keeping(a_letter()).error(LIST, after=cursor)
    assert error["extensions"] == {"code": "INVALID", "argument": "after"}


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
