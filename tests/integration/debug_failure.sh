#!/bin/bash
# A script that fails, and the shell after it: --debug-on-failure in the same guest, --keep and
# `layervm debug DIR` later; the status stays the script's.
. "${0%/*}/lib.sh"
. "${0%/*}/tmux.sh"

base_busybox "$work/base.tar"
cat > "$work/script" <<'SCRIPT'
echo half > /state
export CHANGED=in-the-script
cd /tmp
echo about to fail
false
echo never > /never
SCRIPT
build=(build --accel "$LAYERVM_TEST_ACCEL" --from "$work/base.tar" -t fails:1 --env GIVEN=yes
  --run-file "$work/script" -o "$out/image.tar")
expect_command=(build --accel "$LAYERVM_TEST_ACCEL")

part "without a terminal it is refused before any work"
setsid -w "$LAYERVM_BINARY" "${build[@]}" --debug-on-failure < /dev/null > "$work/stdout" 2> "$work/stderr" &&
  fail "not refused"
grep -q '^layervm: usage: --debug-on-failure: there is no terminal' "$work/stderr" || fail "$(cat "$work/stderr")"
[ "$(wc -l < "$work/stderr")" = 1 ] || fail "more than the error: $(cat "$work/stderr")"

# in_terminal NAME FLAG...: the build in a terminal, its status in a file.
in_terminal() {
  local name=$1
  shift
  {
    printf 'TMPDIR=%q %q' "$lv_tmp" "$LAYERVM_BINARY"
    printf ' %q' "${build[@]}" "$@"
    printf '; echo $? > %q; exec sleep 1000\n' "$work/$name.status"
  } > "$work/$name.sh"
  sed -i "1i stty -a | sed 's/rows [0-9]*; columns [0-9]*;//' > $work/$name.modes" "$work/$name.sh"
  open_terminal sh "$work/$name.sh"
}

part "the shell finds the disk, the environment and the folder of the script"
in_terminal failure --debug-on-failure
sees 'the script ended with status 1.*exit'
sees '/ #'
types 'echo "is:$(cat /state):$GIVEN:$BASE:$CHANGED:$(pwd):$(ls /never 2> /dev/null):"'
sees '^is:half:yes:yes::/::$'
types 'exit 9'
until_true test -s "$work/failure.status"
[ "$(cat "$work/failure.status")" = 1 ] || fail "the status is $(cat "$work/failure.status"), not the script's"
sees '^layervm: script: the script ended with status 1'
[ -z "$(ls -A "$out")" ] || fail "an output: $(ls -A "$out")"

part "the disks that are kept, opened later, twice at once, and unchanged"
expect_fail 1 'script: .*status 1' -q "${build[@]:3}" --keep "$work/kept"
# The names, and a digest of all that the files hold; the disk is 64 GiB long for its holes.
kept_state() {
  ls "$work/kept"
  tar -cSf - -C "$work/kept" . | sha256sum
}
kept_state > "$work/before"
head -n 3 "$work/before" > "$work/names"
same_text "$work/names" <<< $'disk.ext4\nkept.json\noverlay.qcow2'
jq -S . "$work/kept/kept.json" > "$work/kept.txt"
jq -S . > "$work/expected.txt" <<< '{"version": 1, "memory": 512, "cwd": "/",
  "env": ["PATH=/bin", "BASE=yes", "GIVEN=yes"]}'
same "$work/expected.txt" "$work/kept.txt"
for i in 1 2; do
  lv debug -q --accel "$LAYERVM_TEST_ACCEL" "$work/kept" --command \
    'echo "$(cat /state):$GIVEN:$(ls /mine 2> /dev/null):"; echo > /mine' < /dev/null > "$work/kept.$i" &
  pids[i]=$!
done
for i in 1 2; do
  wait "${pids[i]}" || fail "the session on the kept disks failed"
  same_text "$work/kept.$i" <<< 'half:yes::'
done
kept_state > "$work/after"
same "$work/before" "$work/after"

part "a shell on them, in a terminal"
printf 'TMPDIR=%q %q debug --accel %q %q; echo $? > %q; exec sleep 1000\n' "$lv_tmp" "$LAYERVM_BINARY" \
  "$LAYERVM_TEST_ACCEL" "$work/kept" "$work/kept.status" > "$work/kept.sh"
open_terminal sh "$work/kept.sh"
sees '/ #'
types 'cat /state; exit 3'
sees '^half'
until_true test -s "$work/kept.status"
[ "$(cat "$work/kept.status")" = 3 ] || fail "the status is $(cat "$work/kept.status")"
sees 'is thrown away; .* is as it was'

part "a script that is ended: what it wrote is on the disks that are kept"
expect_fail 143 'interrupted: ' --on 'ready=TERM' --from "$work/base.tar" -t ended:1 \
  -o "$out/image.tar" --keep "$work/ended" --run 'echo data > /file; echo ready; sleep 1000'
lv debug -q --accel "$LAYERVM_TEST_ACCEL" "$work/ended" --command 'cat /file' < /dev/null > "$work/ended.txt"
same_text "$work/ended.txt" <<< data
expect_fail 124 'timeout: ' --from "$work/base.tar" -t ended:1 -o "$out/image.tar" --keep "$work/ended" \
  --run 'echo more > /file; sleep 1000' --timeout 10
lv debug -q --accel "$LAYERVM_TEST_ACCEL" "$work/ended" --command 'cat /file' < /dev/null > "$work/ended.txt"
same_text "$work/ended.txt" <<< more

part "the escape keys in that shell: the status is the script's, and the disks are whole"
in_terminal escape --debug-on-failure --keep "$work/escaped"
sees '/ #'
types 'echo shell > /by-shell; echo do''ne'
sees '^done'
keys C-] C-] C-]
until_true test -s "$work/escape.status"
[ "$(cat "$work/escape.status")" = 1 ] || fail "the status is $(cat "$work/escape.status"), not the script's"
modes_are "$work/escape.modes" || fail "the terminal is not as it was: $(modes)"
lv debug -q --accel "$LAYERVM_TEST_ACCEL" "$work/escaped" --command 'cat /state /by-shell' < /dev/null \
  > "$work/escaped.txt"
same_text "$work/escaped.txt" <<< $'half\nshell'

part "SIGTERM in that shell"
in_terminal term --debug-on-failure
sees '/ #'
kill -TERM "$(layervm_pid)"
until_true test -s "$work/term.status"
[ "$(cat "$work/term.status")" = 143 ] || fail "the status is $(cat "$work/term.status")"
modes_are "$work/term.modes" || fail "the terminal is not as it was: $(modes)"
[ -z "$(ls -A "$out")" ] || fail "an output: $(ls -A "$out")"

part "a guest that fails before the shell: why is told, and the status is the script's"
cp "$work/script" "$work/script.before"
echo 'umount /proc; rmdir /proc; exit 3' > "$work/script"
in_terminal without --debug-on-failure
until_true test -s "$work/without.status"
[ "$(cat "$work/without.status")" = 3 ] || fail "the status is $(cat "$work/without.status")"
sees 'warning: the shell after it: the image has no folder /proc'
mv "$work/script.before" "$work/script"

part "a folder with files that no build has left"
mkdir "$work/mine"
echo mine > "$work/mine/disk.ext4"
expect_fail 125 'output: .*/mine/disk.ext4: is no disk that a build has kept' --from "$work/base.tar" \
  -t mine:1 -o "$out/image.tar" --keep "$work/mine" --run true
same_text "$work/mine/disk.ext4" <<< mine

part "what cannot be done with them is refused"
expect_command=(debug --accel "$LAYERVM_TEST_ACCEL")
expect_fail 125 'usage: --commit: ' -q "$work/kept" --command true --commit -t a:1 -o "$out/a.tar"
expect_fail 125 'usage: --changes: ' -q "$work/kept" --command true --changes
expect_fail 125 'usage: --mount: ' -q "$work/kept" --command true --mount type=tmpfs,dst=/x
truncate -s 4096 "$work/kept/disk.ext4"
expect_fail 125 'input: .*disk.ext4: has 4096 bytes' -q "$work/kept" --command true
part "a script that ends well has no shell after it"
echo true > "$work/script"
in_terminal well --debug-on-failure
until_true test -s "$work/well.status"
[ "$(cat "$work/well.status")" = 0 ] || fail "the status is $(cat "$work/well.status")"
rm "$out/image.tar"
finish_parts
