// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {Decoded} from "./TapeDecoder.sol";
import {TensorView, View} from "./TensorView.sol";

/// @title Walks the coordinates of an instruction, and its views with them
library Walk {
    /// @notice Sets the output coordinates to the element's, the reduce coordinates to zero, and the views accordingly.
    /// @param element Below the element count, so that no output dimension is zero.
    function place(Decoded memory d, uint256 element) internal pure {
        unchecked {
            uint256 axes = d.dimensions.length;
            for (uint256 axis = d.rank; axis != 0;) {
                --axis;
                uint256 dimension = d.dimensions[axis];
                d.coordinates[axis] = element % dimension;
                element /= dimension;
            }
            for (uint256 axis = d.rank; axis < axes; ++axis) {
                d.coordinates[axis] = 0;
            }
            for (uint256 i; i != d.views.length; ++i) {
                View memory v = d.views[i];
                int256 index = v.offset;
                for (uint256 axis; axis != d.rank; ++axis) {
                    index += int256(d.coordinates[axis]) * v.strides[axis];
                }
                v.index = index;
            }
        }
    }

    /// @notice Moves on, row-major, over the reduce axes before the last one; false, and back at zero, after the end.
    function advance(Decoded memory d) internal pure returns (bool) {
        unchecked {
            for (uint256 axis = d.dimensions.length - 1; axis != d.rank;) {
                --axis;
                if (d.coordinates[axis] + 1 != d.dimensions[axis]) {
                    ++d.coordinates[axis];
                    move(d.views, axis, 1);
                    return true;
                }
                move(d.views, axis, -int256(d.coordinates[axis]));
                d.coordinates[axis] = 0;
            }
            return false;
        }
    }

    /// @notice Moves all views along an axis.
    function move(View[] memory views, uint256 axis, int256 steps) internal pure {
        unchecked {
            uint256 count = views.length;
            for (uint256 i; i != count; ++i) {
                View memory v = views[i];
                v.index += steps * TensorView.stride(v, axis);
            }
        }
    }

    /// @notice Joins a reduce axis with the next one where every view runs through both as through a single axis: the
    /// elements read and their order stay the same, and the innermost loop gets longer.
    function mergeReduceAxes(Decoded memory d) internal pure {
        unchecked {
            for (uint256 axis = d.dimensions.length; axis > d.rank + 1;) {
                --axis;
                uint256 inner = d.dimensions[axis];
                bool joined = true;
                for (uint256 i; i != d.views.length; ++i) {
                    int256[] memory strides = d.views[i].strides;
                    joined = joined && strides[axis - 1] == strides[axis] * int256(inner);
                }
                if (!joined) continue;
                d.dimensions[axis - 1] *= inner;
                _remove(d.dimensions, axis);
                for (uint256 i; i != d.views.length; ++i) {
                    uint256[] memory strides;
                    int256[] memory joinedStrides = d.views[i].strides;
                    assembly ("memory-safe") {
                        strides := joinedStrides
                    }
                    _remove(strides, axis - 1); // the inner stride is the joined axis' stride
                }
            }
        }
    }

    function _remove(uint256[] memory values, uint256 index) private pure {
        unchecked {
            uint256 last = values.length - 1;
            for (; index != last; ++index) {
                values[index] = values[index + 1];
            }
            assembly ("memory-safe") {
                mstore(values, last)
            }
        }
    }
}
