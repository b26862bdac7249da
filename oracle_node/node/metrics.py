"""What the node counts, for Prometheus. Every family is listed in docs/metrics.md, with what to watch it for."""

from collections import Counter as Tally
from collections.abc import Callable
from time import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from oracle_node.chain.types import ChallengeStatus, ClaimStatus, RequestStatus, Turn
from oracle_node.node.snapshot import Snapshot

_SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000)
_OURS, _THEIRS = "ours", "theirs"


class Metrics:
    """One registry a node, so that several can live in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._head = self._gauge("head_block", "Number of the newest block seen")
        self._head_time = self._gauge("head_time_seconds", "Unix time of the newest block seen")
        self._head_age = self._gauge("head_age_seconds", "This machine's clock less the newest block's time")
        self._balance = self._gauge("balance_wei", "Free balance inside the oracle")
        self._at_risk = self._gauge("bonds_at_risk_wei", "Bonds of the node that are not decided")
        self._requests = self._gauge("requests", "Requests to the node's models that are not over", "status")
        self._claims = self._gauge("claims", "Claims on them", "owner", "status")
        self._challenges = self._gauge(
            "challenges", "Challenges of those claims, by whose claim it is", "owner", "status"
        )
        self._clock = self._gauge(
            "clock_left_seconds",
            "Least time left in any challenge in which it is the node's turn; NaN for none",
        )
        self._window = self._gauge(
            "unjudged_window_left_seconds", "Least time left to challenge any claim of others; NaN for none"
        )
        self._duties = Counter(
            "oracle_node_duties", "Duties by kind and outcome", ["duty", "outcome"], registry=self.registry
        )
        self._gas = Counter("oracle_node_gas", "Gas used by mined transactions", registry=self.registry)
        self._spent = Counter("oracle_node_fees_spent_wei", "Transaction fees paid", registry=self.registry)
        self._reorgs = Counter("oracle_node_reorgs", "Reorgs that were followed", registry=self.registry)
        self._troubles = Counter(
            "oracle_node_rpc_failures", "Times that the chain could not be read", registry=self.registry
        )
        self._snapshot = Histogram(
            "oracle_node_snapshot_seconds",
            "Reading the chain into one snapshot",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._inference = Histogram(
            "oracle_node_inference_seconds",
            "Running the model on one request",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._queue = self._gauge("inference_queue", "Tasks that wait for a worker")
        self._lost = self._gauge("workers_lost", "Workers that crashed, hung or ran out of memory so far")

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"oracle_node_{name}", text, labels, registry=self.registry)

    def saw(self, snapshot: Snapshot, seconds: float = 0.0) -> None:
        """Take the gauges from a snapshot, which took so long to read."""
        self._head.set(snapshot.head.number)
        self._head_time.set(snapshot.now)
        self._head_age.set_function(lambda: time() - snapshot.now)
        self._balance.set(snapshot.balance_wei)
        self._at_risk.set(snapshot.at_risk_wei)
        self._snapshot.observe(seconds)
        statuses = Tally(request.view.status for request in snapshot.requests.values())
        for status in RequestStatus:
            self._requests.labels(status.name).set(statuses[status])
        claims, challenges = Tally[tuple[str, ClaimStatus]](), Tally[tuple[str, ChallengeStatus]]()
        clocks, windows = [], []
        for claim in snapshot.claims.values():
            is_ours = claim.view.claimant == snapshot.me
            owner = _OURS if is_ours else _THEIRS
            claims[owner, claim.view.status] += 1
            if not is_ours and claim.view.status is ClaimStatus.PROPOSED:
                windows.append(claim.view.window_end - snapshot.now)
            for challenge in claim.challenges:
                challenges[owner, challenge.status] += 1
            for key, standing in claim.standings.items():
                mine = Turn.DEFENDER if is_ours else Turn.CHALLENGER
                if standing.turn is mine and (is_ours or key.challenger == snapshot.me):
                    clocks.append(standing.limit - snapshot.now)
        for owner in (_OURS, _THEIRS):
            for claim_status in ClaimStatus:
                self._claims.labels(owner, claim_status.name).set(claims[owner, claim_status])
            for challenge_status in ChallengeStatus:
                count = challenges[owner, challenge_status]
                self._challenges.labels(owner, challenge_status.name).set(count)
        self._clock.set(min(clocks, default=float("nan")))
        self._window.set(min((left for left in windows if left >= 0), default=float("nan")))

    def did(self, duty: str, outcome: str) -> None:
        """Count a duty: done, failed, overtaken or abandoned."""
        self._duties.labels(duty, outcome).inc()

    def paid(self, gas: int, fee_wei: int) -> None:
        """Count a mined transaction."""
        self._gas.inc(gas)
        self._spent.inc(fee_wei)

    def reorganised(self) -> None:
        """Count a reorg."""
        self._reorgs.inc()

    def failed_to_read(self) -> None:
        """Count a look at the chain that failed."""
        self._troubles.inc()

    def solved(self, seconds: float) -> None:
        """Count a run of a model."""
        self._inference.observe(seconds)

    def watch_queue(self, waiting: Callable[[], int], lost: Callable[[], int]) -> None:
        """Ask these whenever the metrics are read."""
        self._queue.set_function(waiting)
        self._lost.set_function(lost)
