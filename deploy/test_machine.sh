#!/bin/sh
# What the tests need besides Python: Redis, PostgreSQL, Chromium and a Chinese font. Installed where the machine lacks
# them and apt may be used; otherwise named.
set -u

missing=""
command -v redis-server >/dev/null || missing="$missing redis-server"
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || missing="$missing postgresql"
[ -n "${CHROMIUM:-}" ] || command -v chromium >/dev/null || missing="$missing chromium"
[ -n "$(fc-list :lang=zh 2>/dev/null | head -n 1)" ] || missing="$missing fontconfig fonts-noto-cjk"
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then as_root=""
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then as_root="sudo"
else as_root="none"; fi

if command -v apt-get >/dev/null && [ "$as_root" != none ]; then
    echo "Installing for the tests:$missing"
    # shellcheck disable=SC2086
    $as_root apt-get update -qq && DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null && exit 0
    echo "apt could not install them; its message is above." >&2
fi
echo "The tests need programs that this machine lacks. Please install:$missing" >&2
echo "(names of Debian and Ubuntu; elsewhere CHROMIUM=/path/to/chromium names a browser)" >&2
exit 1
