#!/bin/bash
# Every way in which a build can end badly, provoked: each says its own one line, has its own
# status, and leaves nothing behind: no output, no temporary file, no process.
. "${0%/*}/lib.sh"

base_busybox "$work/base.tar"
base=(--from "$work/base.tar" -t end:1 -o "$out/end.tar")

echo "-- the script's own end"
expect_fail 7 'script: .*status 7' "${base[@]}" --run 'echo so far; exit 7'
grep -qx 'so far' "$work/stderr" || fail "the script's output is not shown"
expect_fail 7 'script: .*status 7' -q "${base[@]}" --run 'exit 7'
expect_fail 1 'script: .*status 1' -q "${base[@]}" --run $'false\necho never'
expect_fail 137 'script: .*(SIGKILL|signal 9)' -q "${base[@]}" --run 'kill -9 $$'
expect_fail 139 'script: .*(SIGSEGV|signal 11)' -q "${base[@]}" --run 'kill -SEGV $$'
expect_fail 127 'script: .*(not found|127)' -q "${base[@]}" --run 'no-such-command'
expect_fail 127 'script: .*/no/such/interpreter' -q "${base[@]}" --run $'#!/no/such/interpreter\n'
expect_fail 126 'script: ' -q "${base[@]}" --run $'#!/etc/passwd\n'

echo "-- the guest's end"
expect_fail 125 'memory: .*buildVMMemorySize' -q "${base[@]}" --memory 128 --run 'tail /dev/zero'
expect_fail 125 'disk-full: .*diskSize' -q "${base[@]}" --disk-size 16 \
  --run 'dd if=/dev/zero of=/fill bs=65536 count=2000'
expect_fail 125 'guest: .*panic' -q "${base[@]}" --run 'echo c > /proc/sysrq-trigger; sleep 60'
expect_fail 124 'timeout: .*--timeout' -q "${base[@]}" --timeout 12 --run 'sleep 1000'

echo "-- the user's end"
expect_fail 130 'interrupted: .*SIGINT' --on ready=INT "${base[@]}" --run 'echo ready; sleep 1000'
expect_fail 143 'interrupted: .*SIGTERM' --on ready=TERM "${base[@]}" --run 'echo ready; sleep 1000'
expect_fail 130 'interrupted: ' --on ready=INT,INT "${base[@]}" \
  --run $'trap "" TERM INT\necho ready\nwhile :; do sleep 1; done'

echo "-- QEMU's end"
expect_fail 125 'qemu: .*(SIGKILL|signal 9|killed)' --on ready=kill-qemu "${base[@]}" \
  --run 'echo ready; sleep 1000'
LAYERVM_QEMU=no-such-qemu \
  expect_fail 125 'qemu: .*no-such-qemu' -q "${base[@]}" --run true
LAYERVM_QEMU=$work/no/such/qemu \
  expect_fail 125 'qemu: .*no/such/qemu' -q "${base[@]}" --run true
LAYERVM_QEMU=$(command -v false) \
  expect_fail 125 'qemu: ' -q "${base[@]}" --run true
printf '#!%s\nPATH=/nowhere exec "%s" "$@"\n' "$BASH" "$LAYERVM_BINARY" > "$work/without-path"
chmod +x "$work/without-path"
LAYERVM_BINARY=$work/without-path \
  expect_fail 125 'qemu: .*qemu-system-x86' -q "${base[@]}" --run true

echo "-- layervm killed: nobody can say anything, and still nothing stays"
status=0
TMPDIR=$lv_tmp "$here/tools/run.py" --on ready=KILL -- "$LAYERVM_BINARY" build \
  --accel "$LAYERVM_TEST_ACCEL" "${base[@]}" --run 'echo ready; sleep 1000' \
  2> "$work/stderr" || status=$?
[ "$status" = 137 ] || wrong "status $status, expected 137"
[ -z "$(ls -A "$out")$(ls -A "$lv_tmp")" ] || fail "left: $(ls -A "$out" "$lv_tmp")"

echo "-- the host's disk"
# on_small SIZE TMPDIR OUT FLAG...: fills 64 MiB where one of the two folders has only SIZE.
on_small() {
  mount -t tmpfs -o "size=$1" tmpfs "$work/small"
  mkdir "$work/small/folder"
  lv_tmp=$2 out=$3 expect_fail 125 'output: .*(No space left|disk is full)' "${@:4}" --from "$work/base.tar" -t end:1 \
    -o "$3/end.tar" --run 'dd if=/dev/zero of=/fill bs=65536 count=1024'
  umount "$work/small"
}
mkdir "$work/small"
if ! without root-mounts && is_root && mount -t tmpfs tmpfs "$work/small" 2> /dev/null; then
  umount "$work/small"
  trap 'umount "$work/small" 2> /dev/null; finish' EXIT
  on_small 1m "$work/small/folder" "$out" -q
  on_small 24m "$work/small/folder" "$out" -q
  on_small 24m "$lv_tmp" "$work/small/folder" -q
  # No room for the base already, which is written beside the guest: no script is run, or what it
  # made is kept.
  rm -rf "$LAYERVM_CACHE_DIR/step" "$LAYERVM_CACHE_DIR/layer"
  on_small 1m "$lv_tmp" "$work/small/folder" --progress plain
  if grep -q 'runAsRoot' "$work/stderr"; then
    lv build --from "$work/base.tar" -t end:1 -o "$out/end.tar" \
      --run 'dd if=/dev/zero of=/fill bs=65536 count=1024' 2> "$work/stderr"
    grep -q '^cached' "$work/stderr" || fail "the script's layer was not kept: $(cat "$work/stderr")"
    rm "$out/end.tar"
  fi
  trap finish EXIT
else
  not_here root-mounts "a full disk of the host: mounting a small one needs root"
fi
expect_fail 125 'output: .*no/such/folder' -q --from "$work/base.tar" -t end:1 --run true \
  -o "$work/no/such/folder/end.tar"

echo "-- the base"
truncated() { # BYTES
  head -c "$1" "$work/base.tar" > "$work/truncated.tar"
  expect_fail 125 'input: .*truncated\.tar' -q --from "$work/truncated.tar" -t end:1 \
    -o "$out/end.tar" --run true
}
size=$(stat -c %s "$work/base.tar")
truncated 0
truncated 100
truncated 700
truncated $((size / 2))
truncated $((size - 11000))
expect_fail 125 'spec: fromImage: .*no-such\.tar' -q --from "$work/no-such.tar" -t end:1 -o "$out/end.tar" \
  --run true

# A byte of the layer's content changed: no more what the config's diff ID says.
mkdir "$work/opened"
tar xf "$work/base.tar" -C "$work/opened"
layer=$(jq -r '.[0].Layers[0]' "$work/opened/manifest.json")
printf X | dd of="$work/opened/$layer" bs=1 seek=$((size / 2)) conv=notrunc status=none
tar_folder "$work/opened" "$work/wrong.tar"
expect_fail 125 'input: .*wrong\.tar.*sha256:.*sha256:' -q --from "$work/wrong.tar" -t end:1 \
  -o "$out/end.tar" --run true

echo "-- the specification"
spec_error() { # WORDS SPEC
  printf '%s' "$2" > "$work/bad.json"
  expect_fail 125 "spec: .*bad\.json.*$1" -q "$work/bad.json" -o "$out/end.tar"
}
spec_error 'runAsRoot' '{"name": "x", "runAsRot": "true"}'
spec_error 'diskSize' '{"name": "x", "diskSize": "2G"}'
spec_error 'diskSize' '{"name": "x", "diskSize": -1}'
spec_error 'created' '{"name": "x", "created": "yesterday"}'
spec_error 'name' '{"name": "x", "name": "y"}'
spec_error '' '{"name": "x"'
spec_error '' '[1, 2]'
spec_error '' "$(printf '[%.0s' $(seq 5000))"
expect_fail 125 'spec: .*name' -q --from "$work/base.tar" --run true -o "$out/end.tar"
expect_fail 125 'spec: .*no-such-folder' -q "${base[@]}" --copy "$work/no-such-folder" --run true
expect_fail 125 'usage: .*--timeout' -q "${base[@]}" --timeuot 3 --run true
expect_fail 125 'usage: .*--accel' -q "${base[@]}" --accel fast --run true
