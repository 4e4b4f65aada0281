# Sourced by the scripts beside it and by tests/run.sh: what a bare Debian machine lacks.
#
#   debian PACKAGE…    installs Debian packages that are not there yet
#   environment EXTRAS makes .venv in the repository and installs hps into it

say() { printf '%s\n' "hps: $*" >&2; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

debian() {
    local missing=() package
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed' ||
            missing+=("$package")
    done
    [ "${#missing[@]}" -eq 0 ] && return 0
    if ! command -v apt-get >/dev/null; then
        say "these are Debian packages, and this machine has no apt-get: ${missing[*]}"
        return 1
    fi
    if [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null; then
        say "installing Debian packages: ${missing[*]}"
        # One list that cannot be read, of another repository for instance, need not matter: what
        # the packages need decides. With SYSTEMD_OFFLINE systemctl(1) leaves the running system
        # alone, so that no package starts a daemon: the tests start their own.
        as_root env DEBIAN_FRONTEND=noninteractive SYSTEMD_OFFLINE=1 sh -c '
            apt-get update -qq
            exec apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 "$@"
        ' sh "${missing[@]}" >/dev/null && return 0
        say "they could not be installed, for the reason above. By hand, as root:"
    else
        say "Debian packages are missing, and without sudo only root can install them. As root:"
    fi
    say "    apt-get update && apt-get install --no-install-recommends ${missing[*]}"
    say "then start this again"
    return 1
}

environment() {
    if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
        new_environment
    fi
    say "installing hps into .venv"
    .venv/bin/python -m pip install -q --disable-pip-version-check -e "$1"
}

new_environment() {
    if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        say "hps needs Python 3.11 or newer as python3; this is $(python3 --version 2>&1)"
        return 1
    fi
    say "making .venv"
    if python3 -c 'import ensurepip' 2>/dev/null; then
        python3 -m venv .venv
        return
    fi
    # Debian keeps ensurepip in python3-venv. The machine's pip serves as well, and needs no root.
    if ! python3 -m pip --version >/dev/null 2>&1; then
        debian python3-venv
        python3 -m venv .venv
        return
    fi
    python3 -m venv --without-pip .venv
    python3 -m pip --python .venv/bin/python install -q --disable-pip-version-check pip
}
