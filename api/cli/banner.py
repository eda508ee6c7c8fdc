"""What `carillon dev` says once it is ready."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

_TASK = """mutation { createTask(input: {title: "Say hello"}) { task { id state } errors { message } } }"""


def banner(address: str, home: Path) -> str:
    body = json.dumps({"query": _TASK})
    return f"""
Carillon is ready.

  GraphiQL    {address}/graphql
  Data        {home.absolute()}  (set CARILLON_HOME to keep it elsewhere)

A task to try, due at once:

  curl {address}/graphql -H 'content-type: application/json' -d {shlex.quote(body)}

Ctrl-C stops it."""
