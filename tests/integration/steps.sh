#!/bin/bash
# A script that has run is not run again: the same inputs give the layer of the first run, byte for
# byte, and another input gives another run.
. "${0%/*}/lib.sh"

base_busybox "$work/base.tar"
mkdir -p "$work/files/etc" "$work/bound"
echo one > "$work/files/etc/file"
echo bound > "$work/bound/file"
runs=0

# What a run leaves in its layer is another number each time, so that a layer tells its run.
script='cat /proc/sys/kernel/random/uuid > /id; cat /etc/file /bound/* > /seen || true'

# step ARGUMENT...: a build of that script, whose archive is $out/x.tar; on the outside of `build`,
# which would have the script run in any case.
step() {
  if ! lv build --accel "$LAYERVM_TEST_ACCEL" --from "$work/base.tar" -t step:1 --run "$script" \
    --metadata-file "$work/metadata.json" -o "$out/x.tar" "$@" 2> "$work/build.log"; then
    cat "$work/build.log" >&2
    fail "layervm build $*"
  fi
}

cached() {
  jq -r .layer.cached "$work/metadata.json"
}

# A run, or none, as the metadata and the lines have it.
expect_run() {
  [ "$(cached)" = false ] || fail "it was not run: $*"
  [ "$(jq -r .guest.ran "$work/metadata.json")" = true ]
  grep -q '^run  ' "$work/build.log"
  grep -q '^cached ' "$work/build.log" && fail "it says that it was not run: $*"
  runs=$((runs + 1))
}
expect_cached() {
  [ "$(cached)" = true ] || fail "it was run again: $*"
  [ "$(jq -c .guest "$work/metadata.json")" = '{"ran":false}' ]
  grep -q '^cached    runAsRoot' "$work/build.log"
  grep -qE '^(run|guest:)' "$work/build.log" && fail "a guest was started: $*"
  true
}

part "the second build runs nothing, and gives the same bytes"
step
expect_run first
mv "$out/x.tar" "$work/first.tar"
step
expect_cached second
cmp "$out/x.tar" "$work/first.tar"

part "neither does it with other limits, names and compression"
step --timeout 1m --log-limit 1M -t other:2 --compression gzip
expect_cached other
[ "$(config "$out/x.tar")" = "$(config "$work/first.tar")" ] || fail "the image is another one"

part "nor without QEMU's help: PATH has one that would fail"
mkdir "$work/bin"
printf '#!/bin/sh\necho started >> %q\nexit 1\n' "$work/started" > "$work/bin/passt"
chmod +x "$work/bin/passt"
PATH=$work/bin:$PATH step
expect_cached path
[ ! -e "$work/started" ]

part "extraCommands run on the host each time, on the layer that was kept"
step --extra-commands 'cat id; echo extra > more'
expect_cached extra
top_layer "$out/x.tar" "$work/layer.tar"
tar tf "$work/layer.tar" | sort > "$work/names"
same_text "$work/names" <<< $'id\nmore\nseen'
top_layer "$work/first.tar" "$work/first-layer.tar"
[ "$(tar xOf "$work/layer.tar" id)" = "$(tar xOf "$work/first-layer.tar" id)" ]

part "whatever reaches the layer has the script run"
changed() {
  step "$@"
  expect_run "$@"
  step "$@"
  expect_cached "$@"
}
changed --copy "$work/files"
echo two > "$work/files/etc/file"
changed --copy "$work/files"
changed --copy "$work/files" --uid 5
changed --env NAME=value
changed --source-date-epoch 1500000000
changed --mount "type=bind,src=$work/bound,dst=/bound"
echo more > "$work/bound/more"
changed --mount "type=bind,src=$work/bound,dst=/bound"

part "what no key can tell is always run"
for arguments in "--mount type=cache,id=c,dst=/c" "--secret id=s,env=HOME" "--created now" \
  "--keep $work/kept"; do
  for _ in 1 2; do
    # shellcheck disable=SC2086 # words
    step $arguments
    expect_run "$arguments"
  done
done

part "--no-cache runs it, and keeps nothing"
count=$(find "$LAYERVM_CACHE_DIR/step" -type f | wc -l)
step --no-cache
expect_run --no-cache
cmp -s "$out/x.tar" "$work/first.tar" && fail "it is the first run's"
[ "$(find "$LAYERVM_CACHE_DIR/step" -type f | wc -l)" = "$count" ]
step
expect_cached 'after --no-cache'
cmp "$out/x.tar" "$work/first.tar"
forget_steps
step --no-cache
expect_run --no-cache
[ ! -e "$LAYERVM_CACHE_DIR/step" ]

part "a failed script is run again"
! lv build --accel "$LAYERVM_TEST_ACCEL" --from "$work/base.tar" -t f:1 --run 'exit 3' \
  -o "$out/f.tar" 2> "$work/build.log" || fail "it did not fail"
[ ! -e "$LAYERVM_CACHE_DIR/step" ] || [ -z "$(ls -A "$LAYERVM_CACHE_DIR/step")" ]

part "what is copied and changes meanwhile makes a layer that is not kept"
mkdir "$work/moving"
echo first > "$work/moving/file"
touch -d @1000000000 "$work/moving/file"
moving=(build --accel "$LAYERVM_TEST_ACCEL" --from "$work/base.tar" -t m:1 --copy "$work/moving"
  --metadata-file "$work/metadata.json" -o "$out/m.tar")
lv "${moving[@]}" --run 'sleep 2' 2> "$work/build.log" &
pid=$!
until grep -q '^run ' "$work/build.log"; do
  kill -0 "$pid" || fail "it ended before it ran"
  sleep 0.1
done
echo second > "$work/moving/file"
wait "$pid"
echo first > "$work/moving/file"
touch -d @1000000000 "$work/moving/file"
lv "${moving[@]}" --run 'sleep 2' 2> "$work/build.log"
[ "$(cached)" = false ] || fail "the layer of files that changed was kept"
lv "${moving[@]}" --run 'sleep 2' 2> "$work/build.log"
[ "$(cached)" = true ]

part "a damaged entry is told, and run again"
for kind in step layer; do
  rm -rf "$LAYERVM_CACHE_DIR/step" "$LAYERVM_CACHE_DIR/layer"
  step
  expect_run "$kind"
  file=$(find "$LAYERVM_CACHE_DIR/$kind" -type f)
  [ "$(wc -l <<< "$file")" = 1 ]
  printf 'X' | dd of="$file" bs=1 seek=40 conv=notrunc status=none
  step
  expect_run "$kind"
  grep -q '^cache: a finished step is damaged' "$work/build.log"
  step
  expect_cached "$kind"
done

part "a base that was changed is seen although the step is there"
cp "$work/base.tar" "$work/base-ok.tar"
python3 - "$work/base.tar" <<'PYTHON'
import sys
with open(sys.argv[1], "r+b") as f:
    data = f.read()
    at = data.index(b"busybox", 200000)
    f.seek(at)
    f.write(b"BUSYBOX")
PYTHON
rm "$out"/*
expect_fail 125 'input: .*(digest|diff ID)' --from "$work/base.tar" -t step:1 --run "$script" \
  -o "$out/bad.tar"
mv "$work/base-ok.tar" "$work/base.tar"

part "two at once: both end well, and later ones get what one of them left"
rm -rf "$LAYERVM_CACHE_DIR/step" "$LAYERVM_CACHE_DIR/layer"
pids=()
for i in 1 2; do
  lv build --accel "$LAYERVM_TEST_ACCEL" --from "$work/base.tar" -t step:1 --run "$script" \
    -o "$out/$i.tar" 2> "$work/build-$i.log" &
  pids+=($!)
done
for pid in "${pids[@]}"; do
  wait "$pid" || { cat "$work"/build-*.log >&2; fail "one of two failed"; }
done
step
expect_cached 'after two'
cmp -s "$out/x.tar" "$out/1.tar" || cmp "$out/x.tar" "$out/2.tar"

part "a root file system, which has no digest before it is read"
busybox_rootfs "$work/rootfs"
tar_folder "$work/rootfs" "$work/rootfs.tar"
step --from "$work/rootfs.tar"
expect_run rootfs
step --from "$work/rootfs.tar"
expect_cached rootfs

echo "-- $runs runs"
finish_parts
