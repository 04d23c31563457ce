#!/usr/bin/env bash
# All tests: `bash deploy/test.sh [options of pytest]`.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" "gui,opencl,test"
cd "$root"
exec python -m pytest "$@"
