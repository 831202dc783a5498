#!/bin/sh
# With keys anybody may knock; without, this machine only. /dev/shm is writable where the root is not.
set -eu
access=local
case "${FRESHET_KEYS:-}${FRESHET_WRITE_KEYS:-}" in
*[!,[:space:]]*) access=keys ;; # commas and spaces alone are no key, as services/kernel/settings.py reads them
esac
cp "/etc/freshet/access-$access.conf" /dev/shm/access.conf
# Without keys, pages of these may call too. `*` is no file name here; nginx takes no entry twice.
[ $access = local ] || FRESHET_CORS_ORIGINS=
set -f
for origin in $(printf %s "${FRESHET_CORS_ORIGINS:-}" | tr ',A-Z' ' a-z'); do
    case "$origin" in
    '*') echo '"~." $foreign_host;' ;;
    *[!]a-z0-9:/._[-]*)
        echo "FRESHET_CORS_ORIGINS: $origin is no origin; write https://host[:port] or *" >&2
        exit 2
        ;;
    *) echo "\"${origin%/}\" \$foreign_host;" ;;
    esac
done >/dev/shm/origins
sort -u /dev/shm/origins >/dev/shm/origins.conf
exec nginx -c /etc/freshet/nginx.conf -e /dev/stderr -g 'daemon off;'
