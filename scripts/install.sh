#!/bin/sh
# The package of this folder in a virtual environment of its own, from wheels alone: no compiler is needed.
#   scripts/install.sh PREFIX
set -eu
cd "$(dirname "$0")/.."
"${PYTHON:-python3}" -m venv "$1"
"$1/bin/pip" install --quiet --disable-pip-version-check --only-binary=:all: --no-binary=oracle-node '.[fast]'
"$1/bin/oracle-node" --version
