"""What makes two creates with one key the same request."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from typing import Any

from domain.actions.credentials import shown
from domain.actions.model import Action, Http
from domain.tasks.model import Task


def fingerprint(task: Task, *, at_once: bool) -> bytes:
    """A digest of what the caller asked for; `at_once` when no instant was given, only "now"."""
    asked = {
        "title": task.title,
        "description": task.description,
        "scheduled_at": None if at_once else task.scheduled_at.isoformat(),
        "action": _asked(task.action),
        "queue": task.queue,
        "priority": task.priority,
        "owner": task.owner,
        "labels": sorted(task.labels),
        "concurrency_key": task.concurrency_key,
        "timeout": task.timeout.total_seconds(),
        "retry": {
            "max_attempts": task.retry.max_attempts,
            "backoff": task.retry.backoff,
            "base": task.retry.base.total_seconds(),
            "cap": task.retry.cap.total_seconds(),
        },
    }
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).digest()


def _asked(action: Action) -> dict[str, Any]:
    """Without credentials: beside what is encrypted, a digest of them would let them be guessed."""
    if isinstance(action, Http):
        action = replace(action, headers=shown(action.headers))
    return asdict(action)
