#!/bin/bash
# Mounts that leave no trace: a script works in folders of the host, in caches and in memory, and
# the layer holds what it did to the image and nothing else.
. "${0%/*}/lib.sh"

export LAYERVM_CACHE_DIR=$work/cache
base_busybox "$work/base.tar"
mkdir -p "$work/src/deep"
echo "from the host" > "$work/src/deep/file"
ln -s deep/file "$work/src/link"
chmod 0750 "$work/src/deep"
as_base=(-t mounts:1 --from "$work/base.tar")

# layer_entries ARCHIVE: the uppermost layer's entries, without times and digests.
layer_entries() {
  top_layer "$1" "$work/layer.tar"
  dump entries "$work/layer.tar" --no-mtime | sed 's/ sha256:.*//' > "$work/entries"
}

part "a folder, a cache and memory over places that the image has and lacks"
cat > "$work/all.sh" <<'SCRIPT'
[ "$(cat /src/link)" = "from the host" ]
[ "$(stat -c '%a %u:%g' /src/deep)" = "750 0:0" ]
! touch /src/no 2> /dev/null
echo changed > /rw/deep/file
[ "$(cat /rw/deep/file)" = changed ]
mkdir /rw/new
echo kept > /var/cache/tool/kept
echo gone > /tmp/gone
[ "$(stat -c %a /mem)" = 1777 ]
dd if=/dev/zero of=/mem/full bs=1024 count=4096 2> /dev/null && exit 3
[ "$(stat -c %s /mem/full)" -le 2097152 ]
echo inner > /var/cache/tool/mem/inner
! mkdir /dev/.layervm/bin/x 2> /dev/null
echo real > /real
SCRIPT
build "${as_base[@]}" --run "$work/all.sh" -o "$work/all.tar" \
  --mount "type=bind,src=$work/src,dst=/src" --mount "type=bind,src=$work/src,dst=/rw/,rw=true" \
  --mount type=cache,id=tool,dst=/var/cache/tool --mount type=tmpfs,dst=/tmp \
  --mount type=tmpfs,dst=/mem,size=2M --mount type=tmpfs,dst=/var/cache/tool/mem
layer_entries "$work/all.tar"
same_text "$work/entries" <<'ENTRIES'
real f 0644 0:0 5
ENTRIES
[ "$(cat "$work/src/deep/file")" = "from the host" ] || fail "the host's file was changed"
[ ! -e "$work/src/new" ] || fail "a folder was made on the host"

part "what a cache holds is there in the next run, and the folder's disk is the one of before"
[ "$(find "$work/cache/bind" -type f | wc -l)" = 1 ] || fail "not one disk for one content"
disk=$(stat -c %i "$work"/cache/bind/*)
build "${as_base[@]}" -o "$work/again.tar" --mount "type=bind,src=$work/src,dst=/src" \
  --mount type=cache,id=tool,dst=/elsewhere --mount type=cache,id=tool,dst=/second,ro \
  --run '[ $(cat /elsewhere/kept) = kept ]; [ $(cat /second/kept) = kept ]
    ! touch /second/no 2> /dev/null; [ $(cat /src/link | head -c 4) = from ]'
[ "$(stat -c %i "$work"/cache/bind/*)" = "$disk" ] || fail "another disk for the same content"
layer_entries "$work/again.tar"
same_text "$work/entries" < /dev/null
[ "$(stat -c %a "$work/cache")" = 700 ] || fail "the cache folder is open to others"

part "symlinks of the image do not lead a mount out of its root, and what is put beside one stays"
mkdir -p "$work/odd/etc" "$work/odd/data"
ln -s ../../../../etc "$work/odd/up"
ln -s /etc/../data/./y "$work/odd/abs"
tar_folder "$work/odd" "$work/odd.tar"
member "$work/base.tar" "$(layers "$work/base.tar")" > "$work/lower.tar"
docker_archive "$work/odd-base.tar" odd:1 '{"Env":["PATH=/bin"]}' "$work/lower.tar" "$work/odd.tar"
build -t odd:1 --from "$work/odd-base.tar" -o "$work/odd-out.tar" \
  --mount type=tmpfs,dst=/up/a/b --mount type=tmpfs,dst=/abs \
  --run 'echo x > /etc/a/b/f; echo x > /data/y/f; [ -e /up/a/b/f ]; [ -e /abs/f ]; echo y > /etc/a/beside'
layer_entries "$work/odd-out.tar"
same_text "$work/entries" <<'ENTRIES'
etc d 0755 0:0 -
etc/a d 0755 0:0 -
etc/a/beside f 0644 0:0 2
ENTRIES

part "a scratch image, which has nothing at all"
build -t scratch:1 -o "$work/scratch.tar" --mount "type=bind,src=$work/src,dst=/a/b/c" \
  --secret id=s,env=HOME --add-host box:10.1.2.3 \
  --run 'grep -q "^10.1.2.3.box" /etc/hosts; [ "$(cat /a/b/c/link)" = "from the host" ]; [ -s /run/secrets/s ]'
layer_entries "$work/scratch.tar"
same_text "$work/entries" < /dev/null

part "a run that is ended leaves its caches whole: one by a signal, one by its time limit"
expect_fail 143 'interrupted: ' --on 'ready=TERM' "${as_base[@]}" --mount type=cache,id=tool,dst=/c \
  --run 'echo one > /c/one; echo ready; sleep 1000' -o "$out/x.tar"
expect_fail 124 'timeout: ' "${as_base[@]}" --mount type=cache,id=tool,dst=/c --timeout 10 \
  --run 'echo two > /c/two; sleep 1000' -o "$out/x.tar"
build "${as_base[@]}" -o "$work/whole.tar" --mount type=cache,id=tool,dst=/c \
  --run '[ "$(cat /c/kept /c/one /c/two)" = "kept
one
two" ]'
! grep -q 'was not left clean' "$work/build.log" || fail "a cache that was unmounted begins anew"

part "a guest that is killed leaves a cache that begins empty"
expect_fail 125 'qemu: QEMU was ended by signal 9' --on 'ready=kill-qemu' "${as_base[@]}" \
  --mount type=cache,id=tool,dst=/c -o "$out/x.tar" \
  --run 'echo half > /c/half; sync; echo ready; sleep 1000'
build "${as_base[@]}" -o "$work/anew.tar" --mount type=cache,id=tool,dst=/c \
  --run '[ ! -e /c/kept ] && [ ! -e /c/half ]'
grep -q 'warning: cache tool: was not left clean' "$work/build.log" || fail "no warning"

part "a cache that another run has is waited for, and a line says so; a signal ends the wait"
# Two kinds of others: flock(1), which is told when to let go, and a run of layervm.
mkfifo "$work/go" "$work/taken"
flock "$(echo "$work"/cache/mount/*)" sh -c 'echo > "$1/taken"; read -r _ < "$1/go"' sh "$work" &
holder=$!
read -r _ < "$work/taken"
expect_fail 143 'interrupted: ' --on 'another run has it=TERM' "${as_base[@]}" \
  --mount type=cache,id=tool,dst=/c --run true -o "$out/x.tar"
lv build --accel "$LAYERVM_TEST_ACCEL" "${as_base[@]}" --mount type=cache,id=tool,dst=/c \
  -o "$work/first.tar" --run 'echo first > /c/turn' 2> "$work/first.log" &
first=$!
until grep -q 'cache tool: another run has it; waiting for its end' "$work/first.log"; do
  kill -0 $first || fail "nothing said that it waits: $(cat "$work/first.log")"
  sleep 0.1
done
echo > "$work/go"
wait $holder
build "${as_base[@]}" --mount type=cache,id=tool,dst=/c -o "$work/second.tar" \
  --run '[ $(cat /c/turn) = first ]'
wait $first

part "what cannot be mounted"
expect_fail 125 'usage: --mount: dst: is /proc' "${as_base[@]}" --run true -o "$out/x.tar" \
  --mount type=tmpfs,dst=/proc
expect_fail 125 'spec: mounts: src: .*/base.tar: is no folder' "${as_base[@]}" --run true \
  -o "$out/x.tar" --mount "type=bind,src=$work/base.tar,dst=/x"
expect_fail 125 'spec: mounts: /bin/sh/x: ' "${as_base[@]}" --run true -o "$out/x.tar" \
  --mount type=tmpfs,dst=/bin/sh/x
expect_fail 125 'spec: mounts: /m/no: is in the read-only mount at /m' "${as_base[@]}" --run true \
  -o "$out/x.tar" --mount "type=bind,src=$work/src,dst=/m" --mount type=tmpfs,dst=/m/no

many=()
for i in {1..65}; do
  many+=(--mount "type=tmpfs,dst=/m$i")
done
expect_fail 125 'usage: --mount: there are 64 mounts already' -q "${as_base[@]}" --run true \
  -o "$out/x.tar" "${many[@]}"

part "the same in a spec, with paths from its folder"
cat > "$work/spec.json" <<'SPEC'
{"name": "spec", "tag": "1", "fromImage": "base.tar",
 "runAsRoot": "[ \"$(cat /x/link)\" = 'from the host' ]; echo a > /y/a",
 "mounts": [{"type": "bind", "src": "src", "dst": "/x"}, {"type": "tmpfs", "dst": "/y"}]}
SPEC
(cd / && build "$work/spec.json" -o "$work/spec.tar")
layer_entries "$work/spec.tar"
same_text "$work/entries" < /dev/null
