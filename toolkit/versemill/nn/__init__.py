"""The neural network: cells stacked into a language model, and how this machine computes."""
