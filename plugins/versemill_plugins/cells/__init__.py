"""The built-in recurrent cells, one per file.

Every cell holds its weights as [in, out] matrices, one bias per gate, and runs the time loop
inside one autograd function: the forward pass writes into preallocated buffers, the backward pass
leaves each weight gradient to one large product at the end.
"""
