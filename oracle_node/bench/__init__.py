"""Measurements beside their baselines, taken in the same run: times move with the machine, ratios and counts do not."""
