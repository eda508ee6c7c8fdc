"""What a caller can put right, and what only time can. A class's docstring is its default message."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID


class Refusal(Exception):  # noqa: N818  a refusal is an answer, not a fault
    """The request cannot be carried out."""

    code: ClassVar[str] = "INVALID"

    def __init__(self, message: str | None = None, path: tuple[str, ...] = ()) -> None:
        super().__init__(message or self.__doc__)
        self.path = path
        """The field of the input it is about, for instance `("tasks", "3", "title")`."""

    @property
    def message(self) -> str:
        return str(self.args[0])


class Invalid(Refusal):
    """A value is not allowed here."""


class NotFound(Refusal):
    """There is no such thing."""

    code = "NOT_FOUND"


class Conflict(Refusal):
    """The key already names another task, with another content."""

    code = "CONFLICT"

    def __init__(
        self, message: str | None = None, path: tuple[str, ...] = (), *, task_id: UUID | None = None
    ) -> None:
        super().__init__(message, path)
        self.task_id = task_id
        """Of the task the key names."""


class StaleVersion(Refusal):
    """Someone else changed it first: read it again."""

    code = "STALE_VERSION"


class IllegalState(Refusal):
    """Its state does not allow this."""

    code = "ILLEGAL_STATE"


class CursorExpired(Refusal):
    """This cursor is no place in the stream any more: read the notifications again and go on from there."""

    code = "CURSOR_EXPIRED"


class TooMany(Refusal):
    """There are more than may be taken at once."""

    code = "TOO_MANY"


class NothingEncrypts(Invalid):
    """Secrets are kept encrypted, and no key is set to do it: set CARILLON_ENCRYPTION_KEYS."""


class UnknownHandler(Refusal):
    """No handler has this name."""

    code = "UNKNOWN_HANDLER"


class ForbiddenUrl(Refusal):
    """Webhooks may not be sent there."""

    code = "FORBIDDEN_URL"


class Refusals(Exception):  # noqa: N818  several refusals of one input, told together
    """The input has several faults."""

    def __init__(self, refusals: list[Refusal]) -> None:
        super().__init__("; ".join(refusal.message for refusal in refusals))
        self.refusals = refusals


class Unauthenticated(Exception):  # noqa: N818  says what the caller meets
    """A valid token is needed: there is none here, or it is unknown, expired or revoked."""

    code: ClassVar[str] = "UNAUTHENTICATED"

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class Forbidden(Exception):  # noqa: N818  says what the caller meets
    """A right is needed that the caller does not have; the message names it."""

    code: ClassVar[str] = "FORBIDDEN"


class Unavailable(Exception):  # noqa: N818  says what the caller meets
    """A part this needs cannot be reached just now: try again shortly."""

    code: ClassVar[str] = "UNAVAILABLE"
    retry_after: ClassVar[float] = 1.0
    """Seconds: nobody knows when it will be back, and a try costs little."""

    reason: ClassVar[str] = "does not answer"
    """For whoever runs it."""

    def __init__(self, dependency: str, happens: str = "cannot be reached") -> None:
        super().__init__(f"{dependency} {happens} just now: try again shortly")
        self.dependency = dependency


class Unprepared(Unavailable):
    """It answers, and is not as this needs it, until somebody puts that right."""

    reason = "not migrated, or too little is granted: carillon migrate"

    def __init__(self, dependency: str) -> None:
        super().__init__(dependency, "is not ready for this")


class TenantBusy(Unavailable):
    """Too much is under way for this tenant just now: try again shortly."""

    code = "TENANT_BUSY"

    def __init__(self) -> None:
        Exception.__init__(self, self.__doc__)
        self.dependency = "PostgreSQL"
