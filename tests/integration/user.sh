#!/bin/bash
# A whole build by a user who has nothing: no root, no groups, no capabilities, no home, no way to
# gain privileges; and yet files of any owner, devices and capabilities come out of it.
. "${0%/*}/lib.sh"

base_busybox "$work/base.tar"
cat > "$work/spec.json" <<'SPEC'
{
  "name": "user", "tag": "1", "fromImage": "base.tar",
  "runAsRoot": "[ $(id -u) = 0 ]\n[ \"$(pwd)\" = / ]\necho $BASE > /env\nchown 1:2 /env\nmknod /null c 1 3\nmkdir -m 0700 /secret\necho s > /secret/s\nchmod 4755 /bin/busybox\n"
}
SPEC
chmod a+r "$work"/*
chmod 1777 "$out"

reachable_program
as_nobody env -i PATH="$PATH" TMPDIR="$lv_tmp" LAYERVM_GUEST_DIR="$LAYERVM_GUEST_DIR" \
  "$program" build --accel "$LAYERVM_TEST_ACCEL" "$work/spec.json" -o "$out/user.tar" \
  2> "$work/build.log" || { cat "$work/build.log" >&2; fail "the build of an ordinary user"; }

[ "$(stat -c %a "$out/user.tar")" = 644 ] || fail "the archive's mode is $(stat -c %a "$out/user.tar")"
top_layer "$out/user.tar" "$work/layer.tar"
dump entries "$work/layer.tar" --no-mtime | grep -v '^\./* d' | sed 's/ sha256:.*//' > "$work/entries"
same_text "$work/entries" <<ENTRIES
bin d 0755 0:0 -
bin/busybox f 4755 0:0 $(stat -Lc %s "$(command -v busybox)")
env f 0644 1:2 4
null c 0644 0:0 - 1:3
secret d 0700 0:0 -
secret/s f 0644 0:0 2
ENTRIES
