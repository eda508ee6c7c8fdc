"""How figures are said."""

from __future__ import annotations

from collections.abc import Sequence

PARTS = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}


def spread(values: Sequence[float]) -> str:
    """Of milliseconds."""
    ordered = sorted(values)
    return " ".join(
        f"{name} {ordered[min(len(ordered) - 1, int(len(ordered) * part))]:.1f}" for name, part in PARTS.items()
    )
