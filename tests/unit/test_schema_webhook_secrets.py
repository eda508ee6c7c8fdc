"""Secrets of webhooks over GraphQL: shown once, and only to whom they are to be entrusted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from domain.tenancy.model import Caller, Role
from schema.ids import task_id, webhook_secret_id
from tests.support.face import NOW, TENANT, Face

SHOWN = "webhookSecret { id origin prefix createdAt retiresAt } secret errors { code message path }"
CREATE = f"mutation ($input: CreateWebhookSecretInput!) {{ createWebhookSecret(input: $input) {{ {SHOWN} }} }}"
ROTATE = f"mutation ($input: RotateWebhookSecretInput!) {{ rotateWebhookSecret(input: $input) {{ {SHOWN} }} }}"
DELETE = "mutation ($id: ID!) { deleteWebhookSecret(id: $id) { deletedId errors { code path } } }"
LIST = "{ webhookSecrets { id origin prefix retiresAt } }"
NODE = "query ($id: ID!) { node(id: $id) { id ... on WebhookSecret { prefix } } }"

UNTRUSTED = [
    Caller(tenant=TENANT, role=Role.VIEWER),
    Caller(tenant=TENANT, role=Role.EDITOR),
    Caller(tenant=TENANT, role=Role.ADMIN, owner="alice"),
]


@pytest.fixture
def face() -> Face:
    return Face()


async def create(face: Face, **input: Any) -> dict[str, Any]:
    payload: dict[str, Any] = (await face.ask(CREATE, input=input))["createWebhookSecret"]
    return payload


async def rotate(face: Face, **input: Any) -> dict[str, Any]:
    payload: dict[str, Any] = (await face.ask(ROTATE, input=input))["rotateWebhookSecret"]
    return payload


async def test_a_secret_is_shown_once(face: Face) -> None:
    payload = await create(face, origin="https://Hooks.Example.com:443")
    [row] = face.webhook_secrets.rows.values()
    assert payload == {
        "webhookSecret": {
            "id": webhook_secret_id(row.id),
            "origin": "https://hooks.example.com",
            "prefix": "whsec_AbCd",
            "createdAt": "2030-01-31T08:00:00Z",
            "retiresAt": None,
        },
        "secret": "whsec_AbCdEf==",
        "errors": [],
    }
    id = payload["webhookSecret"]["id"]
    listed = await face.ask(LIST)
    assert listed == {
        "webhookSecrets": [
            {"id": id, "origin": "https://hooks.example.com", "prefix": "whsec_AbCd", "retiresAt": None}
        ]
    }
    assert (await face.ask(NODE, id=id))["node"] == {"id": id, "prefix": "whsec_AbCd"}


@pytest.mark.parametrize(
    ("origin", "written"),
    [
        (None, None),
        ("https://b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.example", "https://xn--bcher-kva.example"),
        ("https://example.com./", "https://example.com"),
        ("https://example.com:8443", "https://example.com:8443"),
        ("https://[2606:4700:4700:0:0::1111]", "https://[2606:4700:4700::1111]"),
    ],
)
async def test_an_origin_is_written_in_one_way(face: Face, origin: str | None, written: str | None) -> None:
    assert (await create(face, origin=origin))["webhookSecret"]["origin"] == written


@pytest.mark.parametrize(
    ("origin", "code"),
    [
        ("", "INVALID"),
        ("example.com", "INVALID"),
        ("https://example.com/path", "INVALID"),
        ("https://example.com/?", "INVALID"),
        ("https://example.com?a=b", "INVALID"),
        ("https://example.com/#", "INVALID"),
        ("http://example.com", "FORBIDDEN_URL"),
        ("https://user@example.com", "FORBIDDEN_URL"),
        ("https://127.0.0.1", "FORBIDDEN_URL"),
        ("https://metadata.google.internal", "FORBIDDEN_URL"),
        ("https://example.com:22", "FORBIDDEN_URL"),
        ("https://" + "a" * 3_000, "INVALID"),
    ],
)
async def test_an_origin_that_webhooks_cannot_be_sent_to_is_refused(face: Face, origin: str, code: str) -> None:
    payload = await create(face, origin=origin)
    [error] = payload["errors"]
    assert (error["code"], error["path"]) == (code, ["input", "origin"])
    assert (payload["webhookSecret"], payload["secret"]) == (None, None)
    assert not face.calls


async def test_a_second_one_for_an_origin_is_a_conflict(face: Face) -> None:
    await create(face)
    [error] = (await create(face))["errors"]
    assert (error["code"], error["path"]) == ("CONFLICT", ["input", "origin"])


async def test_rotating_makes_another_and_says_when_the_old_one_retires(face: Face) -> None:
    old = (await create(face))["webhookSecret"]
    new = await rotate(face, id=old["id"])
    assert new["secret"] is not None
    assert new["webhookSecret"]["id"] != old["id"]
    listed = (await face.ask(LIST))["webhookSecrets"]
    assert [each["retiresAt"] for each in listed] == ["2030-02-01T08:00:00Z", None]
    again = await rotate(face, id=new["webhookSecret"]["id"], overlap="PT0S")
    face.clock.time = NOW + timedelta(seconds=1)
    assert [each["id"] for each in (await face.ask(LIST))["webhookSecrets"]] == [
        old["id"],
        again["webhookSecret"]["id"],
    ]


@pytest.mark.parametrize("overlap", ["-PT1S", "P31D"])
async def test_an_overlap_is_at_most_thirty_days(face: Face, overlap: str) -> None:
    id = (await create(face))["webhookSecret"]["id"]
    [error] = (await rotate(face, id=id, overlap=overlap))["errors"]
    assert (error["code"], error["path"]) == ("INVALID", ["input", "overlap"])


async def test_what_is_deleted_is_gone(face: Face) -> None:
    id = (await create(face))["webhookSecret"]["id"]
    assert await face.ask(DELETE, id=id) == {"deleteWebhookSecret": {"deletedId": id, "errors": []}}
    gone = {"deleteWebhookSecret": {"deletedId": None, "errors": [{"code": "NOT_FOUND", "path": ["id"]}]}}
    assert await face.ask(DELETE, id=id) == gone
    [error] = (await rotate(face, id=id))["errors"]
    assert (error["code"], error["path"]) == ("NOT_FOUND", ["input", "id"])


@pytest.mark.parametrize("id", ["", "x", webhook_secret_id(UUID(int=9)), task_id(UUID(int=1))])
async def test_an_id_of_nothing_is_not_found(face: Face, id: str) -> None:
    answer = (await face.ask(DELETE, id=id))["deleteWebhookSecret"]
    assert [error["code"] for error in answer["errors"]] == ["NOT_FOUND"]
    assert (await face.ask(NODE, id=id))["node"] is None


@pytest.mark.parametrize("caller", UNTRUSTED, ids=lambda caller: f"{caller.role} {caller.owner}")
async def test_only_administrators_bound_to_no_owner_see_and_change_them(face: Face, caller: Caller) -> None:
    id = (await create(face))["webhookSecret"]["id"]
    before = dict(face.webhook_secrets.rows)
    for query, variables in (
        (LIST, {}),
        (CREATE, {"input": {"origin": "https://example.com"}}),
        (ROTATE, {"input": {"id": id}}),
        (DELETE, {"id": id}),
    ):
        error = await face.error(query, caller, **variables)
        assert error["extensions"]["code"] == "FORBIDDEN"
    assert (await face.ask(NODE, caller, id=id))["node"] is None
    assert face.webhook_secrets.rows == before


async def test_another_tenants_are_not_there(face: Face) -> None:
    id = (await create(face))["webhookSecret"]["id"]
    stranger = Caller(tenant="other")
    assert await face.ask(LIST, stranger) == {"webhookSecrets": []}
    assert (await face.ask(NODE, stranger, id=id))["node"] is None
    answer = (await face.ask(DELETE, stranger, id=id))["deleteWebhookSecret"]
    assert [error["code"] for error in answer["errors"]] == ["NOT_FOUND"]
