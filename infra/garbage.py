"""The garbage collector of a process that has all it serves with: it looks at what is made from then on."""

from __future__ import annotations

import gc

YOUNG = 5_000
"""Objects more than before after which the young ones are looked at. A request makes some hundreds, nearly all
of which go by themselves; Python's own 700 looks several times at what is just being answered."""


def spare_what_stands() -> None:
    """To be called once the process is set up.

    Its modules and the schema are over 100,000 objects that are there to the end: each full collection would
    stop the process to look at them all, for a tenth of a second.
    See https://docs.python.org/3/library/gc.html#gc.freeze
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, *gc.get_threshold()[1:])
