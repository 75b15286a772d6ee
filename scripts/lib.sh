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

# With stdin closed, the first file that a program opens would become its stdin.
if [ ! -e /dev/fd/0 ]; then exec </dev/null; fi

# Prints version and path of the interpreter behind a command; fails when it does not run (a pyenv shim may not) or is not 3.11 to 3.13.
inspect_python() {
  "$1" -c 'import os, sys
if not (3, 11) <= sys.version_info < (3, 14): sys.exit(1)
print("%d.%d" % sys.version_info[:2], os.path.realpath(sys._base_executable))' 2>/dev/null
}

# Prints version and path of the interpreter to use: PYTHON when it is given, and no other then.
choose_python() {
  local candidate
  if [ -n "${PYTHON:-}" ]; then
    inspect_python "$PYTHON" || fail "PYTHON=$PYTHON does not run or is not Python 3.11, 3.12 or 3.13; name another: PYTHON=/path/to/python3"
    return
  fi
  for candidate in python3 python3.13 python3.12 python3.11; do
    if inspect_python "$candidate"; then return; fi
  done
  fail "Python 3.11, 3.12 or 3.13 is needed and was not found; install one, or name it: PYTHON=/path/to/python3"
}

# Prints the path of the interpreter to use.
find_python() {
  local chosen
  chosen=$(choose_python) && echo "${chosen#* }"
}

# Prints version and path of one interpreter for each version that the project promises and the machine has, the chosen one first.
find_pythons() {
  local chosen version candidate
  chosen=$(choose_python)
  echo "$chosen"
  if [ -n "${PYTHON:-}" ]; then return; fi
  for version in 3.11 3.12 3.13; do
    if [ "${chosen%% *}" = "$version" ]; then continue; fi
    # Those of pyenv are there although its shims run only the ones that are switched on.
    while read -r candidate; do
      if inspect_python "$candidate"; then break; fi
    done < <(
      type -aP "python$version"
      printf '%s\n' "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version".*/bin/"python$version" | sort --version-sort --reverse
    )
  done
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

# Makes a folder hold exactly the pinned set and this package, under one interpreter; nothing to do when it does.
# ensure_venv [FOLDER PYTHON [PINS]]: by default .venv under the interpreter to use, with requirements/dev.txt.
ensure_venv() {
  local folder=${1:-.venv} python=${2:-} pins=${3:-requirements/dev.txt} interpreter key
  python=${python:-$(find_python)}
  ensure_uv
  interpreter=$python$'\n'$("$python" -VV)
  key=$(cat "$pins" requirements/build.txt pyproject.toml | sha256sum)
  # Without this an environment would silently stay what it was when another interpreter is asked for.
  if [ "$(cat "$folder/.interpreter" 2>/dev/null)" != "$interpreter" ]; then
    uv venv --quiet --clear --python "$python" "$folder"
    echo "$interpreter" >"$folder/.interpreter"
  fi
  if [ "$(cat "$folder/.synced" 2>/dev/null)" != "$key" ]; then
    echo "setting up $folder: $python" >&2
    uv pip sync --quiet --compile-bytecode --python "$folder/bin/python" --require-hashes "$pins"
    uv pip install --quiet --python "$folder/bin/python" --no-deps --build-constraints requirements/build.txt --editable .
    echo "$key" >"$folder/.synced"
  fi
  # Where PYTHONDONTWRITEBYTECODE is set, each start would compile everything anew.
  "$folder/bin/python" -m compileall -q meshinstall testbed
  export PATH="$REPOSITORY/$folder/bin:$PATH"
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

# Puts a C compiler on the machine for the clock of `scripts/test later`, where Debian's package manager can.
ensure_compiler() {
  if command -v cc >/dev/null; then return; fi
  echo "installing gcc" >&2
  { apt-get update -qq && apt-get install -y -qq --no-install-recommends gcc libc6-dev; } >/dev/null 2>&1 ||
    fail "apt-get could not install gcc; install a C compiler by hand"
}
