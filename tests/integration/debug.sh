#!/bin/bash
# `layervm debug --command`: a command in a guest as if it were here, with its standard files, its
# status, and what it changed; on images, on specifications, on kept disks, two at once.
. "${0%/*}/lib.sh"

base_busybox "$work/base.tar"
expect_command=(debug --accel "$LAYERVM_TEST_ACCEL")

# debug STATUS ARGUMENT...: `layervm debug` must end so; its output is in $work/{stdout,stderr}.
debug() {
  local expected=$1 status=0
  shift
  lv debug --accel "$LAYERVM_TEST_ACCEL" "$@" > "$work/stdout" 2> "$work/stderr" || status=$?
  [ "$status" = "$expected" ] || {
    sed 's/^/   | /' "$work/stderr" >&2
    fail "status $status, expected $expected: layervm debug $*"
  }
}

part "output, apart and byte for byte; the status; the image's surroundings"
debug 3 -q "$work/base.tar" --command \
  'printf "out\0\377"; printf "err" >&2; echo "$BASE" $(id -u) $(pwd) $# >&2; exit 3' < /dev/null
printf 'out\0\377' | cmp - "$work/stdout"
same_text "$work/stderr" <<< 'erryes 0 / 0'

part "standard input of some megabytes, to its end; user, folder, variables"
head -c 5000000 /dev/urandom > "$work/input"
debug 0 -q "$work/base.tar" --user 12:34 --workdir /tmp --env BASE=no --env 'NEW=a b' \
  --command 'id -u >&2; id -g >&2; pwd >&2; echo "$BASE,$NEW" >&2; cat; echo done >&2' < "$work/input"
cmp "$work/input" "$work/stdout"
same_text "$work/stderr" <<< $'12\n34\n/tmp\nno,a b\ndone'

part "a pipeline whose reader leaves, and input that nobody reads"
lv debug -q --accel "$LAYERVM_TEST_ACCEL" "$work/base.tar" --command 'yes' < /dev/null 2> "$work/stderr" |
  head -n 1 > "$work/stdout" || true
same_text "$work/stdout" <<< y
debug 0 -q "$work/base.tar" --command 'true' < "$work/input"

part "output that cannot be written"
status=0
lv debug --accel "$LAYERVM_TEST_ACCEL" -q "$work/base.tar" --command 'echo hi' < /dev/null \
  > /dev/full 2> "$work/stderr" || status=$?
[ "$status" = 125 ]
grep -q "^layervm: output: the job's output cannot be written" "$work/stderr"

part "how a command can end"
debug 137 -q "$work/base.tar" --command 'kill -9 $$' < /dev/null
debug 127 -q "$work/base.tar" --command 'no-such-command' < /dev/null
grep -q 'not found' "$work/stderr"
expect_fail 126 'script: .*nobody-here' -q "$work/base.tar" --user nobody-here --command true
expect_fail 126 'script: .*/no/such' -q "$work/base.tar" --workdir /no/such --command true
expect_fail 124 'timeout: .*--timeout' -q "$work/base.tar" --timeout 12 --command 'sleep 1000'

part "what is changed is counted, listed, and gone"
cp "$work/base.tar" "$work/before.tar"
debug 0 "$work/base.tar" --command 'true' < /dev/null
grep -qx 'nothing was changed' "$work/stderr"
debug 5 "$work/base.tar" --changes --command \
  'rm /etc/passwd; echo > "/tmp/a b"; mkdir /new; chmod 700 /root; exit 5' < /dev/null
grep -E '^[ACD] ' "$work/stderr" > "$work/changes"
same_text "$work/changes" <<'CHANGES'
C /etc
D /etc/passwd
A /new
C /root
C /tmp
A /tmp/a b
CHANGES
grep -E '^[0-9]+ changes thrown away' "$work/stderr"
cmp "$work/before.tar" "$work/base.tar"
debug 0 -q "$work/base.tar" --changes --command 'touch /x' < /dev/null
same_text "$work/stderr" <<< 'A /x'

part "an image without a shell has the toolbox's"
mkdir "$work/static"
echo hello > "$work/static/hello"
tar_folder "$work/static" "$work/static.tar"
debug 0 "$work/static.tar" --changes --command 'cat /hello; ls /; echo x | vi --help 2>&1 | head -n 1' \
  < /dev/null
grep -qx hello "$work/stdout"
grep -qx 'nothing was changed' "$work/stderr"

part "a specification: the state before runAsRoot, its config and sizes"
mkdir -p "$work/files/etc"
echo copied > "$work/files/etc/copied"
jq -n --arg base "$work/base.tar" --arg files "$work/files" '{
  name: "spec", fromImage: $base, copyToRoot: $files, runAsRoot: "echo ran > /ran; exit 1",
  extraCommands: "exit 1", buildVMMemorySize: 200, diskSize: 40,
  config: {Env: ["SPEC=yes", "BASE=replaced"], WorkingDir: "/etc"}}' > "$work/spec.json"
debug 0 "$work/spec.json" --changes --command \
  'cat copied; ls /ran; echo "$SPEC $BASE"; sed -n "s/MemTotal: *//p" /proc/meminfo' < /dev/null
grep -q 'in a guest of 200 MiB' "$work/stderr" || fail "not the memory of the spec"
[ "$(head -n 2 "$work/stdout" | paste -sd,)" = 'copied,yes replaced' ] || fail "$(cat "$work/stdout")"
grep -qx 'nothing was changed' "$work/stderr"

part "two sessions on one image at once"
lv debug -q --accel "$LAYERVM_TEST_ACCEL" "$work/base.tar" --changes --command \
  'touch /first; cat; ls /' < <(sleep 1000 & echo $! > "$work/sleeper"; wait) \
  > "$work/first.out" 2> "$work/first.err" &
first=$!
debug 0 -q "$work/base.tar" --changes --command 'touch /second; ls /' < /dev/null
same_text "$work/stderr" <<< 'A /second'
grep -qx first "$work/stdout" && fail "one session sees the other"
kill "$(cat "$work/sleeper")"
wait "$first" || fail "the first session: $(cat "$work/first.err")"
same_text "$work/first.err" <<< 'A /first'
grep -qx second "$work/first.out" && fail "one session sees the other"

part "what does not fit is said before any work"
expect_fail 125 'usage: standard (input|output) is no terminal, .*--command' -q "$work/base.tar"
expect_fail 125 'usage: standard input is the session' -q - --command true
expect_fail 125 'input: .*no/such/image' -q "$work/no/such/image" --command true
finish_parts
