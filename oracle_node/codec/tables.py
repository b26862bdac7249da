"""A row of a table as an input's numbers, by the columns that the card names."""

import csv
from pathlib import Path

import numpy as np

from oracle_node.codec.description import Column, TablePart
from oracle_node.errors import ConfigError


def table_numbers(path: Path, part: TablePart) -> np.ndarray:
    """The only row of a .csv file with a header, (columns,) f64; columns that the card does not name are ignored."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, skipinitialspace=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: not a .csv file ({error})") from None
    if len(rows) != 1:
        raise ConfigError(f"{path}: {len(rows)} rows below the header; a request takes one")
    return row_numbers(rows[0], part, str(path))


def row_numbers(row: dict[str, str | None], part: TablePart, where: str) -> np.ndarray:
    """(columns,) f64 of the texts by column name; ConfigError names the column without a value or with a wrong one."""
    return np.array([_number(row, column, where) for column in part.columns])


def _number(row: dict[str, str | None], column: Column, where: str) -> float:
    text = (row.get(column.name) or "").strip()
    if not text:
        raise ConfigError(f"{where}: no value in column {column.name!r}")
    if text in column.categories:
        return float(column.categories.index(text))
    try:
        value = float(text)
    except ValueError:
        known = f", which takes {', '.join(column.categories)}" if column.categories else ""
        raise ConfigError(f"{where}: {text!r} is no number in column {column.name!r}{known}") from None
    if not np.isfinite(value):
        raise ConfigError(f"{where}: {text!r} in column {column.name!r}: a request carries finite numbers")
    return value
