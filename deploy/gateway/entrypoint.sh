#!/bin/sh
# With keys anybody may knock; without, this machine only. /dev/shm is writable where the root is not.
set -eu
access=local
case "${FRESHET_KEYS:-}${FRESHET_WRITE_KEYS:-}" in
*[!,[:space:]]*) access=keys ;; # commas and spaces alone are no key, as services/kernel/settings.py reads them
esac
cp "/etc/freshet/access-$access.conf" /dev/shm/access.conf
exec nginx -c /etc/freshet/nginx.conf -e /dev/stderr -g 'daemon off;'
