# Sourced by the scripts that need tools: installs what is missing, with apt, and starts no service.
# shellcheck shell=sh

has() {
    PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null 2>&1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

# install_missing TOOL:PACKAGE...
install_missing() {
    missing=""
    for pair in "$@"; do
        has "${pair%%:*}" || missing="$missing ${pair#*:}"
    done
    [ -n "$missing" ] || return 0
    if ! has apt-get; then
        printf 'Please install%s (or what your system calls them) and run this again.\n' "$missing" >&2
        return 1
    fi
    printf 'Installing%s.\n' "$missing"
    # What a package installs to run at boot does not run now: policy-rc.d is how Debian's packages are told.
    # shellcheck disable=SC2086 # a list of words
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
        # Nothing goes to make room: a host has one mail server, and keeps it.
        apt-get install -y -qq --no-install-recommends --no-remove "$@"
    ' sh $missing
}
