#!/bin/sh
# image-root.sh BINARY FOLDER: fills FOLDER with all that BINARY needs to run as a container's only program: the libraries it
# loads with their licences, authorities to trust, users. Time zones are compiled in.
# The Dockerfile calls it; on Debian, where BINARY was built.
set -eu

binary="$1"
root="$2"

die() { printf 'image-root: %s\n' "$*" >&2; exit 1; }
[ -x "$binary" ] || die "$binary is no program"

# copy FILE: to the same place below the root, links followed.
copy() {
  mkdir -p "$root$(dirname "$1")"
  cp -L "$1" "$root$1"
}

mkdir -p "$root/usr/bin" "$root/etc" "$root/tmp"
cp "$binary" "$root/usr/bin/rungs"
chmod 1777 "$root/tmp"

# `name => /path (address)`, or only the loader's path.
libraries=$(ldd "$binary" | awk '$2 == "=>" { if ($3 !~ /^\//) exit 1; print $3; next } $1 ~ /^\// { print $1 }') \
  || die "a library of $binary is missing: $(ldd "$binary" | grep 'not found')"
for library in $libraries; do
  copy "$library"
done
for package in libc6 libgcc-s1 libssl3; do
  [ ! -f "/usr/share/doc/$package/copyright" ] || copy "/usr/share/doc/$package/copyright"
done

copy /etc/ssl/certs/ca-certificates.crt
# Where OpenSSL looks by itself.
mkdir -p "$root/usr/lib/ssl"
ln -s /etc/ssl/certs/ca-certificates.crt "$root/usr/lib/ssl/cert.pem"
ln -s /etc/ssl/certs "$root/usr/lib/ssl/certs"

printf 'root:x:0:0:root:/:/sbin/nologin\nrungs:x:65532:65532:Rungs:/var/lib/rungs:/sbin/nologin\n' >"$root/etc/passwd"
printf 'root:x:0:\nrungs:x:65532:\n' >"$root/etc/group"
