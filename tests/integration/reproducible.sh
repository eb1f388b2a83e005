#!/bin/bash
# The same inputs give the same archive, byte for byte: in another folder, at another time, by
# another user, in another zone and language, with other file times and another umask.
. "${0%/*}/lib.sh"

base_busybox "$work/base.tar"

# inputs FOLDER: the spec and its files, made anew.
inputs() {
  mkdir -p "$1/files/etc/conf.d"
  chmod 755 "$1"
  cp "$work/base.tar" "$1/base.tar"
  for name in b a c; do
    echo "$name" > "$1/files/etc/conf.d/$name"
  done
  ln -s conf.d/a "$1/files/etc/link"
  cat > "$1/spec.json" <<'SPEC'
{
  "name": "repro", "tag": "1", "fromImage": "base.tar", "copyToRoot": "files",
  "runAsRoot": "mkdir -p /many\nfor i in $(busybox seq 200); do echo $i > /many/$i; done\nrm -r /many/7 /bin/yes\nln /many/8 /many/eight\nmkfifo /many/fifo\n",
  "extraCommands": "echo extra > many/extra\n",
  "config": {"Env": ["B=2", "A=1"], "Labels": {"z": "1", "a": "2"}, "Cmd": ["/bin/sh"]}
}
SPEC
  chmod -R a+rX "$1"
}

inputs "$work/one"
build "$work/one/spec.json" -o "$out/one.tar"

sleep 1.1
inputs "$work/two"
(
  cd "$work/two"
  export TZ=Asia/Kathmandu LC_ALL=C HOME=/nonexistent
  umask 077
  build spec.json -o "$out/two.tar"
)
cmp "$out/one.tar" "$out/two.tar"
echo "-- another folder, time, zone, umask: the same"

build "$work/two/spec.json" -o - > "$out/three.tar"
cmp "$out/one.tar" "$out/three.tar"
echo "-- to standard output: the same"

build "$work/two/spec.json" --source-date-epoch 1 -o "$out/epoch.tar"
cmp "$out/one.tar" "$out/epoch.tar"
SOURCE_DATE_EPOCH=1500000000 build "$work/two/spec.json" -o "$out/later.tar"
top_layer "$out/later.tar" "$work/later.layer"
dump entries "$work/later.layer" | awk '$2 != "h" { print ($6 > 1500000000 ? "later" : $6) }' |
  sort -u > "$work/times"
same_text "$work/times" <<< 1500000000.000000000
echo "-- SOURCE_DATE_EPOCH is the latest time in the layer"

for compression in gzip zstd; do
  build "$work/one/spec.json" --compression "$compression" -o "$out/a.tar"
  build "$work/two/spec.json" --compression "$compression" -o "$out/b.tar"
  cmp "$out/a.tar" "$out/b.tar"
  [ "$(config "$out/a.tar")" = "$(config "$out/one.tar")" ] ||
    fail "$compression changes the image's config"
done
echo "-- compressed: the same"

if is_missing root; then
  not_here "$lacking" "as another user"
else
  chmod 1777 "$out"
  reachable_program
  as_nobody env HOME=/nonexistent TMPDIR="$lv_tmp" \
    "$program" build --accel "$LAYERVM_TEST_ACCEL" -q "$work/two/spec.json" -o "$out/nobody.tar"
  cmp "$out/one.tar" "$out/nobody.tar"
  echo "-- as an ordinary user: the same as root"
fi
