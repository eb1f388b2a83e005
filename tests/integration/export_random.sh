#!/bin/bash
# Random stacks of layers: what is exported is what an independent model of layers makes of them,
# and what umoci unpacks where it can represent them. LAYERVM_TEST_SEED chooses the first stack.
. "${0%/*}/lib.sh" || exit

seed=${LAYERVM_TEST_SEED:-$((EPOCHSECONDS % 1000000))}
stacks=12
echo "-- LAYERVM_TEST_SEED=$seed"

for n in $(seq "$seed" $((seed + stacks - 1))); do
  "$here/tools/stack.py" "$n" "$work/stack.tar"
  lv export -q "$work/stack.tar" -o "$work/rootfs.tar" || fail "seed $n"
  dump image "$work/stack.tar" > "$work/expected.dump"
  dump tar "$work/rootfs.tar" > "$work/found.dump"
  diff -u "$work/expected.dump" "$work/found.dump" > "$work/difference" ||
    fail "seed $n: $(head -n 20 "$work/difference")"
  lv export -q "$work/rootfs.tar" | cmp - "$work/rootfs.tar" || fail "seed $n: exported again"
done

if is_missing root umoci skopeo; then
  not_here "$lacking" "umoci and skopeo as root"
  exit
fi
echo "-- the same by umoci"
for n in $(seq "$seed" $((seed + stacks / 3 - 1))); do
  "$here/tools/stack.py" "$n" "$work/stack.tar" --plain
  lv export -q "$work/stack.tar" -o "$work/rootfs.tar" || fail "seed $n"
  umoci_rootfs "docker-archive:$work/stack.tar" "$work/rootfs"
  # Of folders that it makes, or makes anew, umoci leaves the time open.
  dump folder "$work/rootfs" --no-dir-mtime > "$work/expected.dump"
  dump tar "$work/rootfs.tar" --no-dir-mtime > "$work/found.dump"
  diff -u "$work/expected.dump" "$work/found.dump" > "$work/difference" ||
    fail "seed $n: $(head -n 20 "$work/difference")"
  chmod -R u+rwx "$work/rootfs"
  rm -rf "$work/rootfs"
done
