#!/bin/sh
# Starts the early services, before the root file system is mounted. Their pidfiles are in /run, which dracut moves to the
# real root.
for service in /etc/vsrun/early/*; do
    [ ! -x "$service" ] || "$service" || echo "early service ${service##*/}: not started" >&2
done
