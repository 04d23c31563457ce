# Makes the environment in .venv and puts it first on PATH: `source deploy/environment.sh EXTRAS`.
# Needs Python 3.11 to 3.13 and the package index; nothing is installed outside this folder.
# RINGLINE_PYTHON names the interpreter to use, where the first one found is not wanted.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
extras=$1

suits() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

find_python() {
    local name
    for name in ${RINGLINE_PYTHON:+"$RINGLINE_PYTHON"} python3 python3.13 python3.12 python3.11; do
        if suits "$name"; then
            command -v "$name"
            return
        fi
    done
    echo "Ringline needs Python 3.11, 3.12 or 3.13; found: $(python3 --version 2>&1)." \
        "Set RINGLINE_PYTHON to one of these." >&2
    return 1
}

make_environment() {
    local python stamp
    stamp="$root/.venv/installed-${extras:-base}"
    if ! suits "$root/.venv/bin/python"; then
        python=$(find_python) || return 1
        echo "Making the environment in .venv with $("$python" --version) ..." >&2
        rm -rf "$root/.venv"
        "$python" -m venv "$root/.venv" || return 1
    fi
    if ! cmp -s "$stamp" <(cat "$root/pyproject.toml" "$root/deploy/constraints.txt"); then
        echo "Installing Ringline${extras:+ with $extras} (about two minutes) ..." >&2
        "$root/.venv/bin/python" -m pip install --quiet --disable-pip-version-check \
            --constraint "$root/deploy/constraints.txt" \
            --editable "$root${extras:+[$extras]}" || return 1
        cat "$root/pyproject.toml" "$root/deploy/constraints.txt" > "$stamp"
    fi
    export PATH="$root/.venv/bin:$PATH"
}

make_environment || exit 1
