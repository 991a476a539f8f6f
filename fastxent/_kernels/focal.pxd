# Focal losses: a cross entropy times (1 - p)^gamma, p being the probability of what is so
# (Lin et al., Focal Loss for Dense Object Detection, 2017, https://arxiv.org/abs/1708.02002).
#
# 1 - p is never a difference: it comes of its own exponential, so that a loss of 1e-40 is as accurate
# as one of 10. Everything is in float64, whatever the scores are. The derivatives are derived in
# docs/theory_focal.rst.

from libc.math cimport INFINITY
from libc.stdint cimport uint64_t

from fastxent._kernels.job cimport BLOCK, Job, ROWS
from fastxent._kernels.numeric.elementary cimport (
    _log_wide, decay_wide, decay_wide2, exponent_wide, log1p_wide, mantissa_wide, two_sum,
)
from fastxent._kernels.numeric.generic cimport difference
from fastxent._kernels.numeric.sums cimport term
from fastxent._kernels.types cimport wide_bits, wide_from


cdef inline double power(double x, double gamma) noexcept nogil:
    """x^gamma for 0 <= x <= 1 and gamma > 0, to about 1 + gamma / 2 ulp; subnormal x count as 0.

    With x = 2^k m it is 2^(k gamma) m^gamma. Of gamma the first 26 bits are enough for the part of
    k gamma that has to be exact; what is left of it, less its nearest integer, is small.
    """
    cdef double high = wide_from(wide_bits(gamma) & <uint64_t>0xFFFFFFFFF8000000)
    cdef double k = exponent_wide(x)
    cdef double scaled = high * k
    cdef double whole = (scaled + 6755399441055744.0) - 6755399441055744.0
    cdef double rest = (scaled - whole) + (gamma - high) * k
    cdef double total, lost, y
    two_sum(
        whole * 0.693147180559663,
        rest * 0.6931471805599453 + gamma * _log_wide(mantissa_wide(x) - 1.0, -0.0, -0.0),
        &total, &lost,
    )
    y = decay_wide2(total, lost + whole * 2.8235290563031577e-13)
    return y if x >= 2.2250738585072014e-308 else 0.0 * x


cdef inline void powers(double* x, Py_ssize_t n, double gamma) noexcept nogil:
    """x^gamma in place, 0 <= x <= 1 and gamma >= 0; the usual ones without a logarithm."""
    cdef Py_ssize_t i
    if gamma == 0.0:
        for i in range(n):
            x[i] = 1.0
    elif gamma == 2.0:
        for i in range(n):
            x[i] = x[i] * x[i]
    elif gamma != 1.0:
        for i in range(n):
            x[i] = power(x[i], gamma)


# ---- two outcomes ----------------------------------------------------------------------------
# All in terms of |z|: `right` is the label's share of the outcome that z is for, `wrong` of the other.


cdef inline double balance(const Job* job, double label, double other) noexcept nogil:
    """What alpha makes of a label; below 0, as in torchvision, there is none."""
    cdef double weight = job.alpha * label + (1.0 - job.alpha) * other
    return weight if job.alpha >= 0.0 else 1.0


cdef inline void misses(
    const double* z, const double* label, const double* other, int n, double* e, double* miss
) noexcept nogil:
    """e^-|z|, and what probability is missing: y (1 - p) + (1 - y) p."""
    cdef Py_ssize_t i
    cdef double right, wrong
    for i in range(n):
        e[i] = decay_wide(z[i] if z[i] < 0.0 else -z[i])
    for i in range(n):
        right = label[i] if z[i] > 0.0 else other[i]
        wrong = other[i] if z[i] > 0.0 else label[i]
        miss[i] = (right * e[i] + wrong) / (1.0 + e[i])


cdef inline void binary_focal_losses(
    const Job* job, const double* z, const double* label, const double* other, int n, double* loss,
    double* scratch
) noexcept nogil:
    """alpha (1 - p_t)^gamma times the cross entropy."""
    cdef Py_ssize_t i
    cdef double size, wrong, entropy
    misses(z, label, other, n, loss, scratch)
    powers(scratch, n, job.gamma)
    for i in range(n):
        size = z[i] if z[i] > 0.0 else -z[i]
        wrong = other[i] if z[i] > 0.0 else label[i]
        entropy = (label[i] + other[i]) * log1p_wide(loss[i]) + term(wrong, size)
        loss[i] = term(balance(job, label[i], other[i]) * scratch[i], entropy)


cdef inline void binary_focal_slopes(
    const Job* job, const double* z, const double* label, const double* other, int n, double* slope,
    double* bend
) noexcept nogil:
    """The derivatives of these losses, the second clipped below at the floor."""
    cdef Py_ssize_t i
    cdef double e, size, right, wrong, big, small, entropy, ratio, weighed, first, second, scale
    cdef double gamma = job.gamma
    misses(z, label, other, n, slope, bend)
    powers(bend, n, gamma)
    for i in range(n):
        e = slope[i]
        size = z[i] if z[i] > 0.0 else -z[i]
        right = label[i] if z[i] > 0.0 else other[i]
        wrong = other[i] if z[i] > 0.0 else label[i]
        big = 1.0 / (1.0 + e)
        small = e * big
        entropy = (label[i] + other[i]) * log1p_wide(e) + term(wrong, size)
        # Of what is missing: its derivative by |z|, over itself.
        ratio = (wrong - right) * big * (1.0 if wrong == 0.0 else e / (right * e + wrong))
        weighed = gamma * term(ratio, entropy)
        first = wrong - small       # that of the cross entropy
        scale = balance(job, label[i], other[i])
        slope[i] = scale * bend[i] * (weighed + first) * (1.0 if z[i] > 0.0 else -1.0)
        second = bend[i] * (
            weighed * ((gamma - 1.0) * ratio + (small - big)) + 2.0 * gamma * ratio * first
            + big * small
        )
        bend[i] = scale * (job.floor if second < job.floor else second)


# ---- rows of classes -------------------------------------------------------------------------


cdef inline void focal_of_odds(const Job* job, double* odds, int n) noexcept nogil:
    """The losses of up to ROWS rows, given the odds against their targets; alpha is not in them."""
    cdef double miss[ROWS]
    cdef Py_ssize_t i
    for i in range(n):
        miss[i] = odds[i] / (1.0 + odds[i])
    powers(miss, n, job.gamma)
    for i in range(n):
        odds[i] = miss[i] * log1p_wide(odds[i])


cdef inline void pulls_of_odds(
    const Job* job, const double* odds, int n, double* pull
) noexcept nogil:
    """What the gradients of the cross entropies of up to ROWS rows are multiplied by."""
    cdef Py_ssize_t i
    cdef double ratio
    for i in range(n):
        pull[i] = odds[i] / (1.0 + odds[i])
    powers(pull, n, job.gamma)
    for i in range(n):
        ratio = 1.0 if odds[i] == 0.0 else log1p_wide(odds[i]) / odds[i]
        pull[i] = pull[i] * (job.gamma * ratio + 1.0)


cdef inline void chances(
    double* x, Py_ssize_t m, double most, double rest, Py_ssize_t top, double* p, double* miss
) noexcept nogil:
    """p and 1 - p of m classes of a row, and -log p in the place of the logits.

    rest is the sum of e^(x - most) of all classes but the one at the top, which alone can have a p
    near 1: its 1 - p is the others' share, no difference.
    """
    cdef double d, lost, own
    cdef double total = 1.0 + rest, at_top = log1p_wide(rest)
    cdef Py_ssize_t i
    for i in range(m):
        d = difference(x[i], most, &lost)
        # What infinities lose is NaN, of which the exponential must not hear.
        lost = lost if d > -INFINITY else 0.0
        d = 0.0 if x[i] == most else d
        own = decay_wide2(d, lost) / total
        p[i] = own
        miss[i] = 1.0 - own
        x[i] = (at_top - lost) - d
    if 0 <= top < m:
        p[top] = 1.0 / total
        miss[top] = rest / total
        x[top] = at_top


cdef inline void class_pulls(
    const Job* job, const double* p, const double* miss, const double* surprise, Py_ssize_t m,
    double* q, double* twist
) noexcept nogil:
    """From what m classes weigh to what the pull of each is; and -p times its derivative by p.

    The pull is q (1 - p)^gamma (1 + gamma r), where r = -p log p / (1 - p).
    """
    cdef double shrink[BLOCK]
    cdef double ratio, gamma = job.gamma
    cdef Py_ssize_t i
    for i in range(m):
        shrink[i] = miss[i]
    powers(shrink, m, gamma)
    for i in range(m):
        ratio = 1.0 if miss[i] == 0.0 else term(p[i], surprise[i]) / miss[i]
        q[i] = q[i] * shrink[i]
        twist[i] = gamma * q[i] * (p[i] * (2.0 + (gamma - 1.0) * ratio) - ratio * miss[i])
        twist[i] = 0.0 if miss[i] == 0.0 else twist[i] / miss[i]
        q[i] = q[i] * (1.0 + gamma * ratio)
