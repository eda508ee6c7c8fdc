"""How much may be under way at once so that it stays quick: found out from how long things take (AIMD)."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcurrencyPolicy:
    """Times are in seconds."""

    least: int = 16
    """So many are always let in."""
    quiet: int = 4
    """While no more are under way, things take as long as they do unloaded."""
    most: int = 200
    """At the beginning, and ever; those who are let in though it is met come on top, no more than that."""
    times: float = 2.0
    """Slower than so many times the unloaded is too slow."""
    unnoticed: float = 0.1
    """What takes no longer than this is not too slow, however quick it would be unloaded."""
    patience: float = 0.5
    """So long it is too slow before less is let in: what comes in one burst is soon done."""
    window: float = 0.1
    samples: int = 20
    """What is looked at together: so many, over at least that time, ..."""
    longest: float = 0.5
    """... or what there is after this."""
    back_off: float = 0.9
    deepest: float = 0.25
    """What is left of the limit when it is lowered at once: at least so much, at most the former."""


@dataclass(slots=True)
class _Window:
    began: float
    peak: int = 0
    """Under way at once."""
    took: list[float] = field(default_factory=list)


class ConcurrencyLimit:
    """`now` is the seconds of any clock that never goes back.

    While the limit is met, whoever has less than their part of it under way is let in all the same: one tenant
    with much that is slow does not keep out the others. Its own has to end until all are below the limit again.
    The parts of all who may come have a sum without end: beyond twice `most` none is let in.
    """

    def __init__(self, policy: ConcurrencyPolicy) -> None:
        self._policy = policy
        self._limit = float(policy.most)
        self._window: _Window | None = None
        self._unloaded: float | None = None
        self._slow_since: float | None = None
        self._lowered = float("-inf")
        self.under_way = 0
        self._of_tenants: dict[str, int] = {}
        """What is under way, of those of whom something is."""

    @property
    def limit(self) -> int:
        return int(self._limit)

    def has_room(self, tenant: str) -> bool:
        if self.under_way < self.limit:
            return True
        if self.under_way >= 2 * self._policy.most:
            return False
        own = self._of_tenants.get(tenant, 0)
        asking = len(self._of_tenants) + (own == 0)
        return own < self.limit // asking

    def admit(self, tenant: str, now: float) -> bool:
        """Whether it may begin; `end` is told when what may has ended."""
        if not self.has_room(tenant):
            return False
        if not self.under_way:
            self._slow_since = None  # however slow the last were: they are done
        self.under_way += 1
        self._of_tenants[tenant] = self._of_tenants.get(tenant, 0) + 1
        if self._window is None:
            self._window = _Window(now)
        self._window.peak = max(self._window.peak, self.under_way)
        return True

    def end(self, tenant: str, took: float | None, now: float) -> None:
        """`took` is how long it was under way; None when that says nothing."""
        self.under_way -= 1
        self._of_tenants[tenant] -= 1
        if not self._of_tenants[tenant]:
            del self._of_tenants[tenant]
        window = self._window
        if window is None or took is None or now - took < self._lowered:
            return  # what began before was let in by another limit
        window.took.append(took)
        if now - window.began >= self._lasts(window):
            self._window = _Window(now, self.under_way)
            self._learn(window, now)

    def _lasts(self, window: _Window) -> float:
        enough = len(window.took) >= self._policy.samples
        return self._policy.window if enough else self._policy.longest

    def _learn(self, window: _Window, now: float) -> None:
        policy = self._policy
        # The one in the middle: a few that are slow, as the last of a burst, say nothing of the others.
        took = sorted(window.took)[len(window.took) // 2]
        is_quiet = window.peak <= policy.quiet
        if is_quiet:
            self._unloaded = took if self._unloaded is None else (3 * self._unloaded + took) / 4
        slow = max(policy.unnoticed, policy.times * (self._unloaded or 0))
        if took > slow and not is_quiet:  # what is slow by itself would be as slow with less beside it
            if self._slow_since is None:
                self._slow_since = now
            elif now - self._slow_since >= policy.patience:
                self._lower(window, slow / took, now)
            return
        self._slow_since = None
        if window.peak >= self.limit - 1:
            self._limit = min(policy.most, self._limit + 1)
        elif is_quiet:
            self._limit = min(policy.most, self._limit * 2)  # the load is gone

    def _lower(self, window: _Window, quicker: float, now: float) -> None:
        policy, self._lowered = self._policy, now
        # Half as many take half as long, where they wait for each other (Little's law).
        left = min(policy.back_off, max(policy.deepest, quicker))
        self._limit = max(policy.least, min(self._limit, window.peak) * left)
