#!/bin/bash
# Builds and sessions that are interrupted at random times: whatever they were doing, no process, no
# temporary file and no output stays. LAYERVM_TEST_SEED chooses the times, LAYERVM_TEST_RUNS how
# many runs there are.
. "${0%/*}/lib.sh"

base_busybox "$work/base.tar"
seed=${LAYERVM_TEST_SEED:-$RANDOM}
runs=${LAYERVM_TEST_RUNS:-50}
RANDOM=$seed
echo "   LAYERVM_TEST_SEED=$seed"

# The first run fills the cache, which the ones that are interrupted find.
build -q --from "$work/base.tar" -t x:1 --run 'echo > /x' -o "$work/first.tar"

# How long an undisturbed run takes, in milliseconds: signals fall into all of it.
start=$(date +%s%3N)
build -q --from "$work/base.tar" -t x:1 --run 'echo > /x' -o "$work/whole.tar"
whole=$(($(date +%s%3N) - start))

script='echo > /x; echo > /y; dd if=/dev/urandom of=/z bs=100000 count=10 2> /dev/null'
declare -A ends
for ((run = 1; run <= runs; run++)); do
  signal=$((RANDOM % 2))
  signal=$( ((signal)) && echo INT || echo TERM)
  after=$((RANDOM % (whole + whole / 4)))
  if ((RANDOM % 2)); then
    command=(build --accel "$LAYERVM_TEST_ACCEL" -q --from "$work/base.tar" -t x:1 --run "$script"
      --keep "$work/kept" -o "$out/image.tar")
  else
    command=(debug --accel "$LAYERVM_TEST_ACCEL" -q "$work/base.tar" --command "$script" --commit
      -t x:1 -o "$out/image.tar")
  fi
  status=0
  TMPDIR=$lv_tmp "$here/tools/run.py" --limit 60 --after "$after=$signal" -- "$LAYERVM_BINARY" "${command[@]}" \
    > "$work/stdout" 2> "$work/stderr" < /dev/null || status=$?
  what="run $run (seed $seed): ${command[0]}, SIG$signal after $after ms of $whole, status $status"
  # The command and its guest may have been done before the signal came.
  case $status in
    0) [ -s "$out/image.tar" ] || fail "$what: no output" ;;
    130) [ "$signal" = INT ] || fail "$what" ;;
    143) [ "$signal" = TERM ] || fail "$what" ;;
    *) sed 's/^/   | /' "$work/stderr" >&2; fail "$what" ;;
  esac
  [ "$status" = 0 ] || [ -z "$(ls -A "$out")" ] || fail "$what: left $(ls -A "$out")"
  [ -z "$(ls -A "$lv_tmp")" ] || fail "$what: left in TMPDIR: $(ls -A "$lv_tmp")"
  rm -rf "$out/image.tar" "$work/kept"
  ends[$status]=$((${ends[$status]:-0} + 1))
done
for status in "${!ends[@]}"; do
  echo "   status $status: ${ends[$status]} times"
done
[ $((${ends[130]:-0} + ${ends[143]:-0})) -gt $((runs / 4)) ] || fail "too many runs were over before their signal"

part "how a build ended is told on standard output, too"
status=0
TMPDIR=$lv_tmp "$here/tools/run.py" --on begun=TERM -- "$LAYERVM_BINARY" build \
  --accel "$LAYERVM_TEST_ACCEL" --from "$work/base.tar" -t x:1 --run 'echo begun; sleep 100' \
  --metadata-file - -o "$out/image.tar" > "$work/metadata.json" 2> "$work/stderr" || status=$?
[ "$status" = 143 ] || fail "status $status: $(cat "$work/stderr")"
[ "$(jq -r .end.kind "$work/metadata.json")" = interrupted ] || fail "$(cat "$work/metadata.json")"
