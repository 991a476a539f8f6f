# The body of every level's module: its table of kernels, as a capsule for `engine`.

from cpython.pycapsule cimport PyCapsule_New

from fastxent._kernels.chunk cimport run_chunk
from fastxent._kernels.job cimport Job, Partial, KernelTable


cdef void chunk_of_level(const Job* job, Py_ssize_t number, Partial* partial) noexcept nogil:
    run_chunk(job, number, partial)


cdef KernelTable functions
functions.run_chunk = chunk_of_level
table = PyCapsule_New(&functions, NULL, NULL)
