"""The built-in decoder stages, one per file. Chain them: `temperature=0.8`, then `top-p=0.9`.

Each stage returns changed logits; the core draws from the softmax of the result.
"""
