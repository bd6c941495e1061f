#!/usr/bin/env bash
# base.sh IMAGE: makes a base image with Python 3.11 from Debian's packages, where no container
# registry is reached. Needs root, debootstrap and buildah. An image that is there already is kept.
set -euo pipefail
image="$1"
buildah inspect --type image "$image" >/dev/null 2>&1 && exit

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm \
  "$folder/root" >"$folder/log" 2>&1 || { tail -20 "$folder/log" >&2; exit 1; }
# Lists, manuals and downloaded packages serve nobody in an image.
rm -rf "$folder"/root/var/cache/apt/* "$folder"/root/var/lib/apt/lists/* "$folder"/root/var/log/* \
  "$folder"/root/usr/share/{doc,man,locale,info}/*

container=$(buildah from scratch)
buildah add --quiet "$container" "$folder/root" / >/dev/null
buildah config --cmd python3 "$container"
buildah commit --quiet --rm "$container" "$image" >/dev/null
