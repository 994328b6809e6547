#!/bin/sh
# A typical entrypoint script of a redis image, which the Dockerfile replaces.
set -e
if [ "${1#-}" != "$1" ]; then
    set -- redis-server "$@"
fi
if [ "$1" = redis-server ] && [ "$(id -u)" = 0 ]; then
    find . \! -user redis -exec chown redis '{}' +
    exec gosu redis "$0" "$@"
fi
if [ "$(umask)" = 0022 ]; then
    umask 0077
fi
if [ -n "$REDIS_PASSWORD_FILE" ]; then
    set -- "$@" --requirepass "$(cat "$REDIS_PASSWORD_FILE")"
fi
exec "$@" --maxmemory "${REDIS_MAXMEMORY:-64mb}" --appendonly yes
