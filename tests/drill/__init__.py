"""The drill: many small jobs, several workers, and everything that can go wrong with them.

`make drill MINUTES=1 SEED=7 STACK=servers` from the repository's root, or
`PYTHONPATH=.:support python -P -m drill` in tests/.
"""
