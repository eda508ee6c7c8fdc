"""How figures are said."""

from __future__ import annotations

from collections.abc import Sequence

PARTS = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}


def spread(values: Sequence[float]) -> str:
    """Of milliseconds."""
    return " ".join(f"{name} {value:.1f}" for name, value in parts(values).items())


def parts(values: Sequence[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {name: ordered[min(len(ordered) - 1, int(len(ordered) * part))] for name, part in PARTS.items()}
