"""The whole protocol on a chain of its own, as `oracle-node demo` and `bench dispute` play it. Serves no users."""
