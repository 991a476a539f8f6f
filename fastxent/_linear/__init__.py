"""Cross entropy of hidden states: logits are made block by block, and never stored.

- `operands`: the arrays and options of one call, checked; the rows that count.
- `targets`: what the rows are compared with, as far as one block of the vocabulary holds it.
- `products`: the sizes of the blocks, half precision widened, and the product of two matrices.
- `blocks`: the losses of a block of rows, merged over the vocabulary, and their gradients.
- `linear`: the public functions.
"""

from fastxent._linear.linear import linear_cross_entropy, linear_cross_entropy_value_and_grad

__all__ = ["linear_cross_entropy", "linear_cross_entropy_value_and_grad"]
