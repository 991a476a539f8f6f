"""The native layer.

The contract between the layers: Python passes `engine.Task` ndarrays whose shapes, dtypes and options
are checked. Every element (ranges, NaN, labels, weights) is checked natively, since that costs a pass
that the kernels make anyway. The kernels are the .pxd files. Each module in `levels` compiles them
for one instruction set. They see one C struct, the `Job`, run without the GIL, touch no Python object
and allocate nothing. Each chunk gives one `Partial`: sums as unevaluated pairs, or the first error.
The bits of a chunk depend on the job alone. `engine` adds the chunks in their order.

engine          the binding: ndarrays and options become a job, and partial sums one result
group_sums      the binding of groups: sums of single losses and of their squares, by group
isotonic        pools of scores with a common frequency of label 1; a module of its own
job             the structs, and the constants that fix the order of every sum
types           the fused float types, and the bits of a number
simd.h          intrinsics and compiler macros of every instruction set
levels/         one module for each instruction set; all include level.pxi
chunk           the entry point of a level
numeric/        elementary: exp and log; generic: the same for both float types; sums: lanes and pairs;
                clipped_log: the logarithm of a clipped probability
arrays/         load: any type, layout and byte order as contiguous runs; store: the way back; prefetch;
                bounds: range checks by bits; transpose: rows of few classes to SIMD over the rows
likelihood      sums of logarithms as products
binary/         losses of one number per position: chunk chooses between fast and general; elementwise
                has single losses; gradient; logistic (derivatives by slope and intercept)
categorical/    losses of one row per position: chunk, rows (labels, weights, masks), softmax (sums of
                exponentials), tile (few classes in float64), soft_labels (one row against a
                distribution), temperature (derivatives by a factor of the logits), gradient,
                gradient_row and gradient_tile (many classes, few), gradient_scale (what both share)
groups          sums of single losses and of their squares about a mean, by group
focal           the factor of focal losses, and its derivatives
gradient        derivatives, written after the losses of a block
"""
