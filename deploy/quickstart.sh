#!/bin/sh
# Three directors on this machine, in network namespaces: see a virtual address move.
#
#   deploy/quickstart.sh           about a minute after the build; cleans up after itself, also on Ctrl-C
#   deploy/quickstart.sh --keep    leaves it running and says what to try
#   deploy/quickstart.sh --stop    removes what --keep left
#
# Needs Debian, the Rust toolchain, and root for the namespaces: run it with sudo, or let it ask for sudo itself.
# Installs what is missing of iproute2, nftables and gcc. The machine's own interfaces, addresses, rules and services
# are not touched.
set -eu

cd "$(dirname "$0")/.."
. deploy/install.sh

fail() {
    printf 'quickstart: %s\n' "$*" >&2
    exit 1
}

# Under sudo, cargo is the invoking user's, and so is what it builds.
run_cargo() {
    user_home=""
    if [ "$(id -u)" -eq 0 ] && [ -n "${SUDO_USER-}" ] && [ "$SUDO_USER" != root ]; then
        user_home="$(getent passwd "$SUDO_USER" | cut -d: -f6)"
    fi
    if [ -n "$user_home" ] && [ -x "$user_home/.cargo/bin/cargo" ]; then
        runuser -u "$SUDO_USER" -- env HOME="$user_home" PATH="$user_home/.cargo/bin:$PATH" cargo "$@"
    else
        PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
        has cargo || fail "cargo is missing: install the Rust toolchain from https://rustup.rs and run this again"
        cargo "$@"
    fi
}

case "${1-}" in
"" | --keep | --stop) ;;
*)
    sed -n '2,10s/^# \{0,1\}//p' deploy/quickstart.sh
    [ "$1" = --help ] || [ "$1" = -h ] || exit 2
    exit 0
    ;;
esac

[ "$(uname -s)" = Linux ] || fail "this needs Linux: the directors are network namespaces"
[ "$(id -u)" -eq 0 ] || has sudo || fail "network namespaces need root, and there is no sudo here: run this as root"

quickstart="${CARGO_TARGET_DIR:-target}/release/quickstart"
if [ "${1-}" != --stop ] || [ ! -x "$quickstart" ]; then
    # libc6-dev by name: gcc alone does not link.
    install_missing ip:iproute2 nft:nftables "cc:gcc libc6-dev"
    printf 'Building meshd and meshctl: some minutes the first time, seconds afterwards.\n'
    run_cargo build --release --locked --package meshd --package meshctl --package quickstart
fi
as_root "$quickstart" "$@"
