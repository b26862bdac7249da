"""Importers: a trained network's file in, a tape out; one package a format."""
