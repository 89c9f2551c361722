"""What the fork server imports before it forks: torch and our code that needs it, no plugins.

Only the fork server imports this module. It does for the fork server what `versemill.cli` does for
a command: it imports without looking for garbage, and ends without taking the interpreter apart,
which with torch loaded takes half a second.
"""

from __future__ import annotations

import atexit
import gc
import os

gc.disable()  # imports make objects by the hundred thousand and next to no garbage

import pydantic  # noqa: E402, F401 - else every trainer imports it as it validates its job

import versemill_workers.trainer.process  # noqa: E402, F401

gc.freeze()  # trainers neither search these objects for garbage nor copy their memory
gc.enable()  # trainers inherit this
atexit.register(os._exit, 0)  # registered last, runs first; trainers end without `atexit`
