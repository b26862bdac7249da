"""What one worker has at hand: its models, and what it knows of the latest claims. Used by one thread at a time."""

import traceback
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from oracle_node.errors import OracleError
from oracle_node.game.knowledge import Knowledge
from oracle_node.node.shelf import Shelf
from oracle_node.players.actors import knowledge_of

_KNOWLEDGE_KEPT = 4
LoadShelf = Callable[[], Shelf]
"""Reads, verifies and proves models; can be pickled where the worker is another process."""


@dataclass(frozen=True)
class Content:
    """A claim's bytes, with the request's that it answers."""

    model_id: bytes
    request: bytes = field(repr=False)
    output: bytes = field(repr=False)
    witness: bytes = field(repr=False)


@dataclass(frozen=True)
class Reply:
    """How a task ended: a result, an error of ours, or the text of an unexpected exception."""

    result: Any = None
    error: OracleError | None = None
    unexpected: str | None = None


class Workbench:
    """Performs tasks."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self._knowledge: OrderedDict[Content, Knowledge] = OrderedDict()

    @property
    def models(self) -> tuple[bytes, ...]:
        """The ids of its models."""
        return tuple(model.model_id for model in self.shelf)

    def knowledge(self, content: Content) -> Knowledge:
        """Our own view of a claim's content; the few latest are kept. RequestRefusedError for impossible lengths."""
        if content not in self._knowledge:
            shelved = self.shelf[content.model_id]
            self._knowledge[content] = knowledge_of(
                shelved.model, shelved.executor, content.request, content.output, content.witness
            )
        self._knowledge.move_to_end(content)
        while len(self._knowledge) > _KNOWLEDGE_KEPT:
            self._knowledge.popitem(last=False)
        return self._knowledge[content]


def attempt(work: Callable[[], Any]) -> Reply:
    """Whatever the work does, as a reply: an exception of ours is passed on as it is, any other as text."""
    try:
        return Reply(result=work())
    except OracleError as error:
        return Reply(error=error.with_traceback(None))
    except Exception as error:
        lines = traceback.format_exception(error)
        return Reply(unexpected=f"{type(error).__name__}: {error}".split("\n")[0] + "\n" + "".join(lines))
