#!/bin/bash
# The guest unpacks the image: the tar that comes out is the one of the direct way, byte for byte,
# and what the direct way refuses is refused by the guest too.
. "${0%/*}/lib.sh" || exit
expect_command=(export --vm --accel "$LAYERVM_TEST_ACCEL")

[ -e "$LAYERVM_BUILD/images/guest/unpack.cpio" ] || fail "the guest's files are not built"

# both IMAGE [FLAG...]: the same bytes by both ways.
both() {
  lv export -q "$@" -o "$work/direct.tar"
  lv export -q --vm --accel "$LAYERVM_TEST_ACCEL" "$@" -o "$work/guest.tar"
  cmp "$work/direct.tar" "$work/guest.tar" || {
    dump tar "$work/direct.tar" > "$work/direct.dump"
    dump tar "$work/guest.tar" > "$work/guest.dump"
    same "$work/direct.dump" "$work/guest.dump"
    fail "the tars differ in their bytes only"
  }
}

seed=${LAYERVM_TEST_SEED:-$((EPOCHSECONDS % 1000000))}
echo "-- random images, LAYERVM_TEST_SEED=$seed"
for n in $(seq "$seed" $((seed + 2))); do
  "$here/tools/stack.py" "$n" "$work/stack.tar" --layers 6
  both "$work/stack.tar" || fail "seed $n"
done
both "$work/stack.tar" --mtime 0 --compression gzip

if [ -n "${LAYERVM_FIXTURES-}" ]; then
  echo "-- images of other tools"
  both "$LAYERVM_FIXTURES/dive-14-layers.docker.tar"
  both "$LAYERVM_FIXTURES/alpine-3.14.containerd.tar"
  both "$LAYERVM_FIXTURES/two-images-symlinked-layer.docker.tar" --image bazel/v1/tarball:test_image_3
fi

echo "-- the list, too"
TZ=UTC lv export -q --list "$work/stack.tar" > "$work/direct.list"
TZ=UTC lv export -q --list --vm --accel "$LAYERVM_TEST_ACCEL" "$work/stack.tar" > "$work/guest.list"
same "$work/direct.list" "$work/guest.list"

echo "-- what means harm is refused"
mkdir "$work/hostile"
"$here/tools/hostile.py" "$work/hostile" "$work/canary" > "$work/table"
for name in root-is-symlink dotdot symlink-then-file hard-link-out device-as-parent; do
  expect_fail 125 'input: .*layer 1' -q "$work/hostile/$name.tar" -o "$out/x.tar"
done
