#!/bin/sh
# Three directors on this machine, in network namespaces: see a virtual address move.
#
#   deploy/quickstart.sh           about a minute after the build; cleans up after itself, also on Ctrl-C
#   deploy/quickstart.sh --keep    leaves it running and says what to try
#   deploy/quickstart.sh --stop    removes what --keep left
#
# Needs Linux, the Rust toolchain, and root for the namespaces (sudo is used where it is there). Installs with apt what
# is missing of: iproute2, nftables, gcc. Does not touch the machine's own interfaces, addresses, rules or services.
set -eu

cd "$(dirname "$0")/.."
quickstart="${CARGO_TARGET_DIR:-target}/release/quickstart"

fail() {
    printf 'quickstart: %s\n' "$*" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

has() {
    PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null 2>&1
}

# No package may start a service while it is installed here.
install_packages() {
    as_root sh -eu -c '
        policy=/usr/sbin/policy-rc.d
        if [ ! -e "$policy" ]; then
            trap "rm -f $policy" EXIT
            trap "exit 130" INT TERM HUP
            printf "#!/bin/sh\nexit 101\n" >"$policy"
            chmod 755 "$policy"
        fi
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -qq
        apt-get install -y -qq --no-install-recommends "$@"
    ' sh "$@"
}

case "${1-}" in
-h | --help)
    sed -n '2,9s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
esac

[ "$(uname -s)" = Linux ] || fail "this needs Linux: the directors are network namespaces"
[ "$(id -u)" -eq 0 ] || has sudo || fail "network namespaces need root, and there is no sudo: run this as root"

if [ "${1-}" = --stop ] && [ -x "$quickstart" ]; then
    as_root "$quickstart" --stop
    exit 0
fi

# Rust may be installed for this user without being on the path of this shell yet.
has cargo || PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
has cargo || fail "cargo is missing: install the Rust toolchain from https://rustup.rs and run this again"

packages=""
has ip || packages="$packages iproute2"
has nft || packages="$packages nftables"
# libc6-dev comes along on purpose: gcc alone does not link.
has cc || packages="$packages gcc libc6-dev"
if [ -n "$packages" ]; then
    has apt-get || fail "please install$packages (or what your system calls them) and run this again"
    printf 'Installing%s.\n' "$packages"
    # shellcheck disable=SC2086 # a list of words
    install_packages $packages
fi

printf 'Building meshd and meshctl: some minutes the first time, seconds afterwards.\n'
cargo build --release --package meshd --package meshctl --package quickstart
as_root "$quickstart" "$@"
