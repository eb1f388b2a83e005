#!/usr/bin/python3
"""What the tests skipped, and whether this machine lacks what they say it lacks.

    skips.py FILE           lists a file that the tests have written (LAYERVM_TEST_SKIPS)
    skips.py --has NAME     whether this machine has it, and if not, why
    skips.py --names        the names that tests may use

A line of the file has, with tabs between: where in the tests, the names of what is lacking there, with
commas, and the test's own words. Each name is tried here without the tests' code, so that a test
cannot skip for a fault of its own: the status is 1 where this machine has all of a line's names, or a
name is unknown.
"""

import ctypes
import fcntl
import functools
import os
import pathlib
import platform
import re
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent

# Programs that a test may lack: the name is theirs.
PROGRAMS = {
    "bsdtar", "busybox", "dash", "debugfs", "docker", "dockerd", "fish", "getfacl", "git", "guestfish", "mke2fs", "passt", "qemu-img",
    "qemu-system-x86_64", "setfattr", "skopeo", "tmux", "umoci", "zsh", "zstd",
}  # fmt: skip


class Lacking(Exception):
    """This machine has it not; in words, why."""


def find(program):
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    return shutil.which(program, path=path) or lack(f"no {program}")


def lack(words):
    raise Lacking(words)


def run(*command, **options):
    """The output of a command that has to succeed."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", stdin=subprocess.DEVNULL, check=False, **options)  # fmt: skip
    if done.returncode != 0:
        lines = done.stdout.strip().splitlines() or [f"status {done.returncode}"]
        lack(f"{os.path.basename(command[0])}: {lines[-1]}")
    return done.stdout


def root():
    if os.geteuid() != 0:
        lack("not root")


def kvm():
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        lack("no /dev/kvm, or not for this user")
    with open("/dev/kvm", "rb+", buffering=0) as device:
        try:
            os.close(fcntl.ioctl(device, 0xAE01, 0))  # KVM_CREATE_VM
        except OSError as error:
            lack(f"/dev/kvm makes no machine: {error.strerror}")
    if not re.search(r"^flags\s*:.* (vmx|svm)\b", pathlib.Path("/proc/cpuinfo").read_text(), re.M):
        lack("the processor's flags have neither vmx nor svm")


def mounts():
    """Mounting, if only in a name space of one's own."""
    mount = ("sh", "-c", "mount -t tmpfs none /tmp")
    try:
        run("unshare", "-rm", *mount)
    except Lacking:
        run("unshare", "-m", *mount)


def root_mounts():
    root()
    run("unshare", "-m", "sh", "-c", "mount -t tmpfs none /tmp")


def landlock():
    if ctypes.CDLL(None).syscall(444, None, ctypes.c_size_t(0), 1) < 1:
        lack("the kernel has no Landlock")


def seccomp_notify():
    size = (ctypes.c_uint16 * 3)()
    if ctypes.CDLL(None).syscall(317, 3, 0, size) < 0:  # seccomp: GET_NOTIF_SIZES
        lack("the kernel tells no other process of system calls")
    if tuple(int(n) for n in re.findall(r"\d+", platform.release())[:2]) < (5, 9):
        lack("the kernel is older than 5.9")


def fixtures():
    folder = os.environ.get("LAYERVM_FIXTURES") or ROOT.parent / "shared" / "fixtures"
    if not list(pathlib.Path(folder).glob("*.tar")):
        lack("LAYERVM_FIXTURES names no folder of image archives")


def user_xattrs():
    with tempfile.NamedTemporaryFile() as file:
        try:
            os.setxattr(file.name, "user.x", b"y")
        except OSError as error:
            lack(f"the file system of TMPDIR has no user attributes: {error.strerror}")


def acls():
    with tempfile.NamedTemporaryFile() as file:
        run(find("setfacl"), "-m", "u:7:r", file.name)


def sparse_files():
    with tempfile.NamedTemporaryFile() as file:
        file.truncate(1 << 24)
        if os.stat(file.name).st_blocks * 512 >= 1 << 24:
            lack("the file system of TMPDIR has no holes")


def unlimited_files():
    if resource.getrlimit(resource.RLIMIT_FSIZE) != (resource.RLIM_INFINITY, resource.RLIM_INFINITY):
        lack("the size of files is limited (ulimit -f)")


def network():
    routes = pathlib.Path("/proc/net/route").read_text().splitlines()[1:]
    if not [line for line in routes if line.split()[0] != "lo" and line.split()[1] == "00000000"]:
        lack("no default route")


def sources():
    """The addresses of apt's sources of packages."""
    urls = run(find("apt-get"), "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages")
    return sorted(set(urls.split())) or lack("apt has no source of packages")


def packages():
    find("mmdebstrap")
    sources()
    if os.geteuid() != 0:
        try:
            run("unshare", "--map-root-user", "--map-auto", "true")
        except Lacking:
            run(find("sudo"), "-n", "true")
    with tempfile.TemporaryDirectory() as state:
        os.makedirs(f"{state}/lists/partial")
        run("apt-get", "-o", f"Dir::State::lists={state}/lists", "-o", "APT::Sandbox::User=root",
            "-o", "APT::Update::Error-Mode=any", "-q", "update")  # fmt: skip


def names():
    hosts = [re.sub(r"^\w+://([^/:]+).*", r"\1", url) for url in sources() if url.startswith("http")]
    for host in hosts:
        try:
            socket.getaddrinfo(host, None, socket.AF_INET)
            return
        except OSError as error:
            words = f"{host}: {error.strerror}"
    lack(words if hosts else "apt has no source with a name")


def direct_packages():
    """A source of Debian that answers without a proxy."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    words = "apt has no source of Debian by HTTP"
    for url in sources():
        if re.match(r"https?://.*/debian/?$", url):
            try:
                opener.open(url.rstrip("/") + "/dists/bookworm/Release", timeout=50).close()
                return
            except OSError as error:
                words = f"{url}: {error}"
    lack(words)


def libguestfs_dev():
    run(find("pkg-config"), "--exists", "libguestfs")


def appliance_kernel():
    if not (ROOT / "build/appliance-kernel/env").exists() and not list(pathlib.Path("/boot").glob("vmlinuz-*")):
        lack("no kernel in /boot, and scripts/setup has unpacked none")


def modules_folder():
    if not os.path.isdir("/lib/modules"):
        lack("no folder /lib/modules")


def archive(folder):
    """A tar of a root file system with busybox."""
    os.makedirs(f"{folder}/root/bin")
    shutil.copy(find("busybox"), f"{folder}/root/bin/busybox")
    run("tar", "-C", f"{folder}/root", "-cf", f"{folder}/root.tar", ".")
    return f"{folder}/root.tar"


def podman():
    root()
    with tempfile.TemporaryDirectory() as folder:
        run(find("podman"), "--root", f"{folder}/storage", "--runroot", f"{folder}/run", "--storage-driver", "vfs",
            "import", archive(folder), "skips:1")  # fmt: skip


def with_docker(*command):
    """Has a docker of its own import an image, and runs a command of it there."""
    root()
    docker = (find("docker"), "-H")
    with tempfile.TemporaryDirectory() as folder:
        tar = archive(folder)
        at = f"unix://{folder}/socket"
        with open(f"{folder}/log", "w+", encoding="utf-8") as log:
            daemon = subprocess.Popen(
                [find("dockerd"), "--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver=vfs",
                 "--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec", "-p", f"{folder}/pid", "-H", at],
                stdout=log, stderr=log)  # fmt: skip
            try:
                while subprocess.run([*docker, at, "version"], capture_output=True, check=False).returncode != 0:
                    if daemon.poll() is not None:
                        log.seek(0)
                        lack(f"dockerd: {(log.read().strip().splitlines() or ['it ends'])[-1]}")
                    time.sleep(0.1)
                run(*docker, at, "import", tar, "skips:1")
                if command:
                    run(*docker, at, "run", "--rm", "--network", "none", "skips:1", *command)
            finally:
                daemon.terminate()
                daemon.wait()
                unmount_below(folder)


def unmount_below(folder):
    targets = [line.split()[1] for line in pathlib.Path("/proc/mounts").read_text().splitlines()]
    for target in sorted(targets, reverse=True):
        if target.startswith(folder + "/"):
            subprocess.run(["umount", target], check=False)


# What the tests name when they skip. Of a build, scripts/test has both kinds.
CHECKS = {
    "appliance-kernel": appliance_kernel,
    "direct-packages": direct_packages,
    "docker": with_docker,
    "docker-run": lambda: with_docker("/bin/busybox", "true"),
    "fixtures": fixtures,
    "kvm": kvm,
    "acls": acls,
    "landlock": landlock,
    "libguestfs-dev": libguestfs_dev,
    "modules-folder": modules_folder,
    "mounts": mounts,
    "names": names,
    "network": network,
    "packages": packages,
    "plain-build": lambda: None,
    "podman": podman,
    "root": root,
    "root-mounts": root_mounts,
    "sanitized-build": lambda: None,
    "seccomp-notify": seccomp_notify,
    "sparse-files": sparse_files,
    "unlimited-files": unlimited_files,
    "user-xattrs": user_xattrs,
}
CHECKS = {**{name: functools.partial(find, name) for name in PROGRAMS}, **CHECKS}


@functools.cache
def why_not(name):
    """Why this machine has not what a test named; None where it has it."""
    try:
        CHECKS[name]()
    except Lacking as reason:
        return str(reason)
    return None


def report(path):
    """Lists what was skipped; returns how many lines are wrong."""
    wrong = 0
    with open(path, encoding="utf-8", errors="replace") as file:
        lines = sorted(set(file))
    print("\nSkipped on this machine:" if lines else "\nNothing was skipped.")
    for line in lines:
        where, lacking, words = line.rstrip("\n").split("\t")
        lacking = lacking.split(",")
        print(f"  {where}: {words}")
        unknown = [name for name in lacking if name not in CHECKS]
        reasons = [(name, why_not(name)) for name in lacking if name in CHECKS]
        if unknown:
            print(f"    FAILED: tests/skips.py does not know {', '.join(unknown)}")
        elif not any(reason for _, reason in reasons):
            print(f"    FAILED: this machine has {', '.join(lacking)}")
        else:
            print(*(f"    {name}: {reason}" for name, reason in reasons if reason), sep="\n")
            continue
        wrong += 1
    return wrong


def main():
    if len(sys.argv) == 3 and sys.argv[1] == "--has" and sys.argv[2] in CHECKS:
        reason = why_not(sys.argv[2])
        print(reason or "yes")
        return 0 if reason is None else 1
    if sys.argv[1:] == ["--names"]:
        print(*sorted(CHECKS), sep="\n")
        return 0
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        print("usage: skips.py FILE | --has NAME | --names", file=sys.stderr)
        return 2
    return 0 if report(sys.argv[1]) == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
