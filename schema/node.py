"""What has a global id, and can be fetched by it."""

from __future__ import annotations

import strawberry


@strawberry.interface(description="What has a global id, good for `node`.")
class Node:
    id: strawberry.ID = strawberry.field(description="Opaque, and the same for ever.")
