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
