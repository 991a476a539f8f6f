# Focal losses: a cross entropy times (1 - p)^gamma, where p is the probability of the true class
# (Lin et al., Focal Loss for Dense Object Detection, 2017, https://arxiv.org/abs/1708.02002).
#
# 1 - p is never a difference. It comes from its own exponential, so that a loss of 1e-40 is as
# accurate as one of 10. Everything is in float64, whatever the dtype of the scores, but the exponential
# and the logarithm of full blocks of float32 logits against two outcomes.
# docs/theory_focal.rst derives the derivatives.

from libc.math cimport INFINITY
from libc.stdint cimport uint64_t

from fastxent._kernels.job cimport BLOCK, Job, ROWS
from fastxent._kernels.numeric.elementary cimport (
    _log_f64, exp_nonpos_f64, exp_nonpos_dd, exponent_f64, log1p_f64, mantissa_f64, two_sum,
)
from fastxent._kernels.numeric.generic cimport difference
from fastxent._kernels.numeric.sums cimport mul_zero_inf
from fastxent._kernels.types cimport bits_of_f64, f64_from_bits, real


cdef inline double pow_unit(double x, double gamma) noexcept nogil:
    """x^gamma for 0 <= x <= 1 and gamma > 0, to about 1 + gamma / 2 ulp; subnormal x count as 0.

    With x = 2^k m it is 2^(k gamma) m^gamma. The first 26 bits of gamma are enough for the part of
    k gamma that has to be exact; the remainder, minus its nearest integer, is small.
    """
    cdef double high = f64_from_bits(bits_of_f64(gamma) & <uint64_t>0xFFFFFFFFF8000000)
    cdef double k = exponent_f64(x)
    cdef double scaled = high * k
    cdef double whole = (scaled + 6755399441055744.0) - 6755399441055744.0
    cdef double rest = (scaled - whole) + (gamma - high) * k
    cdef double total, err, y
    two_sum(
        whole * 0.693147180559663,
        rest * 0.6931471805599453 + gamma * _log_f64(mantissa_f64(x) - 1.0, -0.0, -0.0),
        &total, &err,
    )
    y = exp_nonpos_dd(total, err + whole * 2.8235290563031577e-13)
    return y if x >= 2.2250738585072014e-308 else 0.0 * x


cdef inline void pow_unit_all(double* x, Py_ssize_t n, double gamma) noexcept nogil:
    """x^gamma in place, 0 <= x <= 1 and gamma >= 0; without a logarithm for 0, 1 and 2."""
    cdef Py_ssize_t i
    if gamma == 0.0:
        for i in range(n):
            x[i] = 1.0
    elif gamma == 2.0:
        for i in range(n):
            x[i] = x[i] * x[i]
    elif gamma != 1.0:
        for i in range(n):
            x[i] = pow_unit(x[i], gamma)


# ---- two outcomes ---------------------------------------------------------------------------- All
# in terms of |z|: `right` is the label's share of the outcome that z predicts, `wrong` of the other.


cdef inline double balance(const Job* job, double label, double other) noexcept nogil:
    """The weight that alpha gives a label; a negative alpha means none."""
    cdef double weight = job.alpha * label + (1.0 - job.alpha) * other
    return weight if job.alpha >= 0.0 else 1.0


cdef inline void load_one_minus_p(
    const double* z, const double* label, const double* other, int n, double* e, double* one_minus_p
) noexcept nogil:
    """e^-|z| and 1 - p_t = y (1 - p) + (1 - y) p."""
    cdef Py_ssize_t i
    cdef double right, wrong
    for i in range(n):
        e[i] = exp_nonpos_f64(z[i] if z[i] < 0.0 else -z[i])
    for i in range(n):
        right = label[i] if z[i] > 0.0 else other[i]
        wrong = other[i] if z[i] > 0.0 else label[i]
        one_minus_p[i] = (right * e[i] + wrong) / (1.0 + e[i])


cdef inline void binary_focal_losses(
    const Job* job, const double* z, const double* label, const double* other, int n, double* loss,
    double* scratch
) noexcept nogil:
    """alpha (1 - p_t)^gamma times the cross entropy."""
    cdef Py_ssize_t i
    cdef double size, wrong, entropy
    load_one_minus_p(z, label, other, n, loss, scratch)
    pow_unit_all(scratch, n, job.gamma)
    for i in range(n):
        size = z[i] if z[i] > 0.0 else -z[i]
        wrong = other[i] if z[i] > 0.0 else label[i]
        entropy = (label[i] + other[i]) * log1p_f64(loss[i]) + mul_zero_inf(wrong, size)
        loss[i] = mul_zero_inf(balance(job, label[i], other[i]) * scratch[i], entropy)


cdef inline void focal_of_parts(
    const Job* job, const real* z, const real* exps, const real* log1p_exps, const double* label,
    const double* other, double* loss
) noexcept nogil:
    """The same for a full block of finite logits, from e^-|z| and log(1 + e^-|z|) in their own type."""
    cdef double one_minus_p[BLOCK]
    cdef double e, size, right, wrong
    cdef Py_ssize_t i
    for i in range(BLOCK):
        right = label[i] if z[i] > 0 else other[i]
        wrong = other[i] if z[i] > 0 else label[i]
        size = <double>z[i]
        size = size if size > 0.0 else -size
        e = <double>exps[i]
        one_minus_p[i] = (right * e + wrong) / (1.0 + e)
        loss[i] = balance(job, label[i], other[i]) * (
            (right + wrong) * <double>log1p_exps[i] + wrong * size
        )
    pow_unit_all(one_minus_p, BLOCK, job.gamma)
    for i in range(BLOCK):
        loss[i] *= one_minus_p[i]


cdef inline void binary_focal_gradients(
    const Job* job, const double* z, const double* label, const double* other, int n, double* grad,
    double* hess
) noexcept nogil:
    """The derivatives of these losses, the second at least hess_floor."""
    cdef Py_ssize_t i
    cdef double e, size, right, wrong, big, small, entropy, ratio, weighed, first, second, scale
    cdef double gamma = job.gamma
    load_one_minus_p(z, label, other, n, grad, hess)
    pow_unit_all(hess, n, gamma)
    for i in range(n):
        e = grad[i]
        size = z[i] if z[i] > 0.0 else -z[i]
        right = label[i] if z[i] > 0.0 else other[i]
        wrong = other[i] if z[i] > 0.0 else label[i]
        big = 1.0 / (1.0 + e)
        small = e * big
        entropy = (label[i] + other[i]) * log1p_f64(e) + mul_zero_inf(wrong, size)
        # The derivative of 1 - p_t by |z|, divided by 1 - p_t.
        ratio = (wrong - right) * big * (1.0 if wrong == 0.0 else e / (right * e + wrong))
        weighed = gamma * mul_zero_inf(ratio, entropy)
        first = wrong - small       # the derivative of the cross entropy
        scale = balance(job, label[i], other[i])
        grad[i] = scale * hess[i] * (weighed + first) * (1.0 if z[i] > 0.0 else -1.0)
        second = hess[i] * (
            weighed * ((gamma - 1.0) * ratio + (small - big)) + 2.0 * gamma * ratio * first
            + big * small
        )
        hess[i] = scale * (job.hess_floor if second < job.hess_floor else second)


# ---- rows of classes -------------------------------------------------------------------------


cdef inline void focal_of_sum_exp(const Job* job, double* sum_exp, int n) noexcept nogil:
    """The losses of up to ROWS rows, without alpha, from sum e^(x - x_target) of the other classes."""
    cdef double one_minus_p[ROWS]
    cdef Py_ssize_t i
    for i in range(n):
        one_minus_p[i] = sum_exp[i] / (1.0 + sum_exp[i])
    pow_unit_all(one_minus_p, n, job.gamma)
    for i in range(n):
        sum_exp[i] = one_minus_p[i] * log1p_f64(sum_exp[i])


cdef inline void grad_weights_of_sum_exp(
    const Job* job, const double* sum_exp, int n, double* grad_weight
) noexcept nogil:
    """The factors from gradients of cross entropies to those of focal losses, for up to ROWS rows."""
    cdef Py_ssize_t i
    cdef double ratio
    for i in range(n):
        grad_weight[i] = sum_exp[i] / (1.0 + sum_exp[i])
    pow_unit_all(grad_weight, n, job.gamma)
    for i in range(n):
        ratio = 1.0 if sum_exp[i] == 0.0 else log1p_f64(sum_exp[i]) / sum_exp[i]
        grad_weight[i] = grad_weight[i] * (job.gamma * ratio + 1.0)


cdef inline void softmax_of_classes(
    double* x, Py_ssize_t m, double maximum, double rest, Py_ssize_t argmax, double* p,
    double* one_minus_p
) noexcept nogil:
    """p and 1 - p of m classes of a row, and -log p in place of the logits.

    rest is the sum of e^(x - most) of all classes but the one at the top, which alone can have a p
    near 1: its 1 - p is the others' share, no difference.
    """
    cdef double d, err, own
    cdef double total = 1.0 + rest, nll_argmax = log1p_f64(rest)
    cdef Py_ssize_t i
    for i in range(m):
        d = difference(x[i], maximum, &err)
        # The rounding error of infinities is NaN, which must not reach exp().
        err = err if d > -INFINITY else 0.0
        d = 0.0 if x[i] == maximum else d
        own = exp_nonpos_dd(d, err) / total
        p[i] = own
        one_minus_p[i] = 1.0 - own
        x[i] = (nll_argmax - err) - d
    if 0 <= argmax < m:
        p[argmax] = 1.0 / total
        one_minus_p[argmax] = rest / total
        x[argmax] = nll_argmax


cdef inline void class_grad_weights(
    const Job* job, const double* p, const double* one_minus_p, const double* nll, Py_ssize_t m,
    double* q, double* grad_weight_deriv
) noexcept nogil:
    """From the weights of m classes to their gradient weights, and -p times their derivatives by p.

    The gradient weight is q (1 - p)^gamma (1 + gamma r), where r = -p log p / (1 - p).
    """
    cdef double shrink[BLOCK]
    cdef double ratio, gamma = job.gamma
    cdef Py_ssize_t i
    for i in range(m):
        shrink[i] = one_minus_p[i]
    pow_unit_all(shrink, m, gamma)
    for i in range(m):
        ratio = 1.0 if one_minus_p[i] == 0.0 else mul_zero_inf(p[i], nll[i]) / one_minus_p[i]
        q[i] = q[i] * shrink[i]
        grad_weight_deriv[i] = gamma * q[i] * (
            p[i] * (2.0 + (gamma - 1.0) * ratio) - ratio * one_minus_p[i]
        )
        grad_weight_deriv[i] = 0.0 if one_minus_p[i] == 0.0 else grad_weight_deriv[i] / one_minus_p[i]
        q[i] = q[i] * (1.0 + gamma * ratio)
