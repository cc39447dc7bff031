#!/bin/sh
# Makes a base image from Debian's packages where no image registry is reached: `docker/debian-base.sh NAME [ENGINE]`.
# Needs root, debootstrap, and docker (or podman, the ENGINE). Debian 12 has Python 3.11.
set -eu
name=$1
engine=${2:-docker}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$folder/debian" > "$folder/log" || {
  tail -5 "$folder/log" >&2
  exit 1
}
rm -rf "$folder"/debian/var/cache/apt/archives/*.deb "$folder"/debian/var/lib/apt/lists/*
tar -C "$folder/debian" -c . | "$engine" import - "$name"
