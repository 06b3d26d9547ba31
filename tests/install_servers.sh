#!/bin/sh
# The real servers the tests talk to. Installed where that is allowed; without them their
# tests skip, which CI=true turns into a failure.
set -eu
command -v redis-server >/dev/null && exit 0
run=""
[ "$(id -u)" = 0 ] || { command -v sudo >/dev/null && sudo -n true 2>/dev/null && run="sudo -n"; } || true
if command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || [ -n "$run" ]; }; then
    echo "Installing redis-server for the tests"
    $run apt-get update -qq && $run env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends redis-server >/dev/null || true
fi
command -v redis-server >/dev/null || echo "No redis-server: the tests that need it will be skipped" >&2
