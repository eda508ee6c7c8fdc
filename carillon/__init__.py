"""What the author of a handler imports: the mark, the context, and the ways to end early."""

from carillon.context import Context
from carillon.endings import Discard, Retry, Snooze
from carillon.marking import handler

__all__ = ["Context", "Discard", "Retry", "Snooze", "handler"]
