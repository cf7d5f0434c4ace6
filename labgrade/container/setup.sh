#!/usr/bin/env bash
# Gradescope runs this once, as root, to build an assignment's image from the archive that make_autograder has made; the
# Dockerfile runs it too. It installs a compiler and the grader, and builds what all submissions share. Grading itself
# needs no network.
set -euo pipefail
source=$(cd "$(dirname -- "$0")" && pwd -P)
# Where every user can read them: submissions are built and run by a user who owns nothing.
export RUSTUP_HOME=/usr/local/rustup CARGO_HOME=/usr/local/cargo
export PATH=$CARGO_HOME/bin:$PATH

if ! command -v cc >/dev/null; then
    apt-get update
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends gcc libc6-dev
fi
if ! command -v cargo >/dev/null; then
    if ! command -v curl >/dev/null; then
        apt-get update
        DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ca-certificates curl
    fi
    curl --proto '=https' --tlsv1.2 -fsS https://sh.rustup.rs |
        sh -s -- -y --no-modify-path --profile minimal --default-toolchain "$(cat "$source/toolchain")"
fi

mkdir -p "$CARGO_HOME"
[ -d "$CARGO_HOME/vendor" ] || mv "$source/vendor" "$CARGO_HOME/vendor"
cat >"$CARGO_HOME/config.toml" <<CONFIG
[source.crates-io]
replace-with = "vendored"
[source.vendored]
directory = "$CARGO_HOME/vendor"
[net]
offline = true
CONFIG

cd "$source/course"
cargo build --quiet --locked --package labgrade
install -m 755 target/debug/labgrade /usr/local/bin/labgrade
rm -rf target
# The Dockerfile prepares later, as the user who grades.
[ "${PREPARE:-yes}" = yes ] || exit 0
if [ -d "$source/policy" ]; then
    # Nobody but root reads the secret: without namespaces nothing else keeps it from the code under test.
    chmod -R go-rwx "$source/policy"
    labgrade grade --prepare --policy "$source/policy/policy.toml"
else
    labgrade grade --prepare
fi
