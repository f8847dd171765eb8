#!/usr/bin/env bash
# Fetch coco128 into data/coco128.
#
#   bash tools/fetch_coco128.sh
#
# COCO128_URL     the archive; file:///path/coco128.zip for one that is already here
# COCO128_OUT     where to put it (data/coco128)
# COCO128_SHA256  sha256 of the archive, where COCO128_URL names another one than Ultralytics' (sha256sum FILE)
set -euo pipefail

url=${COCO128_URL:-https://github.com/ultralytics/assets/releases/download/v0.0.0/coco128.zip}
out=${COCO128_OUT:-data/coco128}
# of Ultralytics' archive (6,983,030 bytes), as projects that download it pin it
sum=${COCO128_SHA256:-61e5e3028863d8ffc3b81d6a514603954889f0edd5e4b44c4ce60b2da99aeb8e}

fail() {
  printf 'Error: %s\n  fix: %s\n' "$1" "$2" >&2
  exit 1
}

[ ! -e "$out" ] || { echo "$out: already there" >&2; exit 0; }

mkdir -p "$(dirname "$out")"
work=$(mktemp -d "$(dirname "$out")/.coco128.XXXXXX")
trap 'rm -rf "$work"' EXIT

curl --fail --silent --show-error --location --output "$work/coco128.zip" "$url" || fail \
  "$url cannot be fetched" \
  "fetch it where there is a network, then COCO128_URL=file:///path/coco128.zip bash tools/fetch_coco128.sh"

found=$(sha256sum "$work/coco128.zip" | cut -d ' ' -f 1)
[ "$found" = "$sum" ] || fail "$url has sha256 $found, not $sum" \
  "fetch it again; for an archive of your own, set COCO128_SHA256 to its sum"

python3 -m zipfile -e "$work/coco128.zip" "$work/unpacked" || fail \
  "$url is not a zip archive" "give COCO128_URL the zip of coco128"
[ -d "$work/unpacked/coco128" ] || fail "$url holds no folder coco128" "give COCO128_URL the zip of coco128"
mv "$work/unpacked/coco128" "$out"
echo "$out"
