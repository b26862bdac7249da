"""Tree ensembles of ONNX files as one table of nodes for all trees.

Every comparison is rewritten to `x ≤ threshold`, equal subtrees share their nodes (also across trees), and leaves,
which lead to themselves, come first: a leaf's number is its row of votes. Not here: the descent (`ensembles`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from oracle_node.importers.onnx.node import Node
from oracle_node.tape.types import Array

_MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ")
_LEAF = "LEAF"
_COLUMNS = ("treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids")


@dataclass(frozen=True)
class Ensemble:
    """`nodes` (n, 3) i32: feature, next node where x ≤ threshold, next node elsewhere; `thresholds` (n,) f32.

    Where every tree votes for one class only (`is_grouped`), `roots` is (classes, trees of a class) and `votes`
    (leaves,); otherwise `roots` is (1, trees) and `votes` (classes, leaves). Trees keep their order.
    """

    nodes: Array
    thresholds: Array
    roots: Array
    votes: Array
    depth: int
    """Comparisons on the longest path."""
    trees: int
    has_all_votes: bool
    """Whether every class gets a vote whatever leaves are reached."""

    @property
    def is_grouped(self) -> bool:
        return self.votes.ndim == 1


@dataclass
class _Table:
    """Distinct leaves and inner nodes so far; a leaf is named by its number, inner node i by −1−i."""

    leaves: dict[bytes, int] = field(default_factory=dict)
    inner: dict[tuple[int, float, int, int], int] = field(default_factory=dict)
    depths: list[int] = field(default_factory=list)

    def leaf(self, votes: Array) -> int:
        return self.leaves.setdefault((votes + np.float32(0)).tobytes(), len(self.leaves))

    def depth(self, node: int) -> int:
        return 0 if node >= 0 else self.depths[-1 - node]

    def branch(self, mode: str, feature: int, threshold: np.float32, yes: int, no: int) -> int:
        """A node of any mode as one or two of `x ≤ t`; x is finite, x < t is x ≤ the number before t."""
        if np.isnan(threshold):
            return yes if mode == "BRANCH_NEQ" else no
        before = np.nextafter(threshold, np.float32(-np.inf))
        match mode:
            case "BRANCH_LEQ":
                return self._test(feature, threshold, yes, no)
            case "BRANCH_LT":
                return self._test(feature, before, yes, no)
            case "BRANCH_GT":
                return self._test(feature, threshold, no, yes)
            case "BRANCH_GTE":
                return self._test(feature, before, no, yes)
            case "BRANCH_NEQ":
                yes, no = no, yes
        return self._test(feature, threshold, self._test(feature, before, no, yes), no)

    def _test(self, feature: int, threshold: np.float32, yes: int, no: int) -> int:
        if yes == no or threshold == np.inf:
            return yes
        if threshold == -np.inf:
            return no
        key = (feature, float(threshold), yes, no)
        if key not in self.inner:
            self.inner[key] = len(self.inner)
            self.depths.append(1 + max(self.depth(yes), self.depth(no)))
        return -1 - self.inner[key]

    def place(self, node: int) -> int:
        """A node's row in the finished table."""
        return node if node >= 0 else len(self.leaves) - 1 - node

    def rows(self) -> tuple[Array, Array]:
        """`nodes` and `thresholds` of an Ensemble."""
        leaves = [(0, i, i) for i in range(len(self.leaves))]
        inner = [(feature, self.place(yes), self.place(no)) for feature, _, yes, no in self.inner]
        thresholds = [0.0] * len(leaves) + [threshold for _, threshold, _, _ in self.inner]
        return np.asarray(leaves + inner, np.int32), np.asarray(thresholds, np.float32)


@dataclass(frozen=True)
class _Source:
    """The attributes of a node: one list entry a tree node, and the votes of each leaf by its position."""

    node: Node
    columns: Mapping[str, Sequence[Any]]
    position: dict[tuple[int, int], int]
    votes: dict[int, dict[int, float]]

    def children(self, at: int) -> tuple[int, int]:
        tree = self.columns["treeids"][at]
        ids = self.columns["truenodeids"][at], self.columns["falsenodeids"][at]
        for child in ids:
            if (tree, child) not in self.position:
                self.node.refuse(f"tree {tree} has no node {child}, to which another leads")
        return self.position[tree, ids[0]], self.position[tree, ids[1]]


def read_ensemble(node: Node, kind: str, classes: int, features: int) -> Ensemble:
    """The ensemble in the attributes of a node; `kind` is their prefix, "class" or "target"."""
    source = _source(node, kind, classes, features)
    ids = source.columns["treeids"]
    starts = [at for at, tree in enumerate(ids) if at == 0 or tree != ids[at - 1]]
    ends = [*starts[1:], len(ids)]
    voted = [
        [frozenset(source.votes[at]) for at in range(start, end) if at in source.votes]
        for start, end in zip(starts, ends, strict=True)
    ]
    unions = [frozenset[int]().union(*leaves) for leaves in voted]
    sure = frozenset[int]().union(*(leaves[0].intersection(*leaves) for leaves in voted if leaves))
    table = _Table()
    grouped = classes > 1 and all(len(union) == 1 for union in unions)
    roots = [_converted(source, table, start, classes, grouped) for start in starts]
    slots = _grouped(table, roots, [min(u) for u in unions], classes) if grouped else [roots]
    nodes, thresholds = table.rows()
    votes = np.frombuffer(b"".join(table.leaves), np.float32)
    return Ensemble(
        nodes=nodes,
        thresholds=thresholds,
        roots=np.asarray([[table.place(root) for root in row] for row in slots], np.int32),
        votes=votes.copy() if grouped else np.ascontiguousarray(votes.reshape(-1, classes).T),
        depth=max(map(table.depth, roots)),
        trees=len(roots),
        has_all_votes=len(sure) == classes,
    )


def _grouped(table: _Table, roots: list[int], classes: list[int], count: int) -> list[list[int]]:
    """The trees of every class, filled up with leaves of no weight."""
    rows = [[root for root, c in zip(roots, classes, strict=True) if c == number] for number in range(count)]
    longest = max(map(len, rows))
    empty = table.leaf(np.zeros(1, np.float32)) if any(len(row) < longest for row in rows) else 0
    return [row + [empty] * (longest - len(row)) for row in rows]


def _source(node: Node, kind: str, classes: int, features: int) -> _Source:
    """The attributes, checked: equal lengths, features within the input, finite votes for known classes."""
    if any(
        f"{name}_as_tensor" in node.attributes for name in ("nodes_values", f"{kind}_weights", "base_values")
    ):
        node.refuse("its thresholds or weights are tensors (of float64): convert it with float32 ones")
    columns = {name: list(node.attributes.get(f"nodes_{name}", ())) for name in _COLUMNS}
    columns["modes"] = [mode.decode() for mode in columns["modes"]]
    if not columns["modes"] or len({len(column) for column in columns.values()}) > 1:
        node.refuse("the attributes of its nodes have different lengths, or none")
    if unknown := set(columns["modes"]) - {_LEAF, *_MODES}:
        node.refuse(f"its node mode {min(unknown)} is not supported")
    tested = [f for f, mode in zip(columns["featureids"], columns["modes"], strict=True) if mode != _LEAF]
    if tested and not 0 <= min(tested) <= max(tested) < features:
        node.refuse(f"it tests features up to {max(tested)}, its input has {features}")
    pairs = zip(columns["treeids"], columns["nodeids"], strict=True)
    position = {pair: at for at, pair in enumerate(pairs)}
    if len(position) < len(columns["modes"]):
        node.refuse("two nodes of a tree have one number")
    return _Source(node, columns, position, _votes(node, kind, classes, columns, position))


def _votes(
    node: Node,
    kind: str,
    classes: int,
    columns: Mapping[str, Sequence[Any]],
    position: dict[tuple[int, int], int],
) -> dict[int, dict[int, float]]:
    """position of a leaf → class → weight; what inner nodes carry is ignored, as ONNX Runtime does."""
    lists = [
        list(node.attributes.get(f"{kind}_{name}", ())) for name in ("treeids", "nodeids", "ids", "weights")
    ]
    if len({len(values) for values in lists}) > 1:
        node.refuse("the attributes of its leaves have different lengths")
    if not np.isfinite(np.asarray(lists[3], np.float32)).all():
        node.refuse("its weights are not all finite")
    votes: dict[int, dict[int, float]] = {}
    for tree, number, chosen, weight in zip(*lists, strict=True):
        at = position.get((tree, number))
        if at is None or not 0 <= chosen < classes:
            node.refuse(
                f"node {number} of tree {tree}, which votes for {chosen}, or that class does not exist"
            )
        if columns["modes"][at] != _LEAF:
            continue
        given = votes.setdefault(at, {})
        if chosen in given:
            node.refuse(f"leaf {number} of tree {tree} votes twice for {chosen}")
        given[chosen] = weight
    return votes


def _converted(source: _Source, table: _Table, root: int, classes: int, grouped: bool) -> int:
    """A tree's root in the table; children before parents, without recursion: trees may be deep."""
    modes, features, thresholds = (source.columns[name] for name in ("modes", "featureids", "values"))
    done: dict[int, int] = {}
    entered: set[int] = set()
    todo = [root]
    while todo:
        at = todo[-1]
        if at in done:
            todo.pop()
        elif modes[at] == _LEAF:
            done[at] = _leaf(source, table, at, classes, grouped)
        else:
            children = source.children(at)
            waiting = [child for child in children if child not in done]
            if entered.intersection(waiting):
                source.node.refuse(f"tree {source.columns['treeids'][at]} leads back to a node above")
            entered.add(at)
            todo += waiting
            if not waiting:
                yes, no = (done[child] for child in children)
                done[at] = table.branch(modes[at], features[at], np.float32(thresholds[at]), yes, no)
    return done[root]


def _leaf(source: _Source, table: _Table, at: int, classes: int, grouped: bool) -> int:
    if at not in source.votes:
        source.node.refuse(f"a leaf of tree {source.columns['treeids'][at]} has no vote")
    row = np.zeros(1 if grouped else classes, np.float32)
    for chosen, weight in source.votes[at].items():
        row[0 if grouped else chosen] = weight
    return table.leaf(row)
