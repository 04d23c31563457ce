#!/usr/bin/env bash
# The whole chain on this machine: `bash deploy/demo.sh [options of ringline demo]`.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" ""
exec python -m ringline.processing.command_line demo "$@"
