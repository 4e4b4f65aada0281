#!/usr/bin/env bash
# All checks and all tests, from a bare clone: installs what they need, and says so.
# Arguments go to pytest, for instance: bash tests/run.sh tests/lock -k stale
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. server_env/scripts/prepare.sh

# bubblewrap is the sandbox; Docker, skopeo and umoci read what hps wrote; a static busybox fills
# small images; iproute2 and util-linux make network namespaces; gnupg signs archives of the tests;
# libpython is what Triton's Python stub loads; the compiler and the headers build an extension;
# strace sees what a build opens; faketime gives one another clock; docker-registry keeps images
# and softhsm2 keys; python3-swift verifies what is signed for S3; disorderfs, qemu and diffoscope
# vary and compare what the challenge builds; chromium looks at the status page; HDFS runs on Java;
# bsdtar, pigz, pbzip2 and zip pack models as publishers do; the client of Kerberos is built with
# libkrb5-dev; squid, tinyproxy, apt-cacher-ng and nginx are proxies and mirrors as users have them.
debian bubblewrap docker.io skopeo umoci busybox-static iproute2 util-linux gnupg openssl \
    libpython3.11 gcc libc6-dev libpython3.11-dev strace faketime git docker-registry softhsm2 \
    python3-swift disorderfs qemu-user-static diffoscope-minimal \
    chromium chromium-driver openjdk-17-jre-headless libarchive-tools pigz pbzip2 zip zstd xz-utils \
    libkrb5-dev squid tinyproxy apt-cacher-ng nginx-light
# Not optimised, what is compiled here takes a minute less.
CFLAGS='-O0 -g0' environment '.[test]'
export PATH="$PWD/.venv/bin:$PATH"
ruff check .
ruff format --check .
mypy
if [ "$#" -eq 0 ]; then
    # A file stays in one process: its tests share servers, and look at what they left behind.
    set -- -n 2 --dist loadfile
fi
python -m pytest "$@"
