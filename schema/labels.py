"""Labels as GraphQL sees them."""

from __future__ import annotations

import strawberry


@strawberry.type(description="A name and value the caller gave a task, to find it by.")
class Label:
    name: str = strawberry.field(description="Unique within the task.")
    value: str = strawberry.field(description="May be empty.")


@strawberry.input(description="A label to give, or to look for.")
class LabelInput:
    name: str = strawberry.field(description="Up to 64 characters, unique within the task.")
    value: str = strawberry.field(description="Up to 256 characters; may be empty.")


def read_labels(labels: list[LabelInput] | None) -> tuple[tuple[str, str], ...]:
    return tuple((label.name, label.value) for label in labels or ())
