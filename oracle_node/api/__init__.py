"""The node's HTTP API: health for supervisors, metrics for Prometheus, status for people and tools."""
