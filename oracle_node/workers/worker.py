"""What every kind of worker offers the node."""

from typing import Protocol, TypeVar

from oracle_node.errors import TransientError
from oracle_node.workers.bench import Reply
from oracle_node.workers.tasks import Task

T = TypeVar("T")


class WorkerError(TransientError):
    """A worker ended before its task did, or failed in a way that no model should: try again in a fresh one."""


class Worker(Protocol):
    """Does one task at a time; after `stop` the next task starts it anew."""

    async def start(self) -> tuple[bytes, ...]:
        """Have the models at hand, and their ids; nothing where it runs already.

        ModelError or AdmissionError for models that are not acceptable, DeterminismError where the machine is not
        exact, WorkerError where it did not come up.
        """
        ...

    async def run(self, task: Task[T]) -> T:
        """The task's result; its own errors, or WorkerError."""
        ...

    def stop(self) -> None:
        """End it now, whatever it is doing."""
        ...


def opened(reply: Reply) -> object:
    """The result in a reply, or its error raised; WorkerError for an unexpected one."""
    if reply.error is not None:
        raise reply.error
    if reply.unexpected is not None:
        raise UnexpectedError(*reply.unexpected.split("\n", 1))
    return reply.result


class UnexpectedError(WorkerError):
    """Something that is no `OracleError` was raised inside a worker."""

    def __init__(self, summary: str, where: str) -> None:
        super().__init__(summary)
        self.where = where
        """The traceback inside the worker."""
