#!/bin/sh
# A typical entrypoint script of a web application, which the Dockerfile replaces.
set -e
if [ -n "$APP_TOKEN_FILE" ]; then
    APP_TOKEN=$(cat "$APP_TOKEN_FILE")
    export APP_TOKEN
    unset APP_TOKEN_FILE
fi
cd /srv/app
chown -R app /data
gosu app python3 migrate.py
exec gosu app gunicorn --bind 0.0.0.0:8000 --workers "${WORKERS:-2}" app:app
