// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

/// @title IEEE-754 binary32, rounded to nearest even, denormals kept
/// @notice Numbers are their 32 bits in a word. Every function is total; for NaN or an infinity as an argument its
/// result is unspecified, since an admitted tape never yields one. A result too large for the format is an infinity.
/// @dev A finite number is m·2^(e−150): e is the exponent field, at least 1, and m < 2^24 the significand with its
/// hidden bit. An operation finds the exact result (or one with a sticky last bit) as an integer M·2^(q−149), then
/// `_round` cuts M to 24 bits. `q` may be negative (two's complement).
library Softfloat32 {
    uint256 private constant SIGN = 0x80000000;
    uint256 private constant MAGNITUDE = 0x7fffffff;
    uint256 private constant INFINITY = 0x7f800000;
    uint256 private constant ONE = 0x3f800000;
    uint256 private constant HIDDEN = 0x800000;
    uint256 private constant FRACTION = 0x7fffff;

    /// @dev Byte t is the bit length of t, for t in 0…7.
    uint256 private constant BIT_LENGTHS = 0x0001020203030303 << 192;

    function add(uint256 a, uint256 b) internal pure returns (uint256) {
        unchecked {
            // The operand of larger magnitude comes first: its sign is the result's, and no difference is negative.
            if (a & MAGNITUDE < b & MAGNITUDE) (a, b) = (b, a);
            (uint256 m, uint256 e) = _unpack(a);
            (uint256 n, uint256 f) = _unpack(b);
            uint256 distance = e - f;
            // b lies below a quarter of the spacing under a: a is the nearest number.
            if (distance > 25) return a;
            // Exact, in units of 2^(f−151); the extra bit keeps `_round`'s shift from being negative below.
            m <<= distance + 1;
            n <<= 1;
            m = (a ^ b) & SIGN == 0 ? m + n : m - n;
            // x + (−x) is +0, only −0 + −0 is −0.
            if (m == 0) return a & b & SIGN;
            // Without much cancellation the bit length is within 2 of the larger operand's.
            uint256 top = m >> (distance + 23);
            if (top == 0) return _normalize(a & SIGN, m, f - 2);
            return _round(a & SIGN, m, f - 2, distance + 23 + _smallBitLength(top));
        }
    }

    function sub(uint256 a, uint256 b) internal pure returns (uint256) {
        return add(a, b ^ SIGN);
    }

    function mul(uint256 a, uint256 b) internal pure returns (uint256) {
        unchecked {
            (uint256 m, uint256 e) = _unpack(a);
            (uint256 n, uint256 f) = _unpack(b);
            m *= n; // exact, in units of 2^(e+f−300)
            // Two normal significands have a product of 47 or 48 bits; anything shorter is zero or comes of a denormal.
            uint256 top = m >> 46;
            if (top == 0) return _normalize((a ^ b) & SIGN, m, e + f - 151);
            return _round((a ^ b) & SIGN, m, e + f - 151, 46 + _smallBitLength(top));
        }
    }

    /// @dev x / 0 is a zero; admission excludes it.
    function div(uint256 a, uint256 b) internal pure returns (uint256) {
        unchecked {
            (uint256 m, uint256 e) = _unpack(a);
            (uint256 n, uint256 f) = _unpack(b);
            m <<= 64;
            uint256 quotient;
            uint256 sticky;
            assembly ("memory-safe") {
                quotient := div(m, n)
                sticky := iszero(iszero(mod(m, n)))
            }
            // At least 40 bits of quotient, then the sticky bit: in units of 2^(e−f−65).
            m = (quotient << 1) | sticky;
            // The quotient of two normal significands has 64 or 65 bits.
            uint256 top = m >> 64;
            if (top == 0 || top > 3) return _normalize((a ^ b) & SIGN, m, e - f + 84);
            return _round((a ^ b) & SIGN, m, e - f + 84, 64 + _smallBitLength(top));
        }
    }

    /// @dev The sign of a is ignored but for a zero; admission excludes negative numbers.
    function sqrt(uint256 a) internal pure returns (uint256) {
        unchecked {
            if (a & MAGNITUDE == 0) return a;
            (uint256 m, uint256 e) = _unpack(a);
            if (m < HIDDEN) {
                uint256 missing = 24 - _bitLength(m);
                m <<= missing;
                e -= missing;
            }
            // m·2^(e−150) = n·2^(2h): n has 54 or 55 bits, its root 27 or 28.
            uint256 odd = e & 1;
            m <<= 30 + odd;
            // Newton's method from above: (n + 2^54) / 2^28 is at most 6.1% too large; three steps leave less than one unit.
            uint256 root = (m >> 28) + (1 << 26);
            root = (root + m / root) >> 1;
            root = (root + m / root) >> 1;
            root = (root + m / root) >> 1;
            uint256 sticky;
            assembly ("memory-safe") {
                root := sub(root, gt(mul(root, root), m)) // rounded down
                sticky := lt(mul(root, root), m)
            }
            m = (root << 1) | sticky;
            // Units of 2^((e − odd − 180)/2 − 1); e may be negative, so halve after making it positive.
            uint256 q = ((e - odd + 1024) >> 1) - 512 - 90 - 1 + 149;
            return _round(0, m, q, 27 + _smallBitLength(m >> 27));
        }
    }

    /// @notice The largest integer not above a; keeps the sign of zero.
    function floor(uint256 a) internal pure returns (uint256) {
        unchecked {
            uint256 field = (a >> 23) & 0xff;
            if (field > 149) return a; // no bits below 1
            if (field < 127) return a > SIGN ? SIGN | ONE : a & SIGN; // |a| < 1
            uint256 below = (1 << (150 - field)) - 1; // the bits below 1
            // Adding them carries a negative fraction away from zero, into the exponent if need be.
            if (a & SIGN != 0) a += below;
            return a & ~below;
        }
    }

    /// @notice The nearest integer, halves to even; keeps the sign of zero.
    function round(uint256 a) internal pure returns (uint256) {
        unchecked {
            uint256 field = (a >> 23) & 0xff;
            if (field > 149) return a;
            if (field < 127) return a & MAGNITUDE > 0x3f000000 ? (a & SIGN) | ONE : a & SIGN; // 0.5 goes to 0
            uint256 shift = 150 - field;
            uint256 below = (1 << shift) - 1;
            // Half a unit, less one bit where the integer is even. For 1 ≤ |a| < 2 the unit bit is the hidden one,
            // and bit 23, the exponent's last, is 1 as well.
            a += (below >> 1) + ((a >> shift) & 1);
            return a & ~below;
        }
    }

    /// @notice The smaller number; a zero result is +0.
    function min(uint256 a, uint256 b) internal pure returns (uint256) {
        return positiveZero(order(a) < order(b) ? a : b);
    }

    /// @notice The larger number; a zero result is +0.
    function max(uint256 a, uint256 b) internal pure returns (uint256) {
        return positiveZero(order(a) > order(b) ? a : b);
    }

    /// @notice An integer that orders numbers as their values do; −0 and +0 are both 0.
    function order(uint256 a) internal pure returns (int256 key) {
        unchecked {
            key = int256(a & MAGNITUDE);
            if (a & SIGN != 0) key = -key;
        }
    }

    /// @notice a, or +0 for −0.
    function positiveZero(uint256 a) internal pure returns (uint256) {
        return a == SIGN ? 0 : a;
    }

    /// @notice 2^n exactly, n clamped to −126…127.
    function pow2(int256 n) internal pure returns (uint256) {
        unchecked {
            if (n < -126) n = -126;
            if (n > 127) n = 127;
            return uint256(n + 127) << 23;
        }
    }

    /// @notice The number nearest to an integer.
    /// @param n Within i64.
    function fromInt(int256 n) internal pure returns (uint256) {
        unchecked {
            return n < 0 ? _normalize(SIGN, uint256(-n), 149) : _normalize(0, uint256(n), 149);
        }
    }

    /// @notice The integer part, towards zero, saturating at the i64 range.
    function toInt(uint256 a) internal pure returns (int256 n) {
        unchecked {
            (uint256 m, uint256 e) = _unpack(a);
            n = int256(e < 150 ? m >> (150 - e) : m << (e - 150)); // under 2^130
            if (a & SIGN != 0) n = -n;
            if (n > type(int64).max) n = type(int64).max;
            if (n < type(int64).min) n = type(int64).min;
        }
    }

    /// @dev Significand and exponent of the magnitude: m·2^(e−150).
    function _unpack(uint256 a) private pure returns (uint256 m, uint256 e) {
        assembly ("memory-safe") {
            e := and(shr(23, a), 0xff)
            let denormal := iszero(e)
            m := or(and(a, FRACTION), shl(23, iszero(denormal)))
            e := add(e, denormal)
        }
    }

    /// @dev M·2^(q−149) with the sign, M of any length up to 230 bits.
    function _normalize(uint256 sign, uint256 m, uint256 q) private pure returns (uint256) {
        unchecked {
            if (m == 0) return sign;
            // 24 zero bits below, so that `_round` never has to shift left.
            return _round(sign, m << 24, q - 24, _bitLength(m) + 24);
        }
    }

    /// @dev M·2^(q−149) with the sign, rounded to the nearest number, ties to even.
    /// @param length The bit length of M, at least 24.
    function _round(uint256 sign, uint256 m, uint256 q, uint256 length) private pure returns (uint256 bits) {
        assembly ("memory-safe") {
            // Keep 24 bits, or fewer where the last one would weigh less than 2^−149, the smallest denormal.
            let cut := sub(length, 24)
            if slt(add(q, cut), 0) { cut := sub(0, q) }
            let kept := shr(cut, m)
            let lost := sub(m, shl(cut, kept))
            // Up if the lost bits are more than a half, or a half and the last kept bit is odd.
            kept := add(kept, gt(add(shl(1, lost), and(kept, 1)), shl(cut, 1)))
            // The hidden bit adds one to the exponent field, as does a carry out of the rounding.
            bits := add(shl(23, add(q, cut)), kept)
            if gt(bits, INFINITY) { bits := INFINITY }
            bits := or(sign, bits)
        }
    }

    /// @dev The bit length of t in 0…7.
    function _smallBitLength(uint256 t) private pure returns (uint256 length) {
        assembly ("memory-safe") {
            length := byte(t, BIT_LENGTHS)
        }
    }

    /// @dev The bit length of a word that is not zero: a binary search without branches.
    function _bitLength(uint256 x) private pure returns (uint256 length) {
        assembly ("memory-safe") {
            length := shl(7, lt(0xffffffffffffffffffffffffffffffff, x))
            length := or(length, shl(6, lt(0xffffffffffffffff, shr(length, x))))
            length := or(length, shl(5, lt(0xffffffff, shr(length, x))))
            length := or(length, shl(4, lt(0xffff, shr(length, x))))
            length := or(length, shl(3, lt(0xff, shr(length, x))))
            length := or(length, shl(2, lt(0xf, shr(length, x))))
            length := or(length, shl(1, lt(0x3, shr(length, x))))
            length := add(or(length, lt(0x1, shr(length, x))), 1)
        }
    }
}
