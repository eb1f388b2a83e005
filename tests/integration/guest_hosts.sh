#!/bin/bash
# Every script finds localhost and the guest's own name in /etc/hosts, without a network too, and
# leaves the image's file as it was, but for what the script itself wrote.
. "${0%/*}/lib.sh"

# base FILE [HOSTS]: the busybox base with an /etc/hosts of that text; without one, with none.
base() {
  rm -rf "$work/root"
  busybox_rootfs "$work/root"
  [ $# = 1 ] || printf '%s' "$2" > "$work/root/etc/hosts"
  [ $# = 1 ] || chmod 640 "$work/root/etc/hosts"
  tar_folder "$work/root" "$work/layer.tar"
  docker_archive "$1" base:1 '{"Env":["PATH=/bin"]}' "$work/layer.tar"
}
base "$work/none.tar"
base "$work/own.tar" $'10.0.0.1 db # localhost\n10.0.0.2 layervm-2'
base "$work/whole.tar" $'127.0.0.1 localhost\n127.0.1.1 LayerVM\n'

# hosts BASE SCRIPT [FLAG...]: the new layer's names, and what is in its etc/hosts.
hosts() {
  build -q --from "$work/$1.tar" -t h:1 -o "$out/h.tar" --run "$2" "${@:3}"
  top_layer "$out/h.tar" "$work/layer.tar"
  tar tvf "$work/layer.tar" --numeric-owner | awk '{ print $1, $2, $6, $7, $8 }' | sed 's/ *$//'
  tar xOf "$work/layer.tar" etc/hosts 2> /dev/null || :
}

found='grep -q "^127.0.0.1.localhost$" /etc/hosts; grep -q "^::1.localhost " /etc/hosts
grep -q "^127.0.1.1.$(hostname)$" /etc/hosts; ping -c 1 127.0.0.1 > /dev/null
test ! -e /etc/resolv.conf; test ! -e /dev/.layervm-hosts'

echo "-- the names are there, and nothing of them is in the layer"
[ -z "$(hosts none "$found")" ] || fail "a trace of a file that the image has not"
[ -z "$(hosts own "$found"$'\n''grep -qx "10.0.0.2 layervm-2" /etc/hosts
test "$(stat -c %a /etc/hosts)" = 640')" ] || fail "a trace of an image's own file"
[ -z "$(hosts whole 'test "$(wc -l < /etc/hosts)" = 2')" ] || fail "a trace of a file with all names"
[ -z "$(hosts own 'mount -o remount,ro /')" ] || fail "a trace where the script made the root read-only"

echo "-- what the script writes is"
hosts none 'echo 10.0.0.3 web >> /etc/hosts' > "$work/got"
same_text "$work/got" <<< 'drwxr-xr-x 0/0 etc/
-rw-r--r-- 0/0 etc/hosts
10.0.0.3 web'
hosts own 'echo 10.0.0.3 web >> /etc/hosts' > "$work/got"
same_text "$work/got" <<< 'drwxr-xr-x 0/0 etc/
-rw-r----- 0/0 etc/hosts
10.0.0.1 db # localhost
10.0.0.2 layervm-2
10.0.0.3 web'
hosts own 'echo 10.0.0.4 new > /etc/hosts' > "$work/got"
same_text "$work/got" <<< 'drwxr-xr-x 0/0 etc/
-rw-r----- 0/0 etc/hosts
10.0.0.4 new'
hosts own 'rm /etc/hosts; ln -s /tmp/hosts /etc/hosts' > "$work/got"
same_text "$work/got" <<< 'drwxr-xr-x 0/0 etc/
lrwxrwxrwx 0/0 etc/hosts -> /tmp/hosts'
hosts own 'rm /etc/hosts' > "$work/got"
same_text "$work/got" <<< 'drwxr-xr-x 0/0 etc/
-rw-r--r-- 0/0 etc/.wh.hosts'
hosts own 'rm -r /etc' > "$work/got"
same_text "$work/got" <<< '-rw-r--r-- 0/0 .wh.etc'
