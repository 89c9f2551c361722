#!/bin/sh
# Makes .venv and installs this checkout with the tested versions: sh scripts/set-up.sh '.[dev]'
set -eu
cd "$(dirname "$0")/.."

"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "set-up: $PYTHON is $("$PYTHON" --version 2>&1); Python 3.11 or newer is needed:" \
        "make PYTHON=python3.12 ..." >&2
    exit 1
}
[ -x .venv/bin/python ] || "$PYTHON" -m venv .venv

# Without an NVIDIA driver PyTorch's CPU build does, at a fraction of the size. Its own index is
# tried briefly; where it cannot be reached the default index has to do.
cpu_index='https://download.pytorch.org/whl/cpu'
if ! .venv/bin/python -c 'import torch' 2>/dev/null && ! command -v nvidia-smi >/dev/null 2>&1; then
    if .venv/bin/python -c "import urllib.request as r; r.urlopen('$cpu_index/torch/', timeout=5)" \
        2>/dev/null; then
        .venv/bin/python -m pip install --quiet --extra-index-url "$cpu_index" \
            --constraint constraints.txt torch
    fi
fi
echo "setting up .venv with the tested versions (minutes the first time) ..."
PIP_CONSTRAINT=constraints.txt .venv/bin/python -m pip install --quiet --editable "$1"
