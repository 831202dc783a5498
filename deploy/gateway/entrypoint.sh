#!/bin/sh
# With keys anybody may knock; without, this machine only. /dev/shm is writable where the root is not.
set -eu
access=local
[ -z "${FRESHET_KEYS:-}${FRESHET_WRITE_KEYS:-}" ] || access=keys
cp "/etc/freshet/access-$access.conf" /dev/shm/access.conf
exec nginx -c /etc/freshet/nginx.conf -e /dev/stderr -g 'daemon off;'
