"""One loop as a nest over its axes, the last one innermost, in LLVM's terms."""

from collections.abc import Callable, Mapping, Sequence
from itertools import product

from llvmlite import ir

from oracle_node.executors.loops.loop import Access, Loop
from oracle_node.executors.loops.scalars import F32, F64, I32, I64, Registers, as_integer, positive_zero
from oracle_node.tape.instruction import Reducer

_TYPES: dict[str, ir.Type] = {
    "f4": F32, "f8": F64, "i1": ir.IntType(8), "i2": ir.IntType(16), "i4": I32, "i8": I64, "u1": ir.IntType(8),
}  # fmt: skip
_UNROLLED = 32
"""So many results that become one are written out, so that LLVM makes vectors of the axes around them."""
_MOST_WRITTEN = 512
"""Operations that may be written out: compiling takes longer than in proportion."""
_SHORT = 4
"""A last axis up to this is written out, too."""
_SIGN = 0x7FFFFFFF


def write_loop(function: ir.Function, loop: Loop, pointers: Mapping[int, ir.Value]) -> None:
    """The function's body; `pointers` by buffer."""
    _Nest(function, loop, pointers).write()


class _Nest:
    def __init__(self, function: ir.Function, loop: Loop, pointers: Mapping[int, ir.Value]) -> None:
        self._function, self._loop, self._pointers = function, loop, pointers
        self._builder = ir.IRBuilder(function.append_basic_block())

    def write(self) -> None:
        body = self._map if self._loop.reducer is None else self._reduce
        self._axes(self._loop.shape, [], body)
        self._builder.ret_void()

    def _axes(
        self, sizes: Sequence[int], outer: list[ir.Value], body: Callable[[list[ir.Value]], None]
    ) -> None:
        """Loops over axes, and the body within; a short last axis is written out, to make vectors of the one before."""
        if not sizes:
            return body(outer)
        if len(sizes) == 1 and outer and sizes[0] <= _SHORT:
            for place in range(sizes[0]):
                body([*outer, I64(place)])
            return None

        def inner(coordinate: ir.Value, _: Sequence[ir.Value]) -> list[ir.Value]:
            self._axes(sizes[1:], [*outer, coordinate], body)
            return []

        self._count(sizes[0], [], inner)
        return None

    def _count(
        self,
        size: int,
        carried: Sequence[ir.Value],
        body: Callable[[ir.Value, Sequence[ir.Value]], Sequence[ir.Value]],
    ) -> Sequence[ir.Value]:
        """`body` for 0…size − 1, with values that it passes on from one to the next; the last ones."""
        builder, before = self._builder, self._builder.block
        head, behind = (self._function.append_basic_block() for _ in range(2))
        builder.branch(head)
        builder.position_at_end(head)
        coordinate = builder.phi(I64)
        coordinate.add_incoming(I64(0), before)
        passed = [builder.phi(value.type) for value in carried]
        for phi, value in zip(passed, carried, strict=True):
            phi.add_incoming(value, before)
        results = body(coordinate, passed)
        following = builder.add(coordinate, I64(1), flags=["nsw", "nuw"])
        coordinate.add_incoming(following, builder.block)
        for phi, value in zip(passed, results, strict=True):
            phi.add_incoming(value, builder.block)
        builder.cbranch(builder.icmp_signed("<", following, I64(size)), head, behind)
        builder.position_at_end(behind)
        return results

    def _map(self, coordinates: list[ir.Value]) -> None:
        self._store(self._result(coordinates), coordinates)

    def _reduce(self, coordinates: list[ir.Value]) -> None:
        """All that becomes one element: written out, or in loops."""
        loop = self._loop
        if loop.width <= _UNROLLED and loop.width * len(loop.program.ops) <= _MOST_WRITTEN:
            each = product(*(map(I64, range(n)) for n in loop.reduce_shape))
            values = [self._key(self._result([*coordinates, *place])) for place in each]
            total = values[0] if values else self._start()
            for value in values[1:]:
                total = self._joined(total, value)
        else:
            total = self._reduced(loop.reduce_shape, coordinates, self._start())
        self._store(self._from_key(total), coordinates)

    def _reduced(self, sizes: Sequence[int], outer: list[ir.Value], total: ir.Value) -> ir.Value:
        """The total after all coordinates of the axes."""
        if not sizes:
            return self._joined(total, self._key(self._result(outer)))

        def inner(coordinate: ir.Value, passed: Sequence[ir.Value]) -> list[ir.Value]:
            return [self._reduced(sizes[1:], [*outer, coordinate], passed[0])]

        return self._count(sizes[0], [total], inner)[0]

    def _start(self) -> ir.Value:
        """What changes no total."""
        kind = I32 if self._is_float else I64
        extreme = 1 << kind.width - 1
        starts = {Reducer.MAX: -extreme, Reducer.MIN: extreme - 1}
        return kind(starts.get(self._loop.reducer or Reducer.SUM, 0))

    def _joined(self, total: ir.Value, value: ir.Value) -> ir.Value:
        if self._loop.reducer is Reducer.SUM:
            return self._builder.add(total, value)
        sign = ">" if self._loop.reducer is Reducer.MAX else "<"
        return self._builder.select(self._builder.icmp_signed(sign, total, value), total, value)

    @property
    def _is_float(self) -> bool:
        return self._loop.write.kind == "float"

    def _key(self, value: ir.Value) -> ir.Value:
        """An integer in the results' order: of floats, which might be NaN, LLVM finds no extremes by vectors."""
        if not self._is_float:
            return as_integer(self._builder, value, I64)
        return self._flipped(self._builder.bitcast(value, I32))

    def _from_key(self, key: ir.Value) -> ir.Value:
        """The result; a zero is +0."""
        if not self._is_float:
            return key
        return positive_zero(self._builder, self._builder.bitcast(self._flipped(key), F32))

    def _flipped(self, bits: ir.Value) -> ir.Value:
        """The magnitude's bits inverted where the sign is set: its own inverse."""
        mask = self._builder.and_(self._builder.ashr(bits, I32(31)), I32(_SIGN))
        return self._builder.xor(bits, mask)

    def _result(self, coordinates: Sequence[ir.Value]) -> ir.Value:
        """The program's result at a coordinate."""
        loop, builder = self._loop, self._builder
        operands = [self._load(access, coordinates) for access in loop.reads]
        kinds = [access.kind for access in loop.reads]
        return Registers(builder, loop.program, operands, kinds, loop.intervals).result

    def _store(self, value: ir.Value, coordinates: Sequence[ir.Value]) -> None:
        """An integer may be stored as a float, which holds it; never as −0."""
        write, kind = self._loop.write, _TYPES[self._loop.write.dtype.str[1:]]
        if write.kind == "int":
            is_float = kind in (F32, F64)
            value = self._builder.sitofp(value, kind) if is_float else as_integer(self._builder, value, kind)
        self._builder.store(value, self._address(write, coordinates))

    def _load(self, access: Access, coordinates: Sequence[ir.Value]) -> ir.Value:
        value = self._builder.load(self._address(access, coordinates))
        return self._builder.zext(value, I32) if access.dtype.kind == "u" else value

    def _address(self, access: Access, coordinates: Sequence[ir.Value]) -> ir.Value:
        builder = self._builder
        index: ir.Value = I64(access.offset)
        for coordinate, stride in zip(coordinates, access.strides, strict=False):
            if stride:
                index = builder.add(index, builder.mul(coordinate, I64(stride)))
        base = builder.bitcast(self._pointers[access.buffer], _TYPES[access.dtype.str[1:]].as_pointer())
        return builder.gep(base, [index], inbounds=True)
