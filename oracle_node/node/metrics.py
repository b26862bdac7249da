"""What the node counts, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from oracle_node.chain.types import ClaimStatus
from oracle_node.node.snapshot import Snapshot


class Metrics:
    """One registry a node, so that several can live in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._head = self._gauge("head_block", "Number of the newest block seen")
        self._head_time = self._gauge("head_time_seconds", "Unix time of the newest block seen")
        self._balance = self._gauge("balance_wei", "Free balance inside the oracle")
        self._requests = self._gauge("open_requests", "Requests to the node's models that are not over")
        self._claims = self._gauge("standing_claims", "Claims on them that are not decided")
        self._own_claims = self._gauge("own_standing_claims", "The node's own among them")
        self._challenges = self._gauge("active_challenges", "Challenges that are not settled")
        self._duties = Counter(
            "oracle_node_duties", "Duties by kind and outcome", ["duty", "outcome"], registry=self.registry
        )

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"oracle_node_{name}", text, registry=self.registry)

    def saw(self, snapshot: Snapshot) -> None:
        """Take the gauges from a snapshot."""
        standing = [
            claim
            for claim in snapshot.claims.values()
            if claim.view.status in (ClaimStatus.COMMITTED, ClaimStatus.PROPOSED)
        ]
        self._head.set(snapshot.head.number)
        self._head_time.set(snapshot.now)
        self._balance.set(snapshot.balance_wei)
        self._requests.set(len(snapshot.requests))
        self._claims.set(len(standing))
        self._own_claims.set(sum(claim.view.claimant == snapshot.me for claim in standing))
        self._challenges.set(sum(c.is_active for claim in standing for c in claim.challenges))

    def did(self, duty: str, outcome: str) -> None:
        """Count a duty: done, failed or abandoned."""
        self._duties.labels(duty, outcome).inc()
