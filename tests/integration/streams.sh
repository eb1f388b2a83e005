#!/bin/bash
# Outputs that are no files: devices, FIFOs and descriptors are written to as they are. Whoever waits
# for the other end of a pipe, to read or to write, ends at a signal. And temporary files, where the
# usual folder takes none.
. "${0%/*}/lib.sh"

base_busybox "$work/base.tar"
mkdir "$work/root"
echo hello > "$work/root/file"
step=(--from "$work/base.tar" --copy "$work/root" -t streams:1 -q)
tar_folder "$work/root" "$work/other.tar"
mkfifo "$work/fifo"

# through_fifo FILE ARGUMENT...: layervm, and what a reader of the FIFO reads.
through_fifo() {
  local file=$1
  shift
  cat "$work/fifo" > "$file" &
  lv "$@" || fail "layervm $*"
  wait "$!"
}

part "export: all ways to write are one tar"
lv export -q "$work/base.tar" -o "$work/plain.tar"
lv export -q "$work/base.tar" -o /dev/null
[ -c /dev/null ] || fail "/dev/null is no device any more"
through_fifo "$work/fifo.tar" export -q "$work/base.tar" -o "$work/fifo"
lv export -q "$work/base.tar" -o /dev/stdout | cat > "$work/stdout.tar"
lv export -q "$work/base.tar" -o /dev/stdout > "$work/redirected.tar"
lv export -q "$work/base.tar" -o /dev/fd/3 3> "$work/descriptor.tar"
lv export -q "$work/base.tar" -o /proc/self/fd/5 5> >(cat > "$work/process.tar"; echo > "$work/done")
until [ -e "$work/done" ]; do sleep 0.05; done
for way in fifo stdout redirected descriptor process; do
  cmp "$work/plain.tar" "$work/$way.tar"
done
[ -p "$work/fifo" ] || fail "the FIFO is none any more"
expect_command=(export)
expect_fail 125 'output: /dev/fd/77: this program was started without' "$work/base.tar" -o /dev/fd/77
expect_fail 125 'output: .*No space left' -q "$work/base.tar" -o /dev/full
lv export -q "$work/base.tar" --compress gzip -o "$work/fifo" &
gzip -dc < "$work/fifo" | cmp - "$work/plain.tar"
wait "$!"

part "diff --layer"
lv diff -q "$work/base.tar" "$work/base.tar" --layer /dev/null
lv diff -q "$work/base.tar" "$work/base.tar" --layer "$work/layer.tar"
through_fifo "$work/fifo.tar" diff -q "$work/base.tar" "$work/base.tar" --layer "$work/fifo"
cmp "$work/layer.tar" "$work/fifo.tar"
lv diff -q "$work/base.tar" "$work/base.tar" --layer /dev/stdout | cmp - "$work/layer.tar"

part "build: the archive, --iidfile and --metadata-file"
expect_command=(build --accel "$LAYERVM_TEST_ACCEL")
build "${step[@]}" -o "$work/image.tar" --iidfile "$work/id"
through_fifo "$work/fifo.tar" build "${step[@]}" -o "$work/fifo" \
  --iidfile /dev/fd/3 --metadata-file /dev/fd/4 3> "$work/id3" 4> "$work/metadata"
cmp "$work/image.tar" "$work/fifo.tar"
cmp "$work/id" "$work/id3"
[ "$(jq -r .end.kind "$work/metadata")" = success ] || fail "no metadata"
lv build "${step[@]}" -o /dev/stdout | cmp - "$work/image.tar"
lv build "${step[@]}" -o /dev/null --iidfile /dev/null --metadata-file /dev/null
expect_fail 125 'usage: --iidfile: is ' "${step[@]}" -o - --iidfile /dev/stdout

part "debug --commit"
through_fifo "$work/fifo.tar" debug --accel "$LAYERVM_TEST_ACCEL" -q "$work/base.tar" \
  --command 'echo x > /x' --commit -t streams:2 -o "$work/fifo" < /dev/null
[ "$(config "$work/fifo.tar" | jq -r .os)" = linux ] || fail "no image came through"

# What a signal ends: each run gets it when it has had time to come to its wait.
mkfifo "$work/full"
exec 7<> "$work/full"
python3 - <<'PYTHON'
import os
os.set_blocking(7, False)
for size in (4096, 1):
    try:
        while True:
            os.write(7, b"x" * size)
    except BlockingIOError:
        pass
os.set_blocking(7, True)
PYTHON
input=/dev/null
# ends_at SIGNAL STATUS ARGUMENT...: on a standard output that nobody reads.
ends_at() {
  local status=0
  TMPDIR=$lv_tmp "$here/tools/run.py" --limit 60 --after "600=$1" -- "$LAYERVM_BINARY" "${@:3}" \
    > "$work/full" 2> "$work/stderr" < "$input" || status=$?
  [ "$status" = "$2" ] || fail "status $status, expected $2: layervm ${*:3}: $(cat "$work/stderr")"
  [ -z "$(ls -A "$out")$(ls -A "$lv_tmp")" ] || fail "left: $(ls -A "$out" "$lv_tmp")"
}

part "a signal ends what shows something to a reader that does not read"
for words in "export --list $work/base.tar" "export $work/base.tar -o -" "inspect $work/base.tar" \
  "inspect --format json $work/base.tar" "diff $work/base.tar $work/other.tar" "cache ls" "cache du" \
  "diff $work/base.tar $work/other.tar --layer -" "export --help" "build --help"; do
  # shellcheck disable=SC2086 # words
  ends_at TERM 143 $words
done
ends_at INT 130 export --list "$work/base.tar"
ends_at HUP 129 cache ls
ends_at TERM 143 build "${step[@]}" -o -

part "a signal ends the opening of a FIFO that has no other end"
ends_at TERM 143 export "$work/fifo" -o "$out/x"
ends_at INT 130 export "$work/base.tar" -o "$work/fifo"
ends_at HUP 129 inspect "$work/fifo"
ends_at TERM 143 diff "$work/base.tar" "$work/fifo"
ends_at TERM 143 build "$work/fifo" -o "$out/x"
ends_at TERM 143 build "${step[@]}" -o "$work/fifo"
ends_at TERM 143 build "${step[@]}" -o "$out/x" --metadata-file "$work/fifo"
ends_at TERM 143 build --from "$work/fifo" --copy "$work/root" -t a:1 -o "$out/x"
ends_at TERM 143 build --accel "$LAYERVM_TEST_ACCEL" --from "$work/base.tar" -t a:1 -o "$out/x" \
  --run true --secret "id=a,src=$work/fifo"
ends_at TERM 143 build --from "$work/base.tar" -t a:1 -o "$out/x" --run "$work/fifo"
mkfifo "$work/empty"
exec 8<> "$work/empty"
input=/dev/fd/8
ends_at TERM 143 build - -o "$out/x"
ends_at INT 130 export - -o "$out/x"
exec 7>&- 8>&-

part "temporary files where /var/tmp, then /tmp, takes none"
unshare=(unshare -m)
is_root || unshare=(unshare -Urm)
cat > "$work/read-only.sh" <<'SCRIPT'
mount --bind "$1" /mnt || exit
for folder in $2; do
  mount --bind "$folder" "$folder" && mount -o remount,bind,ro "$folder" || exit
done
unset TMPDIR
shift 2
"$@"
SCRIPT
# without FOLDERS ARGUMENT...: layervm where the folders are read-only; $work is /mnt. Sets $status.
without() {
  status=0
  "${unshare[@]}" sh "$work/read-only.sh" "$work" "$1" "$LAYERVM_BINARY" "${@:2}" \
    < "$work/base.tar" > "$work/stdout" 2> "$work/stderr" || status=$?
}
if ! "${unshare[@]}" sh "$work/read-only.sh" "$work" "/var/tmp /tmp" true 2> "$work/unshare.log"; then
  skip_part mounts "no mount namespace"
else
  for folders in /var/tmp "/var/tmp /tmp"; do
    without "$folders" export -q - -o /mnt/out.tar
    [ "$status" = 0 ] || fail "without $folders: status $status: $(cat "$work/stderr")"
    cmp "$work/out.tar" "$work/plain.tar"
    rm "$work/out.tar"
  done
  without "/var/tmp /tmp" export -q - -o -
  [ "$status" = 125 ] || fail "status $status"
  grep -qE '^layervm: output: cannot make a temporary file in /var/tmp \(.*\) or /tmp \(.*\); set TMPDIR ' \
    "$work/stderr" || fail "$(cat "$work/stderr")"
fi
status=0
TMPDIR=/nonexistent/folder "$LAYERVM_BINARY" export -q - -o "$out/x" < "$work/base.tar" \
  2> "$work/stderr" || status=$?
[ "$status" = 125 ] || fail "status $status"
grep -q '^layervm: output: /nonexistent/folder: cannot make .*TMPDIR' "$work/stderr" ||
  fail "$(cat "$work/stderr")"
finish_parts
