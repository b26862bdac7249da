"""Parties to a dispute on a real chain: those who follow the rules, and (in `adversaries`) those who do not."""
