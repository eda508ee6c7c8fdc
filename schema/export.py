"""Writes the schema as SDL beside itself, for clients and for review: python -m schema.export"""

from __future__ import annotations

from pathlib import Path

from schema.build import build_schema

SDL = Path(__file__).with_name("schema.graphql")


def main() -> None:
    SDL.write_text(f"{build_schema().as_str()}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
