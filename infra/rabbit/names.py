"""What an installation's exchanges and queues are called."""

from __future__ import annotations

from dataclasses import dataclass

from infra.live.hand_over import queue_name


@dataclass(frozen=True, slots=True)
class Names:
    namespace: str

    @property
    def events(self) -> str:
        return f"{self.namespace}.events"

    @property
    def signals(self) -> str:
        return f"{self.namespace}.signals"

    @property
    def dead(self) -> str:
        """The exchange that takes what is set aside, by the name of its consumer."""
        return f"{self.namespace}.dead"

    @property
    def tasks(self) -> str:
        return queue_name(self.namespace)

    def consumer(self, name: str) -> str:
        return f"{self.namespace}.{name}"

    def dead_letters(self, name: str) -> str:
        return f"{self.namespace}.{name}.dead"

    def looking(self, name: str) -> str:
        """There while somebody looks at its dead letters."""
        return f"{self.namespace}.{name}.dead.looking"
