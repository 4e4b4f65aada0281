# Sourced by the scripts beside it and by tests/run.sh: what a bare Debian machine lacks.
#
#   debian PACKAGE…    installs Debian packages that are not there yet
#   environment EXTRAS makes .venv in the repository and installs hps into it

say() { printf '%s\n' "hps: $*" >&2; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        say "this needs root once: $*"
        say "run it as root, then start again"
        return 1
    fi
}

debian() {
    missing=()
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok' ||
            missing+=("$package")
    done
    [ "${#missing[@]}" -eq 0 ] && return 0
    say "installing Debian packages: ${missing[*]}"
    as_root apt-get update -qq
    # In runlevel 1 no package starts a daemon (invoke-rc.d(8)): the tests start their own.
    as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
        apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 \
        "${missing[@]}" >/dev/null
}

environment() {
    if [ ! -x .venv/bin/python ]; then
        say "making .venv"
        python3 -c 'import ensurepip, venv' 2>/dev/null || debian python3-venv
        python3 -m venv .venv
    fi
    say "installing hps into .venv"
    .venv/bin/python -m pip install -q --disable-pip-version-check -e "$1"
}
