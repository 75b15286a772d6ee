# Shared by the scripts: finds the repository, the Python environment and uv.
# shellcheck shell=bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
REPOSITORY=$PWD
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/meshinstall

fail() {
  echo "${0##*/}: $*" >&2
  exit 1
}

# Prints a Python 3.11 to 3.13 that really runs (a pyenv shim may not).
find_python() {
  local candidate
  for candidate in "${PYTHON:-python3}" python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
      "$candidate" -c 'import sys; print(sys.executable)'
      return
    fi
  done
  fail "Python 3.11, 3.12 or 3.13 is needed and was not found; install one, or name it: PYTHON=/path/to/python3"
}

# Puts the pinned uv on PATH, in a folder of the cache.
ensure_uv() {
  local home pinned python
  pinned=$(sed -n 's/^uv==\([^ ]*\).*/\1/p' requirements/uv.txt)
  home=$CACHE/uv-$pinned
  if [ ! -x "$home/bin/uv" ]; then
    python=$(find_python)
    rm -rf "$home.new"
    # Debian ships venv apart from Python.
    "$python" -m venv "$home.new" >/dev/null 2>&1 || {
      apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null
      "$python" -m venv "$home.new"
    } || fail "$python has no venv module; install python3-venv"
    "$home.new/bin/pip" --quiet --disable-pip-version-check install --no-deps --require-hashes -r requirements/uv.txt
    mkdir -p "$home/bin"
    mv "$home.new/bin/uv" "$home/bin/uv"
    rm -rf "$home.new"
  fi
  export PATH="$home/bin:$PATH"
}

# Makes .venv hold exactly the pinned set and this package; nothing to do when it does.
ensure_venv() {
  local key
  ensure_uv
  key=$(cat requirements/dev.txt pyproject.toml | sha256sum)
  if [ "$(cat .venv/.synced 2>/dev/null)" != "$key" ]; then
    echo "setting up .venv" >&2
    [ -x .venv/bin/python ] || uv venv --quiet --python "$(find_python)" .venv
    uv pip sync --quiet --compile-bytecode --python .venv/bin/python --require-hashes requirements/dev.txt
    uv pip install --quiet --python .venv/bin/python --no-deps --editable .
    echo "$key" >.venv/.synced
  fi
  # Where PYTHONDONTWRITEBYTECODE is set, each start would compile everything anew.
  .venv/bin/python -m compileall -q meshinstall testbed
  export PATH="$REPOSITORY/.venv/bin:$PATH"
}

# Stops with one sentence when this machine cannot carry the testbed.
require_testbed_machine() {
  "$(find_python)" -m testbed.machine "$CACHE/testbed" || exit 1
}

# Puts a Chromium on the machine for the tests of pages, where Debian's package manager can.
ensure_chromium() {
  local name
  for name in chromium chromium-browser google-chrome chrome; do
    if command -v "$name" >/dev/null; then return; fi
  done
  command -v apt-get >/dev/null || fail "no Chromium is here for the tests of pages; install chromium"
  echo "installing chromium" >&2
  { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; } >/dev/null 2>&1 ||
    fail "apt-get could not install chromium; install it by hand"
}
