#!/bin/sh
# What the Dockerfile replaces: the entrypoint script of an nginx image. (`envsubst` is a program of gettext.)
set -e
envsubst '$NGINX_WORKERS' </etc/nginx/nginx.conf.template >/etc/nginx/nginx.conf
nginx -t -q
exec nginx -g 'daemon off;'
