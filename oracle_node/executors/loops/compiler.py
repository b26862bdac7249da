"""Loops as machine code, by LLVM, for the processor at hand."""

import ctypes
from collections.abc import Sequence
from functools import cache, lru_cache

import numpy as np
from llvmlite import binding as llvm
from llvmlite import ir
from llvmlite.binding.newpassmanagers import NewPassManager

from oracle_node.executors.loops.loop import Loop
from oracle_node.executors.loops.nest import write_loop

_ENTRY = "run"
_POINTER = ir.IntType(8).as_pointer()
_I64 = ir.IntType(64)
_KEPT = 256


class Function:
    """Loops that run one after another on the buffers they are given."""

    def __init__(self, loops: Sequence[Loop]) -> None:
        module = llvm.parse_assembly(str(_module(loops)))
        module.verify()
        machine = _machine()
        _optimise(module, machine)
        self._engine = llvm.create_mcjit_compiler(module, machine)  # it owns the code
        self._engine.finalize_object()
        self._function = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(self._engine.get_function_address(_ENTRY))

    def __call__(self, buffers: Sequence[int]) -> None:
        """Run on the addresses of contiguous arrays, of the sizes and types that the loops access; without the GIL."""
        self._function((ctypes.c_void_p * len(buffers))(*buffers))


def address(array: np.ndarray) -> int:
    """Where an array's data lies; whoever takes it keeps the array."""
    place: int = array.__array_interface__["data"][0]
    return place


@lru_cache(_KEPT)
def compiled(loops: tuple[Loop, ...]) -> Function:
    """The loops' function; equal ones are compiled once."""
    return Function(loops)


def _optimise(module: llvm.ModuleRef, machine: llvm.TargetMachine) -> None:
    """LLVM's passes over a module."""
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_unrolling = False  # a short row would be written out before it could become a vector
    options.loop_vectorization = options.slp_vectorization = options.loop_interleaving = True
    passes = llvm.create_pass_builder(machine, options)
    manager = passes.getModulePassManager()
    manager.run(module, passes)
    NewPassManager._dispose(manager)  # llvmlite 0.50 never does: half a megabyte each
    manager.detach()


def _machine() -> llvm.TargetMachine:
    """This processor, with all that it can do."""
    _initialise()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    features = llvm.get_host_cpu_features().flatten()
    return target.create_target_machine(cpu=llvm.get_host_cpu_name(), features=features, opt=3)


@cache
def _initialise() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


def _module(loops: Sequence[Loop]) -> ir.Module:
    """A function a loop, and one that calls them in turn with pointers from a table."""
    module = ir.Module()
    module.triple = llvm.get_process_triple()
    entry = ir.Function(module, ir.FunctionType(ir.VoidType(), [_POINTER.as_pointer()]), _ENTRY)
    builder = ir.IRBuilder(entry.append_basic_block())
    for number, loop in enumerate(loops):
        buffers = sorted({access.buffer for access in (*loop.reads, loop.write)})
        signature = ir.FunctionType(ir.VoidType(), [_POINTER] * len(buffers))
        function = ir.Function(module, signature, f"loop{number}")
        function.linkage = "internal"
        for argument in function.args:
            argument.add_attribute("noalias")  # no loop reads the buffer that it writes
        write_loop(function, loop.merged(), dict(zip(buffers, function.args, strict=True)))
        pointers = [builder.load(builder.gep(entry.args[0], [_I64(buffer)])) for buffer in buffers]
        builder.call(function, pointers)
    builder.ret_void()
    return module
