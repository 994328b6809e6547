#!/bin/sh
# A typical entrypoint script of a PostgreSQL image, without rare cases, which the Dockerfile replaces.
set -e
if [ "$(id -u)" = 0 ]; then
    mkdir -p "$PGDATA"
    chown -R postgres "$PGDATA"
    chmod 700 "$PGDATA"
    exec gosu postgres "$0" "$@"
fi
if [ -n "$POSTGRES_PASSWORD_FILE" ]; then
    if [ -n "$POSTGRES_PASSWORD" ]; then
        echo "both POSTGRES_PASSWORD and POSTGRES_PASSWORD_FILE are set" >&2
        exit 1
    fi
    POSTGRES_PASSWORD=$(cat "$POSTGRES_PASSWORD_FILE")
    export POSTGRES_PASSWORD
    unset POSTGRES_PASSWORD_FILE
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    umask 077
    echo "$POSTGRES_PASSWORD" >/tmp/password
    initdb -D "$PGDATA" --pwfile /tmp/password -A scram-sha-256
    rm /tmp/password
    echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
fi
exec postgres -c "max_connections=${POSTGRES_MAX_CONNECTIONS:-100}" "$@"
