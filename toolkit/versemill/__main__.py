"""`python -m versemill`: the same as the command `versemill`."""

from versemill.cli import main

if __name__ == "__main__":
    main()
