"""The command line: thin commands that parse, call the library or the job queue, and print.

Start-up time is a feature. This module imports next to nothing; command modules import click and
the standard library at their heads and everything heavy inside functions.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import signal
import sys
from typing import NoReturn

from versemill.cli.exit_codes import INTERRUPTED

_GARBAGE_EVERY = 20_000


def main() -> None:
    """The console script `versemill`: runs the command in `sys.argv` and exits.

    Exit codes: 0 done, 1 a `VersemillError`, 2 wrong usage, 130 Ctrl-C.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else: under nohup
        signal.signal(signal.SIGINT, leave_at_once)
    # Imports make objects by the hundred thousand and next to no garbage.
    gc.set_threshold(_GARBAGE_EVERY)
    from versemill.cli.terminal.streams import provide_streams

    provide_streams()
    from versemill.cli.error_reporting import perform

    _leave(perform(sys.argv[1:]))


def _leave(code: int) -> NoReturn:
    """Ends the process without taking the interpreter apart.

    With SQLAlchemy loaded that takes 0.1 s, which everybody who types a command would wait for.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def leave_at_once(_signal: int, _frame: object) -> None:
    """What Ctrl-C does unless a command says otherwise.

    An exception could strike in the middle of an import and come out as something else. Nothing
    is lost by leaving at once: a transaction without its commit leaves no trace.
    """
    os._exit(INTERRUPTED)
