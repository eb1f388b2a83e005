#!/bin/bash
# The room on a guest's disk is room for files of any size: small ones fill it by their bytes, and
# where it is the number of files that is used up, layervm says so.
. "${0%/*}/lib.sh"

base_busybox "$work/base.tar"
as_base=(--from "$work/base.tar" -t room:1 --disk-size 16)

# Random sizes of 0 to 8 KiB, 48 MiB in all.
: "${LAYERVM_TEST_SEED:=$RANDOM}"
echo "LAYERVM_TEST_SEED=$LAYERVM_TEST_SEED"
mkdir "$work/src"
python3 - "$work/src/files.tar" "$LAYERVM_TEST_SEED" <<'PYTHON'
import io, random, sys, tarfile
sizes = random.Random(int(sys.argv[2]))
with tarfile.open(sys.argv[1], "w") as tar:
    for i in range(12000):
        entry = tarfile.TarInfo(f"d{i // 500}/{i}")
        entry.size = sizes.randrange(8193)
        tar.addfile(entry, io.BytesIO(b"x" * entry.size))
PYTHON

part "4,000 empty files in 16 MiB"
build "${as_base[@]}" -o "$work/empty.tar" \
  --run 'mkdir /n; cd /n; seq 4000 | xargs touch; [ "$(ls | wc -l)" = 4000 ]'

part "files of 0 to 8 KiB fill the room by their bytes"
cat > "$work/fill.sh" <<'SCRIPT'
# available KiB, free inodes
look() { df -k / | awk 'NR == 2 {print $4}'; df -i / | awk 'NR == 2 {print $4}'; }
before=$(look)
mkdir /n
tar xf /src/files.tar -C /n 2> /dev/null && exit 3
echo "left: "$before $(look)
rm -r /n
SCRIPT
build "${as_base[@]}" -o "$work/full.tar" --mount "type=bind,src=$work/src,dst=/src" \
  --run "$work/fill.sh"
grep -o 'left: .*' "$work/build.log"
read -r _ before _ after inodes _ < <(grep -o 'left: .*' "$work/build.log")
[ "$before" -ge $((16 * 1024)) ] || fail "$before KiB are available, 16 MiB were asked for"
[ $((before - after)) -ge $((16 * 1024 * 95 / 100)) ] || fail "$after of $before KiB are left"
[ "$inodes" -gt 0 ] || fail "no inode is left"

part "the number of files is used up: that is what layervm says"
expect_fail 125 'disk-full: .* had no room for more files than [0-9]+; raise diskSize' \
  -q "${as_base[@]}" -o "$out/x.tar" --run 'mkdir /n; cd /n; seq 6000 | xargs touch 2> /dev/null'
lv debug "$work/base.tar" --disk-size 16 --accel "$LAYERVM_TEST_ACCEL" \
  --command 'mkdir /n; cd /n; seq 6000 | xargs touch 2> /dev/null; exit 5' \
  > "$work/stdout" 2> "$work/stderr" && fail "the command's status is lost"
grep -q 'warning: .* no room for more files than [0-9]* before the command ended' "$work/stderr" ||
  fail "no warning: $(cat "$work/stderr")"

part "folders and caches have as many inodes for their room"
build -t room:1 --from "$work/base.tar" -o "$work/mounts.tar" \
  --mount "type=bind,src=$work/src,dst=/src,rw=true" --mount type=cache,id=room,dst=/cache \
  --run 'df -i /src /cache | awk '\''NR > 1 {print "inodes: " $4}'\'
{
  read -r _ bind
  read -r _ cache
} < <(grep -o 'inodes: .*' "$work/build.log")
[ "$bind" -ge $(((1 << 30) / 4096)) ] || fail "a folder's disk has $bind inodes free"
[ "$cache" -ge $(((16 << 30) / 4096)) ] || fail "a cache's disk has $cache inodes free"
finish_parts
