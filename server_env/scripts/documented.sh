# Sourced by the four scripts beside it that PaddleX's documents name: where the project and hps
# are, what hps.toml says of them, and how an image gets its name in Docker.
#
# The project is the folder that holds server_env, whatever the current one is.

scripts=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd -P)
project=$(cd "$scripts/../.." && pwd -P)
index=() # -p INDEX, as hps takes it

say() { printf '%s\n' "hps: $*" >&2; }

refuse() {
    say "$*"
    say "try: $0 --help"
    exit 2
}

# take LETTERS WORD… reads the options; LETTERS as for getopts, of k, t, p and d.
take() {
    local letters=$1 option
    shift
    [ "${1:-}" != --help ] || help
    while getopts ":${letters}h" option; do
        case $option in
        k)
            case $OPTARG in
            gpu | cpu) device=$OPTARG ;;
            *) refuse "-k is gpu or cpu, not $OPTARG" ;;
            esac
            ;;
        t) [[ $OPTARG =~ ^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$ ]] && tag=$OPTARG ||
            refuse "-t is no tag of an image: $OPTARG" ;;
        p) [ -n "$OPTARG" ] && index=(-p "$OPTARG") || refuse "-p is empty" ;;
        d) development=-dev ;;
        h) help ;;
        :) refuse "-$OPTARG wants a word behind it" ;;
        *) refuse "there is no option -$OPTARG" ;;
        esac
    done
    shift $((OPTIND - 1))
    [ $# -eq 0 ] || refuse "what is $1?"
}

help() {
    usage
    exit 0
}

# find_hps sets `hps` and `python`: those of the project's .venv, else those in PATH. In a clone of
# hps itself they are installed into .venv when there are none.
find_hps() {
    if [ -x "$project/.venv/bin/hps" ] && docker_client "$project/.venv/bin/python"; then
        hps=$project/.venv/bin/hps
    elif ! hps=$(command -v hps); then
        if [ ! -f "$project/builder/hps/__main__.py" ]; then
            say "hps is not installed. With Python 3.11 or newer:"
            say "    python3 -m venv $project/.venv && $project/.venv/bin/pip install 'hps[docker]'"
            exit 127
        fi
        cd "$project"
        . "$scripts/prepare.sh"
        debian bubblewrap
        environment '.[client,docker]'
        hps=$project/.venv/bin/hps
    fi
    python=$(dirname "$(readlink -f "$hps")")/python3
    [ -x "$python" ] || python=python3
}

# docker_client PYTHON: whether hps can speak to Docker there; first_image.sh does without.
docker_client() { "$1" -c 'import docker' 2>/dev/null; }

# run WORD… runs hps in the project; nothing is asked, so a terminal is not needed.
run() { "$hps" -C "$project" "$@" </dev/null; }

# told KEY prints what hps.toml says: `targets`, a line for each, or `repository`.
told() {
    "$python" - "$project/hps.toml" "$1" <<'EOF'
import sys
import tomllib

try:
    with open(sys.argv[1], "rb") as file:
        config = tomllib.load(file)
except (OSError, ValueError) as error:
    sys.exit(f"hps: {sys.argv[1]}: {error}")
if sys.argv[2] == "targets":
    print(*config.get("targets", {}), sep="\n")
else:
    print(config.get("signing", {}).get("reference") or "paddlex/hps")
EOF
}

# both PREFIX prints the targets for a GPU and for a CPU that hps.toml has, PREFIX before each.
both() {
    local targets one found=2
    targets=$(told targets) || return
    for one in "$1gpu" "$1cpu"; do
        if grep -qxF -- "$one" <<<"$targets"; then
            found=0
            printf '%s\n' "$one"
        else
            say "hps.toml has no target $one: it is left out"
        fi
    done
    return $found
}

# repository prints where the deployment images belong, REPOSITORY/NAME.
repository() {
    if [ -n "${HPS_IMAGE_REPOSITORY:-}" ]; then printf '%s\n' "$HPS_IMAGE_REPOSITORY"; else told repository; fi
}

# image TARGET NAME builds a target from hps.lock and hands it to Docker under a name. The last two
# lines are those with which `docker build` ends.
image() {
    local loaded
    run build --frozen "$1" "${index[@]}" >/dev/null &&
        loaded=$(run load "$1" --tag "$2" "${index[@]}") &&
        printf 'writing image %s\nnaming to %s\n' "${loaded%% *}" "$2"
}

# each FUNCTION TARGET… calls FUNCTION for each target, the others too when one fails, and exits
# with what the first failure ended with. What was interrupted ends all.
each() {
    local function=$1 target code failed=0
    shift
    for target; do
        code=0
        "$function" "$target" || code=$?
        [ "$code" -lt 128 ] || exit "$code"
        [ "$code" -eq 0 ] || say "$target failed, see above"
        [ "$failed" -ne 0 ] || failed=$code
    done
    exit "$failed"
}
