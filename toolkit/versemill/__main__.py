"""`python -m versemill`: the same as the command `versemill`."""

import sys

if __name__ == "__main__":
    if not sys.flags.safe_path:
        del sys.path[0]  # the present folder, from which the command imports nothing either

    from versemill.cli import main

    main()
