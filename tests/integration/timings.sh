#!/bin/bash
# --timings and the metadata: where the time of a build went, as lines and as numbers.
. "${0%/*}/lib.sh"

base_busybox "$work/base.tar"

part "a line a stage on standard error, and one for all of them, in quiet mode too"
build --from "$work/base.tar" -t t:1 --run 'i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done; echo > /x' \
  --timings -q --metadata-file "$work/metadata.json" -o "$out/x.tar"
sed -E 's/ +[0-9]+\.[0-9]{3} s/ N s/g' "$work/build.log" > "$work/lines"
jq -r '.stages[].name' "$work/metadata.json" | sed -E 's/.*/timing    & at N s, wall N s, cpu N s/' > "$work/expected"
echo 'timing    total at N s, wall N s, cpu N s' >> "$work/expected"
sed -Ei 's/^(timing +[a-z]+) +/\1 /' "$work/lines"
same "$work/lines" "$work/expected"

part "the same in the metadata, in the order of their begin"
jq -r '.stages[].name' "$work/metadata.json" | sort > "$work/names"
for name in read blobs guest run diff write; do
  grep -qx "$name" "$work/names" || fail "no stage $name"
done
jq -e '
  (.stages | map(.begin)) as $begins | ($begins == ($begins | sort)) and
  (.stages | all(.begin >= 0 and .seconds >= 0 and .cpuSeconds >= 0)) and
  # Stages follow one another; the guest and the writing of the layers go on beside them.
  ([.stages[] | select(.name | IN("blobs", "guest", "template") | not)] |
    [range(1; length) as $i | .[$i].begin - (.[$i - 1].begin + .[$i - 1].seconds)] |
    all(fabs < 0.05)) and
  # The guest came up beside other stages, and ended in its own.
  (.stages | (map(select(.name == "guest"))[0]) as $guest | (map(select(.name == "run"))[0]) as $run |
    $guest.begin < $run.begin and
    ($guest.begin + $guest.seconds - $run.begin - $run.seconds | fabs) < 0.05 and
    $guest.cpuSeconds > 0.05 and $guest.cpuSeconds > $run.cpuSeconds) and
  .host.cpuSeconds > 0 and .host.cpuSeconds < 60
' "$work/metadata.json" > "$work/verdict" || {
  jq . "$work/metadata.json" >&2
  fail "the stages do not fit together"
}

part "after a failure too"
! lv build --accel "$LAYERVM_TEST_ACCEL" --from "$work/base.tar" -t t:1 --run 'exit 3' --timings \
  -o "$out/f.tar" 2> "$work/stderr" || fail "it did not fail"
grep -q '^timing    run ' "$work/stderr"
grep -q '^timing    total ' "$work/stderr"
tail -n 1 "$work/stderr" | grep -q '^layervm: script: '

part "as JSON"
build --from "$work/base.tar" -t t:1 --copy "$work/base.tar" --timings --progress json -o "$out/x.tar"
jq -r 'select(.type == "timing") | .text | split(" ") | map(select(. != ""))[1]' "$work/build.log" > "$work/names"
grep -qx total "$work/names"
grep -qx write "$work/names"

part "nothing of it without the flag"
build --from "$work/base.tar" -t t:1 --copy "$work/base.tar" -o "$out/x.tar"
! grep -q timing "$work/build.log" || fail "there are timings"
finish_parts
