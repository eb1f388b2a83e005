#!/bin/bash
# The archive is taken by the tools that people load images with, and the file system that they
# make of it is the one that was built.
. "${0%/*}/lib.sh"

base_busybox "$work/base.tar"
cat > "$work/spec.json" <<'SPEC'
{
  "name": "registry.example/some/app", "tag": "1.0",
  "fromImage": "base.tar",
  "runAsRoot": "mkdir -p /data\necho hi > /data/x\nchown 7:8 /data/x\nrm /bin/yes\nln /bin/busybox /bin/bb\n",
  "config": {"Cmd": ["/bin/sh", "-c", "echo $BASE $NEW; cat x; ls -ln x; ls /bin/yes || echo gone; ls -l /bin/bb | wc -l"],
    "Env": ["NEW=also"], "WorkingDir": "/data", "Labels": {"a": "b"}}
}
SPEC
app=$out/app.tar
build "$work/spec.json" -o "$app"
dump image "$app" > "$work/expected.dump"

part "compressed, it is the same archive"
build "$work/spec.json" -o "$app.gz"
build "$work/spec.json" -o "$app.zst"
gzip -t "$app.gz"
gzip -dc "$app.gz" | cmp - "$app"
zstd -dqc "$app.zst" | cmp - "$app"

part "skopeo copy, docker-archive and oci-archive"
if ! is_missing skopeo; then
  skopeo copy "docker-archive:$app" "oci:$work/from-docker:1" > "$work/skopeo.log" 2>&1
  skopeo copy "oci-archive:$app" "oci:$work/from-oci:1" > "$work/skopeo.log" 2>&1
  skopeo copy "oci-archive:$app" "docker-archive:$work/again.tar:app:again" > "$work/skopeo.log" 2>&1
  dump image "$work/again.tar" > "$work/again.dump"
  same "$work/expected.dump" "$work/again.dump"
  # Debian's skopeo takes no archive in gzip, not gzip's own either.
  rm "$work/again.tar"
  skopeo copy "docker-archive:$app.zst" "docker-archive:$work/again.tar:app:again" > "$work/skopeo.log" 2>&1
  dump image "$work/again.tar" > "$work/again.dump"
  same "$work/expected.dump" "$work/again.dump"
else
  skip_part "$lacking"
fi

part "umoci unpack"
if ! is_missing root umoci skopeo; then
  for layout in docker oci; do
    umoci_rootfs "$layout-archive:$app" "$work/umoci-$layout"
    dump folder "$work/umoci-$layout" > "$work/umoci.dump"
    same "$work/expected.dump" "$work/umoci.dump"
  done
else
  skip_part "$lacking"
fi

part "podman load"
if start_podman; then
  for archive in "$app.gz" "$app"; do
    "${podman[@]}" load -i "$archive" > "$work/podman.log" 2>&1 ||
      { cat "$work/podman.log" >&2; fail "podman load"; }
  done
  "${podman[@]}" image inspect registry.example/some/app:1.0 > "$work/podman.json"
  jq -c '.[0].Config | {Cmd: .Cmd[0:2], Env, WorkingDir, Labels}' "$work/podman.json" > "$work/podman.config"
  same_text "$work/podman.config" <<'CONFIG'
{"Cmd":["/bin/sh","-c"],"Env":["PATH=/bin","BASE=yes","NEW=also"],"WorkingDir":"/data","Labels":{"a":"b","from":"base"}}
CONFIG
else
  skip_part podman "$podman_reason"
fi

part "docker load and docker run"
if ! start_docker; then
  skip_part docker "$docker_reason"
else
  for archive in "$app.gz" "$app"; do
    docker_cli load -i "$archive" > "$work/docker.log" 2>&1 ||
      { cat "$work/docker.log" >&2; fail "docker load"; }
  done
  grep -qF 'Loaded image: registry.example/some/app:1.0' "$work/docker.log" ||
    fail "docker load said: $(cat "$work/docker.log")"
  id=$(docker_cli image inspect --format '{{.Id}}' registry.example/some/app:1.0)
  [ "$id" = "sha256:$(config "$app" | sha256sum | cut -d' ' -f1)" ] || fail "docker has the image as $id"
  docker_cli image inspect registry.example/some/app:1.0 | jq -c '.[0].Config.Env' > "$work/docker.env"
  same_text "$work/docker.env" <<< '["PATH=/bin","BASE=yes","NEW=also"]'
  if docker_cli run --rm --network none registry.example/some/app:1.0 \
    > "$work/run.out" 2> "$work/run.err"; then
    same_text "$work/run.out" <<'RUN'
yes also
hi
-rw-r--r--    1 7        8                3 Jan  1  1970 x
gone
1
RUN
  else
    not_here docker-run "docker run cannot run containers: $(tail -n 1 "$work/run.err")"
  fi
  stop_docker
fi

finish_parts
