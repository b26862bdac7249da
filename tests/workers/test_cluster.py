"""Workers on a Ray cluster of this machine."""

from collections.abc import Iterator

import pytest

from oracle_node.errors import ConfigError
from oracle_node.model.model import RequestRefusedError
from oracle_node.node.inference import Inference
from oracle_node.workers.bench import LoadShelf
from oracle_node.workers.cluster import RayWorker, ray_package
from oracle_node.workers.tasks import Solve
from oracle_node.workers.worker import WorkerError
from tests.e2e.arena import toy, toy_answer, toy_input
from tests.workers import faulty

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """Ended after the tests."""
    pytest.importorskip("ray")
    yield
    ray_package().shutdown()


async def test_ray__toy__answers_as_in_this_process(load: LoadShelf) -> None:
    async with Inference([RayWorker(load)]) as inference:
        assert await inference.start() == (toy().model.model_id,)
        answer = await inference.run(Solve(toy().model.model_id, toy_input()))
        assert answer.output == toy_answer().output
        with pytest.raises(RequestRefusedError, match="no whole number of f32 elements"):
            await inference.run(Solve(toy().model.model_id, b"\0"))


async def test_ray__actor_crashes_or_hangs__replaced(load: LoadShelf) -> None:
    async with Inference([RayWorker(load)], timeout_s=10) as inference:
        await inference.start()
        with pytest.raises(WorkerError, match="a worker on the cluster was lost"):
            await inference.run(faulty.Segfault())
        assert await inference.run(faulty.Echo()) > 0
    async with Inference([RayWorker(load)], timeout_s=1) as inference:
        await inference.start()
        with pytest.raises(WorkerError, match="longer than"):
            await inference.run(faulty.Hang())


async def test_ray__memory_limit__holds_in_the_actor(load: LoadShelf) -> None:
    async with Inference([RayWorker(load, memory_bytes=1 << 30)]) as inference:
        with pytest.raises(WorkerError, match="MemoryError"):
            await inference.run(faulty.Devour(1200))


async def test_ray__no_cluster_at_the_address__one_line(load: LoadShelf) -> None:
    ray_package().shutdown()
    with pytest.raises(ConfigError, match=r"inference.ray_address: no cluster at '127.0.0.1:1'"):
        await RayWorker(load, address="127.0.0.1:1").start()
