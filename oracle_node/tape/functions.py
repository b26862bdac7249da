"""Elementary functions as scalar expressions of exact binary32 operations; they fuse into whatever MAP uses them.

Each docstring states the largest error over the domain; tests/tape/test_functions.py measures it.
Range reductions and minimax polynomials follow S. Moshier's Cephes library (single precision).
"""

from collections.abc import Sequence

from oracle_node.tape.expression import Scalar

EXP_LOWEST, EXP_HIGHEST = -87.33, 88.37
_LOG2E = 1.44269504088896341
_LN2_HIGH, _LN2_LOW = 0.693359375, -2.12194440e-4
_EXP = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
_TANH = (-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1)


def _polynomial(x: Scalar, coefficients: Sequence[float]) -> Scalar:
    """Horner's rule, highest power first."""
    total = x * coefficients[0] + coefficients[1]
    for coefficient in coefficients[2:]:
        total = total * x + coefficient
    return total


def exp(x: Scalar) -> Scalar:
    """e^x; relative error below 2e-7 for x in [−87.33, 88.37], to which x is clamped."""
    x = x.clamp(EXP_LOWEST, EXP_HIGHEST)
    n = (x * _LOG2E + 0.5).floor().clamp(-126.0, 127.0)
    # |r| ≤ ln(2)/2 up to rounding; the clamp states it for the interval proof
    r = (x - n * _LN2_HIGH - n * _LN2_LOW).clamp(-0.3667, 0.3667)
    series = _polynomial(r, _EXP) * (r * r) + r + 1.0
    return series * n.to_int().pow2()


def sigmoid(x: Scalar) -> Scalar:
    """1 / (1 + e^−x); absolute error below 2e-7."""
    return 1.0 / (exp(-x) + 1.0)


def tanh(x: Scalar) -> Scalar:
    """Hyperbolic tangent; relative error below 4e-7 (an odd polynomial below 0.625, the exponential above)."""
    magnitude = x.abs()
    square = magnitude.minimum(0.625) * magnitude.minimum(0.625)
    small = _polynomial(square, _TANH) * square * magnitude.minimum(0.625) + magnitude.minimum(0.625)
    large = 1.0 - 2.0 / (exp((magnitude + magnitude).minimum(30.0)) + 1.0)
    value = (magnitude < 0.625).where(small, large)
    return (x < 0.0).where(-value, value)


def log(x: Scalar, highest_exponent: int) -> Scalar:
    """Natural logarithm of x in [1, 2^(highest_exponent+1)), to which it is clamped; errs below 3e-7 + 1e-7·ln x.

    A ladder of comparisons finds the exponent (8 operations a bit of `highest_exponent`, which is at most 31), the odd
    series in (m − 1)/(m + 1) does the rest.
    """
    if not 0 <= highest_exponent < 32:
        raise ValueError(f"the exponent {highest_exponent} is not in 0…31")
    m = x.maximum(1.0).minimum(2.0**highest_exponent * 1.99999988)
    exponent: Scalar | None = None
    for bit in (16, 8, 4, 2, 1):
        if bit <= highest_exponent:
            step = (m >= 2.0**bit) * bit
            exponent, m = step if exponent is None else exponent + step, m * (-step).pow2()
    # one more comparison centres the mantissa on 1, where the series converges fastest
    high = m > 1.41421356
    m = (m * (-high).pow2()).clamp(0.70710677, 1.41421367)
    n = (high if exponent is None else exponent + high).to_float()
    s = (m - 1.0) / (m + 1.0)
    series = _polynomial(s * s, (2 / 9, 2 / 7, 2 / 5, 2 / 3, 2.0)) * s
    return n * _LN2_LOW + series + n * _LN2_HIGH


def relu(x: Scalar) -> Scalar:
    """max(x, 0), exactly."""
    return x.maximum(0.0)


def leaky_relu(x: Scalar, slope: float) -> Scalar:
    """x, or slope·x below zero; one rounding."""
    return (x < 0.0).where(x * slope, x)


def hard_sigmoid(x: Scalar, slope: float = 1 / 6, offset: float = 0.5) -> Scalar:
    """slope·x + offset clamped to [0, 1]; two roundings."""
    return (x * slope + offset).clamp(0.0, 1.0)


def hard_swish(x: Scalar) -> Scalar:
    """x·hard_sigmoid(x); three roundings."""
    return x * hard_sigmoid(x)


def silu(x: Scalar) -> Scalar:
    """x·sigmoid(x); relative error below 4e-7."""
    return x * sigmoid(x)


def expm1(x: Scalar) -> Scalar:
    """e^x − 1; relative error below 8e-7 for x up to 88.37, to which it is clamped."""
    near = x.clamp(-0.34, 0.34)
    small = _polynomial(near, _EXP) * (near * near) + near
    return (x.abs() < 0.34).where(small, exp(x) - 1.0)


def ln(x: Scalar) -> Scalar:
    """Natural logarithm of x in [2^−63, 2^63], to which it is clamped; errs below 1e-7 + 2e-7·|ln x|.

    As `log`, but of numbers below 1 too: the ladder runs over x·2^63.
    """
    m = x.clamp(2.0**-63, 2.0**63) * 2.0**63
    exponent: Scalar | None = None
    for bit in (64, 32, 16, 8, 4, 2, 1):
        step = (m >= 2.0**bit) * bit
        exponent, m = step if exponent is None else exponent + step, m * (-step).pow2()
    assert exponent is not None
    high = m > 1.41421356
    # m is in [1, 2) by the ladder, which intervals cannot see
    m = (m * (-high).pow2()).clamp(0.70710677, 1.41421367)
    n = (exponent + high - 63).to_float()
    s = (m - 1.0) / (m + 1.0)
    series = _polynomial(s * s, (2 / 9, 2 / 7, 2 / 5, 2 / 3, 2.0)) * s
    return n * _LN2_LOW + series + n * _LN2_HIGH


_ERF_NEAR = (-5.96761703e-4, 4.99119423e-3, -2.67681349e-2, 1.12819925e-1, -3.76125336e-1, 1.28379166e-1)
_ERF_FAR = (
    -1.72853470e-5, 3.83197126e-4, -3.88396438e-3, 2.42546219e-2, -1.06777877e-1, -6.34846687e-1, -1.28717512e-1,
)  # fmt: skip


def erf(x: Scalar) -> Scalar:
    """The error function; relative error below 4e-7.

    Minimax polynomials of N. Juffa (2016): odd below 475/512, above it the exponential of one.
    """
    return erf_with(x, erf_far(x))


def erf_far(x: Scalar) -> Scalar:
    """erf |x| where that is above 475/512: the longer half of `erf`."""
    t = x.abs().minimum(4.0)  # erf(4) rounds to 1
    return 1.0 - exp(_polynomial(t, _ERF_FAR) * t - t)


def erf_with(x: Scalar, far: Scalar) -> Scalar:
    """erf, given `erf_far`: its other half, with which it has the same bits as in one program."""
    t = x.abs()
    near = t.minimum(0.927734375)
    small = _polynomial(near * near, _ERF_NEAR) * near + near
    value = (t > 0.927734375).where(far, small)
    return (x < 0.0).where(-value, value)


def gelu(x: Scalar) -> Scalar:
    """x·(1 + erf(x/√2))/2; absolute error below 2e-7·|x|."""
    return x * 0.5 * (erf(x * 0.7071067811865476) + 1.0)


def gelu_tanh(x: Scalar) -> Scalar:
    """x·(1 + tanh(√(2/π)·(x + 0.044715·x³)))/2; absolute error below 4e-7·|x|."""
    c = x.clamp(-10.0, 10.0)  # beyond it tanh is ±1
    return x * 0.5 * (tanh((c + c * c * c * 0.044715) * 0.7978845608028654) + 1.0)


def softplus(x: Scalar) -> Scalar:
    """ln(1 + e^x) as max(x, 0) + ln(1 + e^−|x|); errs below 3e-7 + 1e-7·max(x, 0)."""
    return log(exp(-x.abs()) + 1.0, 1) + x.maximum(0.0)


def mish(x: Scalar) -> Scalar:
    """x·tanh(softplus(x)) as x·w/(w + 2) with w = e^x·(e^x + 2); relative error below 1e-6."""
    e = exp(x.minimum(20.0))
    w = e * (e + 2.0)
    return x * (w / (w + 2.0)).minimum(1.0)


def elu(x: Scalar, alpha: float = 1.0) -> Scalar:
    """x, or alpha·(e^x − 1) below zero; relative error below 1e-6."""
    return (x < 0.0).where(expm1(x.minimum(0.0)) * alpha, x)


def celu(x: Scalar, alpha: float = 1.0) -> Scalar:
    """x, or alpha·(e^(x/alpha) − 1) below zero, for alpha > 0; relative error below 2e-6 where |x/alpha| < 10."""
    return (x < 0.0).where(expm1((x / alpha).minimum(0.0)) * alpha, x)


def softsign(x: Scalar) -> Scalar:
    """x/(1 + |x|); two roundings."""
    return x / (x.abs() + 1.0)
