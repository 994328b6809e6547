#!/bin/sh
# A typical entrypoint script of an nginx image, which the Dockerfile replaces. `envsubst` is a program of gettext.
set -e
envsubst '$NGINX_WORKERS' </etc/nginx/nginx.conf.template >/etc/nginx/nginx.conf
nginx -t -q
exec nginx -g 'daemon off;'
