"""The built-in decoder stages, one per file. Chain them: `temperature=0.8`, then `top-p=0.9`.

Every stage works on logits and only ever lowers them; the core draws from the softmax of what is
left.
"""
