#!/usr/bin/env bash
# Checks Versemill on a machine with one NVIDIA GPU: the tests marked `gpu`, and speed beside cuDNN.
#   bash scripts/gpu-check.sh [REPORT.json]
# Needs torch 2.6 or newer and pytest; takes other packages from wheels in the folder that WHEELS
# names (default: .wheels), without a network. Prints a JSON report; takes at most 7 minutes.
set -uo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
report=${1:-gpu-report.json}
wheels=${WHEELS:-.wheels}
site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT

if ls "$wheels"/*.whl >/dev/null 2>&1; then
    "$PYTHON" -m pip install --quiet --no-index --no-deps --no-compile --target "$site" "$wheels"/*.whl || exit 1
fi
# The checkout goes before an installed wheel, which is there for its entry points.
export PYTHONPATH="$PWD/toolkit:$PWD/plugins:$PWD/workers:$PWD/alembic:$site${PYTHONPATH:+:$PYTHONPATH}"

timeout 270 "$PYTHON" -m pytest -m gpu -n 0 -q -p no:cacheprovider tests/gpu --junit-xml="$site/tests.xml"
tests=$?
timeout 120 "$PYTHON" benchmarks/cuda_training.py "$site/speed.json"
speed=$?
"$PYTHON" - "$report" "$site" "$tests" "$speed" <<'PY'
import json, sys
from pathlib import Path
from xml.etree import ElementTree

target, site, tests, speed = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
found = {"passed": tests == 0 and speed == 0, "tests": [], "speed": None}
if (site / "tests.xml").exists():
    for case in ElementTree.parse(site / "tests.xml").iter("testcase"):
        bad = case.find("failure") if case.find("failure") is not None else case.find("error")
        found["tests"].append({
            "name": f"{case.get('classname')}::{case.get('name')}",
            "seconds": float(case.get("time") or 0),
            "passed": bad is None,
            "message": None if bad is None else (bad.get("message") or "")[:500],
        })
if (site / "speed.json").exists():
    found["speed"] = json.loads((site / "speed.json").read_text())
Path(target).write_text(json.dumps(found, indent=1))
print(json.dumps(found, indent=1))
PY
exit $((tests || speed))
