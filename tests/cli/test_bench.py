"""`oracle-node bench` as it is called: what is printed for people and for machines."""

from tests.cli.running import Cli


def test_exact__profile_of_the_slowest_layers__prints_as_many(oracle: Cli) -> None:
    arguments = ("bench", "exact", "--profile", "--rounds", "1", "--layers", "2")
    assert "tracing adds about 2 µs" in oracle(*arguments).out
    found = oracle(*arguments, "--json").json
    assert len(found["layers"]) == 2
    assert found["operators_ms"] and found["float32_operators_ms"]


def test_dispute__text_for_a_model_of_images__is_refused(oracle: Cli) -> None:
    ran = oracle("bench", "dispute", "--text", "seven")
    assert ran.code == 1
    assert "takes no text" in ran.err
