# What the stories share. A story is a bash script that begins with
#
#   . "${0%/*}/lib.sh"
#
# and then has the built program as `lv`, a folder of its own as $work (gone at its end, whatever
# the end), an empty folder for outputs as $out, and the helpers below. It fails with its first
# command that fails. By hand: LAYERVM_BINARY=build/release/host/layervm tests/integration/ends.sh

# shellcheck shell=bash
set -euo pipefail
shopt -s inherit_errexit

here=$(cd "${BASH_SOURCE[0]%/*}" && pwd)
root=${here%/tests/integration}
: "${LAYERVM_BUILD:=$root/build/release}"
: "${LAYERVM_BINARY:=$LAYERVM_BUILD/host/layervm}"
: "${LAYERVM_TEST_ACCEL:=tcg}"
# The host's own settings must not decide what is built.
unset SOURCE_DATE_EPOCH LAYERVM_QEMU
umask 022
export LC_ALL=C.UTF-8

work=$(mktemp -d "${TMPDIR:-/tmp}/layervm-test.XXXXXX")
out=$work/out
lv_tmp=$work/lv-tmp
mkdir "$out" "$lv_tmp"
# Nothing is taken from what other stories or the user have built.
export LAYERVM_CACHE_DIR=$work/cache
chmod 755 "$work"
chmod 1777 "$lv_tmp"
docker_pid=

# -- how a story ends ---------------------------------------------------------------------------

finish() {
  local status=$?
  trap - EXIT
  stop_docker
  if [ $status = 0 ] && [ -n "$(ls -A "$lv_tmp")" ]; then
    echo "FAILED: layervm left in TMPDIR: $(ls -A "$lv_tmp")" >&2
    status=1
  fi
  rm -rf "$work"
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'echo "FAILED: ${BASH_SOURCE[0]##*/}:$LINENO: $BASH_COMMAND" >&2' ERR

# -- what this machine lacks ----------------------------------------------------------------------

# A story says what it skips, and what this machine lacks for it: names of tests/skips.py, with
# commas. scripts/test lists all that was skipped, and fails where the machine has what was said to
# lack. LAYERVM_TEST_WITHOUT: such names with commas, which stories then take as lacking.

# without NAME: whether LAYERVM_TEST_WITHOUT has it.
without() {
  [[ ",${LAYERVM_TEST_WITHOUT-}," = *",$1,"* ]]
}

# is_missing NAME...: whether root or one of the programs is not here; $lacking has the names that are not.
lacking=
is_missing() {
  local name missing=()
  for name; do
    if without "$name" || { [ "$name" = root ] && ! is_root; } ||
      { [ "$name" != root ] && ! has "$name"; }; then
      missing+=("$name")
    fi
  done
  lacking=$(IFS=,; echo "${missing[*]}")
  [ ${#missing[@]} -gt 0 ]
}

# not_here LACKING [WORDS...]: the lines that follow in the story are not run.
not_here() {
  local where=${0##*/} names=$1
  shift
  echo "   not here: ${*:-$names}"
  [ -z "${LAYERVM_TEST_SKIPS-}" ] ||
    printf '%s\t%s\t%s\n' "${where%.sh}: ${part_name:-all}" "$names" "${*:-lacks $names}" \
      >> "$LAYERVM_TEST_SKIPS"
}

# skip LACKING [WORDS...]: ends the story as not run here.
skip() {
  not_here "$@"
  exit 77
}

# Ends the story where libguestfs cannot run. Its appliance takes this machine's kernel, else the one
# that scripts/setup unpacks.
need_appliance() {
  export LAYERVM_LIBEXEC_DIR=$LAYERVM_BUILD/libexec/layervm
  local kernel_env=$root/build/appliance-kernel/env
  [ -x "$LAYERVM_LIBEXEC_DIR/layervm-guestfs" ] ||
    skip libguestfs-dev "no layervm-guestfs: it was built without libguestfs-dev"
  if [ -e "$kernel_env" ]; then
    # shellcheck source=/dev/null
    . "$kernel_env"
  elif ! compgen -G '/boot/vmlinuz-*' > /dev/null; then
    skip appliance-kernel "no kernel for libguestfs's appliance: run scripts/setup"
  fi
  [ -d /lib/modules ] ||
    skip modules-folder "no folder /lib/modules, which supermin asks for: run scripts/setup as root"
}

# A part of a story that cannot run here; `finish_parts` at the end makes all of it a skip only
# where nothing was run.
parts_run=0
parts_lack=
part_name=
part() {
  part_name=$*
  echo "-- $*"
  parts_run=$((parts_run + 1))
}
skip_part() { # LACKING [WORDS...]
  not_here "$@"
  parts_lack=$parts_lack${parts_lack:+,}$1
  parts_run=$((parts_run - 1))
}
finish_parts() {
  part_name=
  [ "$parts_run" -gt 0 ] || skip "$parts_lack" "none of its parts can run here"
}

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

has() {
  command -v "$1" > /dev/null
}

is_root() {
  [ "$(id -u)" = 0 ] && ! without root
}

# mount_namespace: sets $unshare to the command whose program may mount, if only for itself; fails
# where no user and no root may.
mount_namespace() {
  local flags
  ! without mounts || return 1
  for flags in -rm -m; do
    unshare=(unshare "$flags")
    mkdir -p "$work/mounted"
    if ! without "unshare$flags" && "${unshare[@]}" mount -t tmpfs none "$work/mounted" 2> /dev/null; then
      return
    fi
  done
  return 1
}

# as_nobody COMMAND...: by a user without groups, capabilities and ways to gain them; root alone can
# take another user's place, and any other is taken as such a user.
as_nobody() {
  if ! is_root; then
    "$@"
    return
  fi
  setpriv --reuid=65534 --regid=65534 --clear-groups --bounding-set=-all --inh-caps=-all \
    --no-new-privs "$@"
}

# reachable_program: sets $program to a copy of layervm that every user reaches, in whatever folder
# of its own root has the source tree, and has it find its guest.
reachable_program() {
  mkdir -m 755 "$work/program" "$work/program/guest"
  program=$work/program/layervm
  install -m 755 "$LAYERVM_BINARY" "$program"
  install -m 644 "$LAYERVM_BUILD"/images/guest/* "$work/program/guest/"
  export LAYERVM_GUEST_DIR=$work/program/guest
}

# -- the program --------------------------------------------------------------------------------

lv() {
  TMPDIR=$lv_tmp "$LAYERVM_BINARY" "$@"
}

# forget_steps: scripts are run although the cache has their layers; steps.sh is about the cache.
forget_steps() {
  rm -rf "$LAYERVM_CACHE_DIR/step"
}

# build ARGUMENT...: `layervm build` on the accelerator under test; its output is shown on failure.
# A script is run whatever was built before.
build() {
  forget_steps
  if ! lv build --accel "$LAYERVM_TEST_ACCEL" "$@" 2> "$work/build.log"; then
    cat "$work/build.log" >&2
    fail "layervm build $*"
  fi
}

# The command that expect_fail runs, with the flags that all of its runs have; empty: `build` on the
# accelerator under test, as the story has it when expect_fail is called.
expect_command=()

# expect_fail STATUS WORDS [--on TEXT=ACTION]... [--] ARGUMENT...
# `layervm build ARGUMENT...` (or another $expect_command) must end with STATUS, and say so in one line, its last, that has
# the words (an extended regular expression after "layervm: "). There must be no file in $out
# and none in TMPDIR afterwards, and no process. With -q the line must be the only one.
# Its standard error is left in $work/stderr.
expect_fail() {
  local status=$1 words=$2 found=0 lines last actions=() command=("${expect_command[@]}")
  shift 2
  [ ${#command[@]} -gt 0 ] || command=(build --accel "$LAYERVM_TEST_ACCEL")
  while [ "${1-}" = --on ]; do
    actions+=(--on "$2")
    shift 2
  done
  [ "${1-}" != -- ] || shift
  TMPDIR=$lv_tmp "$here/tools/run.py" "${actions[@]}" -- \
    "$LAYERVM_BINARY" "${command[@]}" "$@" > "$work/stdout" 2> "$work/stderr" || found=$?
  last=$(tail -n 1 "$work/stderr")
  lines=$(grep -cE '^layervm: [a-z-]+: ' "$work/stderr") || true
  lines=$((lines - $(grep -cE '^layervm: warning: ' "$work/stderr" || true)))
  [ "$found" = "$status" ] || wrong "status $found, expected $status" "$@"
  grep -qE "^layervm: ($words)" <<< "$last" || wrong "no such last line: layervm: $words" "$@"
  [ "$lines" = 1 ] || wrong "$lines error lines, expected 1" "$@"
  [ ! -s "$work/stdout" ] || wrong "something on standard output" "$@"
  [ -z "$(ls -A "$out")" ] || wrong "left an output: $(ls -A "$out")" "$@"
  [ -z "$(ls -A "$lv_tmp")" ] || wrong "left in TMPDIR: $(ls -A "$lv_tmp")" "$@"
  case " $* " in
    *' -q '* | *' --quiet '*)
      [ "$(wc -l < "$work/stderr")" = 1 ] || wrong "more than one line with --quiet" "$@"
      ;;
  esac
  echo "   $status: ${last:0:160}"
}

wrong() {
  local what=$1
  shift
  tail -n 40 "$work/stderr" | sed 's/^/   | /' >&2
  fail "$what: layervm ${command[0]} $*"
}

# same FILE FILE: the texts are equal; else the differences are shown.
same() {
  diff -u --label "$1" --label "$2" "$1" "$2" | head -n 60 >&2
  [ "${PIPESTATUS[0]}" = 0 ] || fail "$1 and $2 differ"
}

# same_text FILE: as `same`, against standard input.
same_text() {
  cat > "$work/expected"
  same "$work/expected" "$1"
}

dump() {
  "$here/tools/dump.py" "$@"
}

# -- looking into an archive --------------------------------------------------------------------

# member ARCHIVE NAME: the bytes of one member.
member() {
  tar xOf "$1" "$2"
}

# layers ARCHIVE: the members that are its (first) image's layers, lowest first.
layers() {
  member "$1" manifest.json | jq -r '.[0].Layers[]'
}

# top_layer ARCHIVE FILE: writes the uppermost layer to a file.
top_layer() {
  member "$1" "$(layers "$1" | tail -n 1)" > "$2"
}

# config ARCHIVE: the image config of its (first) image.
config() {
  member "$1" "$(member "$1" manifest.json | jq -r '.[0].Config')"
}

# -- bases --------------------------------------------------------------------------------------

# docker_archive FILE NAME:TAG CONFIG-JSON LAYER.tar...: writes an archive as `docker save` did.
docker_archive() {
  local file=$1 tag=$2 inner=$3 folder layer digest digests=() names=()
  shift 3
  folder=$(mktemp -d "$work/archive.XXXXXX")
  for layer; do
    digest=$(sha256sum < "$layer" | cut -d' ' -f1)
    mkdir -p "$folder/$digest"
    cp "$layer" "$folder/$digest/layer.tar"
    digests+=("sha256:$digest")
    names+=("$digest/layer.tar")
  done
  jq -cn --argjson config "$inner" '{
    architecture: "amd64", os: "linux", created: "2020-01-01T00:00:00Z", config: $config,
    rootfs: {type: "layers", diff_ids: $ARGS.positional},
    history: [$ARGS.positional[] | {created: "2020-01-01T00:00:00Z", created_by: "the base"}]
  }' --args "${digests[@]}" > "$folder/config.json"
  digest=$(sha256sum < "$folder/config.json" | cut -d' ' -f1)
  mv "$folder/config.json" "$folder/$digest.json"
  jq -cn --arg config "$digest.json" --arg tag "$tag" \
    '[{Config: $config, RepoTags: [$tag], Layers: $ARGS.positional}]' \
    --args "${names[@]}" > "$folder/manifest.json"
  tar_folder "$folder" "$file"
  rm -rf "$folder"
}

# tar_folder FOLDER FILE: a tar of what is in a folder, the same every time, all of it root's.
tar_folder() {
  (cd "$1" && find . -mindepth 1 -printf '%P\0' | sort -z) |
    tar --owner=0 --group=0 --numeric-owner --mtime=@0 --format=gnu -C "$1" -cf "$2" \
      --null --no-recursion --verbatim-files-from -T -
}

# busybox_rootfs FOLDER: the static busybox and a shell's surroundings; also for copyToRoot.
busybox_rootfs() {
  local applet
  mkdir -p "$1"/{bin,dev,etc,proc,root,sys,tmp}
  cp "$(command -v busybox)" "$1/bin/busybox"
  for applet in sh ls cat mkdir rm mv cp ln chmod chown echo touch sleep stat find mknod mkfifo \
    dd test kill ps sync tail yes head sed grep id env pwd true false sha256sum; do
    ln -s busybox "$1/bin/$applet"
  done
  echo 'root:x:0:0:root:/root:/bin/sh' > "$1/etc/passwd"
  chmod 1777 "$1/tmp"
}

# base_busybox FILE: a docker archive of one layer, under a MB, made from the busybox of this host.
base_busybox() {
  ! is_missing busybox || skip "$lacking" "no busybox: install busybox-static"
  busybox_rootfs "$work/busybox"
  tar_folder "$work/busybox" "$work/busybox.tar"
  docker_archive "$1" base:busybox \
    '{"Env":["PATH=/bin","BASE=yes"],"Cmd":["/bin/sh"],"Labels":{"from":"base"}}' "$work/busybox.tar"
  rm -rf "$work/busybox" "$work/busybox.tar"
}

# base_debian: sets $debian to a root file system tar of Debian 12, made once a build folder.
# mmdebstrap takes its packages from this host's own package source.
base_debian() {
  debian=$root/build/bases/debian.tar
  ! without packages && "$root/scripts/make-debian-base" "$debian" > "$work/base.log" 2>&1 && return
  [ ! -e "$work/base.log" ] || tail -n 5 "$work/base.log" >&2
  skip packages "no Debian base: mmdebstrap found no package source"
}

# -- docker and podman --------------------------------------------------------------------------

# takes_tars COMMAND...: whether podman or docker, called so, unpacks an archive of tar's. In a chroot,
# for one, neither can, and what they say of an archive of ours counts for nothing.
takes_tars() {
  mkdir -p "$work/control"
  tar -cf "$work/control.tar" -C "$work/control" .
  "$@" import "$work/control.tar" control:1 > "$work/control.log" 2>&1
}

# start_podman: sets $podman to podman with storage of the story's own. Where it fails,
# $podman_reason says why.
podman_reason=
start_podman() {
  podman=(podman --root "$work/podman" --runroot "$work/podman-run" --storage-driver vfs)
  podman_reason="lacking: podman, root"
  ! without podman && ! is_missing podman root || return 1
  takes_tars "${podman[@]}" && return
  # shellcheck disable=SC2034 # read by the stories
  podman_reason="podman takes no archive of tar's: $(tail -n 1 "$work/control.log")"
  return 1
}

# start_docker: a daemon of the story's own; then `docker_cli` speaks to it. Where it fails,
# $docker_reason says why.
docker_reason=
start_docker() {
  local socket=$work/docker.sock log=$work/dockerd.log
  docker_reason="lacking: docker, dockerd, root"
  ! is_missing docker dockerd root || return 1
  dockerd --iptables=false --ip6tables=false --bridge=none --storage-driver=vfs \
    --data-root "$work/docker" --exec-root "$work/docker-exec" -p "$work/docker.pid" \
    -H "unix://$socket" > "$log" 2>&1 &
  docker_pid=$!
  docker_reason="dockerd does not start"
  while kill -0 "$docker_pid" 2> /dev/null; do
    if docker_cli version > "$work/docker.version" 2>&1; then
      takes_tars docker_cli && return
      docker_reason="docker takes no archive of tar's: $(tail -n 1 "$work/control.log")"
      break
    fi
    sleep 0.1
  done
  [ "$docker_reason" != "dockerd does not start" ] || docker_reason+=": $(tail -n 1 "$log")"
  stop_docker
  return 1
}

docker_cli() {
  docker -H "unix://$work/docker.sock" "$@"
}

stop_docker() {
  [ -n "$docker_pid" ] || return 0
  kill "$docker_pid" 2> /dev/null || true
  wait "$docker_pid" || true
  docker_pid=
  # What it keeps mounted would keep $work from going.
  findmnt -rno TARGET | { grep -F "$work/" || true; } | sort -r | xargs -r umount
}

# -- umoci --------------------------------------------------------------------------------------

# umoci_rootfs SOURCE FOLDER: an image (in skopeo's words) unpacked by umoci to a folder.
umoci_rootfs() {
  local layout
  layout=$(mktemp -d "$work/layout.XXXXXX")
  skopeo copy "$1" "oci:$layout/oci:image" > "$work/skopeo.log" 2>&1 || {
    cat "$work/skopeo.log" >&2
    fail "skopeo copy $1"
  }
  umoci unpack --image "$layout/oci:image" "$layout/bundle" > "$work/umoci.log" 2>&1 || {
    cat "$work/umoci.log" >&2
    fail "umoci unpack of $1"
  }
  mv "$layout/bundle/rootfs" "$2"
  rm -rf "$layout"
}

[ -x "$LAYERVM_BINARY" ] || fail "$LAYERVM_BINARY is not built"
