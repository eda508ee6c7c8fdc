"""Which facts people are told of."""

from __future__ import annotations

from domain.actions.model import ActionKind
from domain.contracts.tasks import TaskEventKind
from domain.notifications.model import TOLD, draft_for
from tests.support.engine_fakes import an_event
from tests.support.storage import ids


def test_the_kinds_that_are_told_are_those_that_make_a_notification() -> None:
    making = {
        kind
        for kind in TaskEventKind
        for action in ActionKind
        if draft_for(an_event(kind, action_kind=action), ids.next()) is not None
    }
    assert making == TOLD
