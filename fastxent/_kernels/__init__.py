"""The native layer.

The contract between the layers: Python hands `engine.Task` ndarrays whose shapes, dtypes and options
have been checked; what is checked natively is every element (ranges, NaN, labels, weights), since that
costs a pass that the kernels make anyway. The kernels (`*.pxd`, compiled once per instruction set by
`baseline.pyx`, `avx2.pyx`, `avx512.pyx`) see one C struct, the `Job`, run without the GIL, touch no
Python object, allocate nothing, and give back one `Partial` per chunk: sums as unevaluated pairs, or
the first fault. A chunk's bits depend on the job alone; `engine` adds the chunks up in their order.

job          the structs, and the constants that fix the order of every sum
load         any type, layout and byte order -> short contiguous runs
fetch        what the next blocks need, asked for meanwhile
checks       ranges of full blocks, by their bits
store        results -> arrays, past the caches where they are large
math         exp and log; real: the same in the type at hand
reduce       sums in lanes and pairs
product      sums of logarithms as products
probability  the logarithm of one probability, clipped
odds         exponentials of rows of logits
transpose    rows of few classes -> SIMD over the rows, and back
tile         the same in float64, of few classes, against distributions
binary       losses of one number per position; its roads are binary_fast and binary_careful
categorical  losses of one row per position, of a block that rows has staged
distribution one row against a distribution
focal        what a focal loss multiplies them by, and its derivatives
gradient     derivatives, written after a block's losses; gradient_binary, _rows, _tile, _store
chunk        the entry
"""
