// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

/// @title IEEE-754 binary32, rounded to nearest even, denormals kept
/// @notice Numbers are their 32 bits in a word. Every function is total; for NaN or an infinity as an argument its
/// result is unspecified, since an admitted tape never yields one. A result too large for the format is an infinity.
/// @dev A finite number is m·2^(e−150): e is the exponent field, at least 1, and m < 2^24 the significand with its
/// hidden bit. An operation finds the exact result (or one with a sticky last bit) as an integer, then keeps 24 bits of
/// it. `add`, `mul` and `div` do so in line for normal operands and a normal result; anything else takes the general way
/// through `_round`. Differences may be negative (two's complement).
library Softfloat32 {
    uint256 private constant SIGN = 0x80000000;
    uint256 private constant MAGNITUDE = 0x7fffffff;
    uint256 private constant INFINITY = 0x7f800000;
    uint256 private constant ONE = 0x3f800000;
    uint256 private constant HIDDEN = 0x800000;
    uint256 private constant FRACTION = 0x7fffff;

    /// @dev Byte t is the bit length of t, for t in 0…7.
    uint256 private constant BIT_LENGTHS = 0x0001020203030303 << 192;

    function add(uint256 a, uint256 b) internal pure returns (uint256 bits) {
        bool usual;
        assembly ("memory-safe") {
            // The operand of larger magnitude comes first: its sign is the result's, and no difference is negative.
            if lt(and(a, MAGNITUDE), and(b, MAGNITUDE)) {
                let swapped := a
                a := b
                b := swapped
            }
            let e := and(shr(23, a), 0xff)
            let f := and(shr(23, b), 0xff)
            // Exact, in units of 2^(e−177): more than 27 places below, b is shifted out, and a is the nearest number.
            let m := shl(sub(add(27, f), e), or(and(b, FRACTION), HIDDEN))
            if and(xor(a, b), SIGN) { m := sub(0, m) }
            m := add(m, shl(27, or(and(a, FRACTION), HIDDEN)))
            // Without much cancellation the sum has 50, 51 or 52 bits (length 1, 2 or 3); shift it to 52, keep 24.
            let length := byte(shr(49, m), BIT_LENGTHS)
            m := shl(sub(3, length), m)
            let field := sub(add(e, length), 3)
            bits := add(shl(23, field), shr(28, add(m, add(0x7ffffff, and(shr(28, m), 1)))))
            bits := or(bits, and(a, SIGN))
            usual := and(lt(field, 254), lt(0, mul(f, length)))
        }
        if (!usual) bits = _addAny(a, b);
    }

    function sub(uint256 a, uint256 b) internal pure returns (uint256) {
        return add(a, b ^ SIGN);
    }

    function mul(uint256 a, uint256 b) internal pure returns (uint256 bits) {
        bool usual;
        assembly ("memory-safe") {
            let e := and(shr(23, a), 0xff)
            let f := and(shr(23, b), 0xff)
            // Exact, in units of 2^(e+f−300): 47 or 48 bits; shift to 48, keep 24.
            let m := mul(or(and(a, FRACTION), HIDDEN), or(and(b, FRACTION), HIDDEN))
            let short := iszero(shr(47, m))
            m := shl(short, m)
            let field := sub(add(e, f), add(127, short))
            bits := add(shl(23, field), shr(24, add(m, add(0x7fffff, and(shr(24, m), 1)))))
            bits := or(bits, and(xor(a, b), SIGN))
            usual := and(lt(field, 254), lt(0, mul(e, f)))
        }
        if (!usual) bits = _mulAny(a, b);
    }

    /// @dev x / 0 is a zero; admission excludes it.
    function div(uint256 a, uint256 b) internal pure returns (uint256 bits) {
        bool usual;
        assembly ("memory-safe") {
            let e := and(shr(23, a), 0xff)
            let f := and(shr(23, b), 0xff)
            // In units of 2^(e−f−48): 48 or 49 bits, the last one sticky; shift to 49, keep 24.
            let m := shl(48, or(and(a, FRACTION), HIDDEN))
            let n := or(and(b, FRACTION), HIDDEN)
            m := or(div(m, n), lt(0, mod(m, n)))
            let short := iszero(shr(48, m))
            m := shl(short, m)
            let field := sub(sub(add(e, 126), f), short)
            bits := add(shl(23, field), shr(25, add(m, add(0xffffff, and(shr(25, m), 1)))))
            bits := or(bits, and(xor(a, b), SIGN))
            usual := and(lt(field, 254), lt(0, mul(e, f)))
        }
        if (!usual) bits = _divAny(a, b);
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
            assembly ("memory-safe") {
                let root := add(shr(28, m), 0x4000000)
                root := shr(1, add(root, div(m, root)))
                root := shr(1, add(root, div(m, root)))
                root := shr(1, add(root, div(m, root)))
                root := sub(root, gt(mul(root, root), m)) // rounded down
                // A sticky bit below, in units of 2^((e−odd−182)/2): 28 or 29 bits; shift to 29, keep 24.
                m := or(shl(1, root), lt(mul(root, root), m))
                let short := iszero(shr(28, m))
                m := shl(short, m)
                // The exponent may be negative: halve it after adding 1024. The result is normal.
                let field := sub(sub(shr(1, add(sub(e, odd), 842)), 358), short)
                a := add(shl(23, field), shr(5, add(m, add(0xf, and(shr(5, m), 1)))))
            }
            return a;
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
    function fromInt(int256 n) internal pure returns (uint256 bits) {
        unchecked {
            uint256 m = n < 0 ? uint256(-n) : uint256(n);
            if (m == 0) return 0;
            uint256 length = _bitLength(m);
            assembly ("memory-safe") {
                m := shl(sub(64, length), m) // 64 bits; keep 24
                bits := add(shl(23, add(length, 125)), shr(40, add(m, add(0x7fffffffff, and(shr(40, m), 1)))))
                bits := or(bits, shl(31, slt(n, 0)))
            }
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

    /// @dev a + b for all operands, without the assumptions of `add`.
    function _addAny(uint256 a, uint256 b) private pure returns (uint256) {
        unchecked {
            if (a & MAGNITUDE < b & MAGNITUDE) (a, b) = (b, a);
            (uint256 m, uint256 e) = _unpack(a);
            (uint256 n, uint256 f) = _unpack(b);
            // b lies below a quarter of the spacing under a: a is the nearest number.
            if (e - f > 25) return a;
            m <<= e - f; // in units of 2^(f−150)
            m = (a ^ b) & SIGN == 0 ? m + n : m - n;
            // x + (−x) is +0; only −0 + −0 is −0.
            return m == 0 ? a & b & SIGN : _round(a & SIGN, m, f - 1);
        }
    }

    /// @dev a · b for all operands.
    function _mulAny(uint256 a, uint256 b) private pure returns (uint256) {
        unchecked {
            (uint256 m, uint256 e) = _unpack(a);
            (uint256 n, uint256 f) = _unpack(b);
            return _round((a ^ b) & SIGN, m * n, e + f - 151);
        }
    }

    /// @dev a / b for all operands.
    function _divAny(uint256 a, uint256 b) private pure returns (uint256) {
        unchecked {
            (uint256 m, uint256 e) = _unpack(a);
            (uint256 n, uint256 f) = _unpack(b);
            assembly ("memory-safe") {
                m := shl(64, m)
                m := or(shl(1, div(m, n)), lt(0, mod(m, n))) // at least 40 bits, then a sticky one
            }
            return _round((a ^ b) & SIGN, m, e - f + 84);
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

    /// @dev m·2^(q−149) with the sign, rounded to the nearest number, ties to even; m is below 2^230.
    function _round(uint256 sign, uint256 m, uint256 q) private pure returns (uint256 bits) {
        if (m == 0) return sign;
        uint256 length = _bitLength(m);
        assembly ("memory-safe") {
            m := shl(24, m) // never fewer than 24 bits, so that none has to be added
            q := sub(q, 24)
            // Keep 24 bits, or fewer where the last one would weigh less than 2^−149, the smallest denormal.
            let cut := length
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
