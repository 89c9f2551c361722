"""`python -m versemill_workers`: a worker in the foreground, until it is asked to end.

Imports nothing at the top: every trainer process runs this module's head once more.
"""

from __future__ import annotations

_GARBAGE_EVERY = 20_000


def main() -> None:
    """Reads the options, registers the worker, serves."""
    import os
    import sys

    if not sys.flags.safe_path:
        # Its fork server, and so every trainer, would import from the present folder as it does.
        os.execv(sys.executable, [sys.executable, "-P", *sys.orig_argv[1:]])  # noqa: S606

    import gc
    import signal

    # Imports make objects by the hundred thousand and next to no garbage.
    gc.set_threshold(_GARBAGE_EVERY)
    # Until the worker has handlers of its own, Ctrl-C ends it without a word.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

    from versemill.errors import VersemillError
    from versemill.escaping import one_line
    from versemill_workers.start import serve

    try:
        serve(sys.argv[1:])
    except VersemillError as error:
        sys.exit(f"versemill worker: {one_line(error)}")
    finally:
        gc.freeze()  # else Python searches every module for garbage once more as it ends


if __name__ == "__main__":
    main()
