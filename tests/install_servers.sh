#!/bin/sh
# The real servers and the browser the tests talk to. Installed where that is allowed; without
# them their tests skip, which CI=true turns into a failure. Arguments name more programs to have.
set -eu
missing=""
command -v redis-server >/dev/null || missing="$missing redis-server"
command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || missing="$missing nginx-light"
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$missing postgresql"
command -v systemd-analyze >/dev/null || missing="$missing systemd"
command -v openssl >/dev/null || missing="$missing openssl"
command -v strace >/dev/null || missing="$missing strace"
command -v chromium >/dev/null || missing="$missing chromium"
command -v nft >/dev/null || [ -x /usr/sbin/nft ] || missing="$missing nftables"
command -v ip >/dev/null || [ -x /usr/sbin/ip ] || missing="$missing iproute2"
command -v prometheus >/dev/null || missing="$missing prometheus"
command -v chromedriver >/dev/null || missing="$missing chromium-driver"
for program in "$@"; do
    command -v "$program" >/dev/null || missing="$missing $program"
done
[ -n "$missing" ] || exit 0
run=""
[ "$(id -u)" = 0 ] || { command -v sudo >/dev/null && sudo -n true 2>/dev/null && run="sudo -n"; } || true
if command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || [ -n "$run" ]; }; then
    echo "Installing for the tests:$missing"
    $run apt-get update -qq || true
    for package in $missing; do
        $run env DEBIAN_FRONTEND=noninteractive \
            apt-get install -y -qq --no-install-recommends "$package" >/dev/null || true
        # The tests start their own; Debian's packages would leave one running beside them.
        [ ! -d /run/systemd/system ] || $run systemctl disable --now "${package%-light}" 2>/dev/null || true
    done
fi
for program in redis-server systemd-analyze openssl chromium chromedriver prometheus; do
    command -v "$program" >/dev/null || echo "No $program: the tests that need it will be skipped" >&2
done
