"""The files of Docker Compose, merged as it merges them; its own client is not everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
BASE, DEV, PROD = "docker-compose.yml", "compose.dev.yml", "compose.prod.yml"
REPLACED = {"command", "entrypoint", "test"}
"""Lists that are not added to."""

Json = dict[str, Any]


class _Reset:
    """What stands in an earlier file is taken away."""


class _Override(list[Any]):
    """What stands in an earlier file is replaced."""


class _Loader(yaml.SafeLoader):
    pass


def _overriding(loader: yaml.SafeLoader, node: yaml.Node) -> _Override:
    assert isinstance(node, yaml.SequenceNode)
    return _Override(loader.construct_sequence(node, deep=True))


_Loader.add_constructor("!reset", lambda *_: _Reset())
_Loader.add_constructor("!override", _overriding)


def read(*names: str) -> Json:
    """What these files say together."""
    whole: Json = {}
    for name in names:
        whole = _merged(whole, yaml.load((ROOT / name).read_text(), _Loader))
    return {key: value for key, value in whole.items() if not key.startswith("x-")}


def _merged(under: Any, over: Any, key: str = "") -> Any:
    if isinstance(under, dict) and isinstance(over, dict):
        keys = {**under, **over}
        both = {each: _merged(under.get(each), over.get(each, under.get(each)), each) for each in keys}
        return {each: value for each, value in both.items() if not isinstance(value, _Reset)}
    if isinstance(over, _Override):
        return list(over)
    if isinstance(under, list) and isinstance(over, list) and under is not over and key not in REPLACED:
        return under + [each for each in over if each not in under]
    return over
