"""A worker on a Ray cluster (`oracle-node[ray]`): Ray finds the machine, moves bytes, sees what dies."""

import asyncio
import os
import resource
import signal
import threading
from typing import Any, TypeVar, cast

from oracle_node.errors import ConfigError
from oracle_node.workers.bench import LoadShelf, Reply, Workbench, attempt
from oracle_node.workers.process import Setup
from oracle_node.workers.tasks import Task
from oracle_node.workers.worker import WorkerError, opened

T = TypeVar("T")
_CONNECT_S = 10.0


class RayWorker:
    """One actor at a time, started when it is needed.

    The model directories have to be at the same paths on every machine. `cpus` is what an actor reserves.
    """

    def __init__(
        self,
        load: LoadShelf,
        memory_bytes: int = 0,
        setup: Setup | None = None,
        *,
        address: str = "",
        cpus: int = 1,
    ) -> None:
        """`address` of a running cluster; empty starts one on this machine. ConfigError where Ray is missing."""
        self._ray = ray_package()
        self._arguments, self._address, self._cpus = (load, memory_bytes, setup), address, cpus
        self._actor: Any = None
        self._models: tuple[bytes, ...] = ()

    async def start(self) -> tuple[bytes, ...]:
        if self._actor is None:
            await self._connect()
            kind = self._ray.remote(RemoteBench).options(num_cpus=self._cpus, max_restarts=0)
            self._actor = kind.remote(*self._arguments)
            try:
                self._models = cast("tuple[bytes, ...]", await self._receive(self._actor.prepare.remote()))
            except BaseException:
                self.stop()
                raise
        return self._models

    async def run(self, task: Task[T]) -> T:
        await self.start()
        return cast("T", await self._receive(self._actor.perform.remote(task)))

    def stop(self) -> None:
        """Kill the actor."""
        if self._actor is not None:
            self._ray.kill(self._actor)
        self._actor = None

    async def _receive(self, answer: Any) -> object:
        try:
            reply: Reply = await answer
        except self._ray.exceptions.RayError as error:
            raise WorkerError(f"a worker on the cluster was lost: {str(error).splitlines()[0]}") from None
        return opened(reply)

    async def _connect(self) -> None:
        if self._ray.is_initialized():
            return
        await _require_reachable(self._address)
        options: dict[str, Any] = {"configure_logging": False, "log_to_driver": False}
        options |= {} if self._address else {"include_dashboard": False}
        before = signal.getsignal(signal.SIGTERM)
        try:
            # SAFETY: on the loop's thread, since a cluster of this machine ends with the thread that started it
            self._ray.init(self._address or "local", **options)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise _no_cluster(self._address, error) from None
        finally:
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, before)  # Ray has taken it for itself


async def _require_reachable(address: str) -> None:
    """ConfigError where nobody listens at host:port; Ray would try for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        return
    try:
        async with asyncio.timeout(_CONNECT_S):
            _, writer = await asyncio.open_connection(host, int(port))
    except (OSError, TimeoutError) as error:
        raise _no_cluster(address, error) from None
    writer.close()


def _no_cluster(address: str, error: Exception) -> ConfigError:
    reason = next(iter(str(error).splitlines()), type(error).__name__)
    return ConfigError(f"inference.ray_address: no cluster at {address!r}: {reason}")


class RemoteBench:
    """The actor."""

    def __init__(self, load: LoadShelf, memory_bytes: int, setup: Setup | None) -> None:
        if memory_bytes:
            resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
        if setup is not None:
            setup()
        self._load = load
        self._bench: Workbench | None = None

    def prepare(self) -> Reply:
        """The ids of the models, verified."""
        return attempt(lambda: self._opened().models)

    def perform(self, task: Task[Any]) -> Reply:
        return attempt(lambda: task.run(self._opened()))

    def _opened(self) -> Workbench:
        if self._bench is None:
            self._bench = Workbench(self._load())
        return self._bench


def ray_package() -> Any:
    """The module; ConfigError where it is not installed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it reports to its makers unless told not to
    try:
        import ray
        import ray.exceptions
    except ImportError:
        raise ConfigError('inference.executor = "ray" needs Ray: pip install "oracle-node[ray]"') from None
    return ray
