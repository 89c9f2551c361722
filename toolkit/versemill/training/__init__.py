"""Training: the loop as an iterator, optimizers, and what a resume requires."""
