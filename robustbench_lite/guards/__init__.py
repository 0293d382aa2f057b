"""What keeps a run whole: other people's code, files of unknown origin, memory, time and locks."""

from robustbench_lite.guards.cache import place, recalled, remember
from robustbench_lite.guards.determinism import deterministic
from robustbench_lite.guards.files import contents, no_programs, regular
from robustbench_lite.guards.foreign import (
    blamed,
    excerpt,
    installed,
    is_interrupt,
    real,
    theirs,
    told,
    trace,
    undisturbed,
    where,
)
from robustbench_lite.guards.generators import seeded
from robustbench_lite.guards.limits import Stopped, limited
from robustbench_lite.guards.locking import UnlockableError, exclusive
from robustbench_lite.guards.memory import auto_batch_size, chunked, is_out_of_memory, returned, uncollected

__all__ = [
    "Stopped",
    "UnlockableError",
    "auto_batch_size",
    "blamed",
    "chunked",
    "contents",
    "deterministic",
    "excerpt",
    "exclusive",
    "installed",
    "is_interrupt",
    "is_out_of_memory",
    "limited",
    "no_programs",
    "place",
    "real",
    "recalled",
    "regular",
    "remember",
    "returned",
    "seeded",
    "theirs",
    "told",
    "trace",
    "uncollected",
    "undisturbed",
    "where",
]
