#!/usr/bin/python3
"""Runs a command on a machine whose /dev/kvm is another one, for it and all that it starts.

    machine.py --kvm KIND -- COMMAND...

KIND is `absent` (there is none), `denied` (this user may not open it), `old` (it has another version
of the interface) or `no-vm` (it makes no virtual machine, as in a guest of a cloud). It does not
matter whether this machine has one, and root is not needed: a seccomp filter sends the system calls
that a path or /dev/kvm is in to this program, which lets all through but those about /dev/kvm
(seccomp_unotify(2), Linux 5.9).

The exit status is the command's, 128 + n if signal n ended it; 96 where this kernel gives no such
filter, which a line then says.
"""

import argparse
import array
import ctypes
import errno
import fcntl
import os
import select
import signal
import socket
import struct
import sys

DEVICE = b"/dev/kvm"
UNSUPPORTED = 96

# seccomp.h of libseccomp
ACT_ALLOW, ACT_NOTIFY, ACT_ERRNO = 0x7FFF0000, 0x7FC00000, 0x00050000
CMP_MASKED_EQ = 7

# linux/seccomp.h
RECEIVE, SEND, ADD_FD = 0xC0502100, 0xC0182101, 0x40182103
CONTINUE = 1
REQUEST = struct.Struct("=QIIiIQ6Q")
RESPONSE = struct.Struct("=QqiI")
ADDITION = struct.Struct("=QIIII")

# linux/kvm.h
KVM_GET_API_VERSION, KVM_CREATE_VM = 0xAE00, 0xAE01
KVM_API_VERSION = 12

# The system calls that have a path, by the number of the argument that it is.
OPENS = {"open": 0, "openat": 1, "openat2": 1}
LOOKS = {"access": 0, "faccessat": 1, "faccessat2": 1}
STATS = {"stat": 0, "lstat": 0, "newfstatat": 1, "statx": 1}


class Compare(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


class Filter:
    """The filter for a kind; by a call's number, which argument its path is, and which table's it is."""

    def __init__(self, kind):
        self.library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
        self.library.seccomp_init.restype = ctypes.c_void_p
        self.context = ctypes.c_void_p(self.library.seccomp_init(ctypes.c_uint32(ACT_ALLOW)))
        self.path, self.table = {}, {}
        for names in (OPENS, LOOKS, STATS):
            for name, argument in names.items():
                number = self.add(name, ACT_NOTIFY)
                self.path[number], self.table[number] = argument, names
        version = ACT_ERRNO | errno.ENOTTY if kind == "old" else ACT_NOTIFY
        self.add("ioctl", version, KVM_GET_API_VERSION)
        self.add("ioctl", ACT_ERRNO | errno.EIO, KVM_CREATE_VM)

    def add(self, name, action, request=None):
        number = self.library.seccomp_syscall_resolve_name(name.encode())
        compared = [] if request is None else [Compare(1, CMP_MASKED_EQ, 0xFFFFFFFF, request)]
        rules = (Compare * len(compared))(*compared)
        self.check(self.library.seccomp_rule_add_array(
            self.context, ctypes.c_uint32(action), number, len(compared), rules))
        return number

    def load(self):
        """Loads it for this process and gives the descriptor that the system calls come by."""
        self.check(self.library.seccomp_load(self.context))
        return self.check(self.library.seccomp_notify_fd(self.context))

    @staticmethod
    def check(result):
        if result < 0:
            raise OSError(-result, os.strerror(-result))
        return result


class Supervisor:
    """Answers the system calls of the command, until no process of it is left."""

    def __init__(self, kind, rules, listener):
        self.kind, self.rules, self.listener = kind, rules, listener
        self.stand_in = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)

    def serve(self):
        poll = select.poll()
        poll.register(self.listener, select.POLLIN)
        while True:
            for _, events in poll.poll():
                if not events & select.POLLIN:
                    return
                try:
                    self.answer()
                except OSError as error:
                    if error.errno != errno.ENOENT:  # its process is gone
                        raise

    def answer(self):
        data = bytearray(REQUEST.size)
        fcntl.ioctl(self.listener, RECEIVE, data)
        call, pid, _, number, _, _, *arguments = REQUEST.unpack(data)
        path = self.rules.path.get(number)
        table = self.rules.table.get(number)
        if path is None:  # ioctl
            self.send(call, value=KVM_API_VERSION)
        elif self.path_at(pid, arguments[path]) != DEVICE:
            self.send(call, flags=CONTINUE)
        elif self.kind == "absent":
            self.send(call, error=errno.ENOENT)
        elif table is STATS:
            self.send(call, flags=CONTINUE)
        elif table is LOOKS:
            self.send(call)
        elif self.kind == "denied":
            self.send(call, error=errno.EACCES)
        else:
            addition = bytearray(ADDITION.pack(call, 0, self.stand_in, 0, os.O_CLOEXEC))
            self.send(call, value=fcntl.ioctl(self.listener, ADD_FD, addition))

    @staticmethod
    def path_at(pid, address):
        try:
            with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
                memory.seek(address)
                return memory.read(len(DEVICE) + 1).split(b"\0")[0]
        except OSError:
            return b""

    def send(self, call, value=0, error=0, flags=0):
        fcntl.ioctl(self.listener, SEND, bytearray(RESPONSE.pack(call, value, -error, flags)))


def start(rules, command):
    """Starts the command; gives its process and the listener, or None where there is none."""
    ours, its = socket.socketpair()
    child = os.fork()
    if child == 0:
        try:
            listener = rules.load()
            its.sendmsg([b"+"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [listener]))])
            os.close(listener)
            os.execvp(command[0], command)
        except OSError as error:
            os.write(2, f"machine.py: {error}\n".encode())
        finally:
            os._exit(UNSUPPORTED)
    its.close()
    _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
    return child, descriptors[0] if descriptors else None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kvm", choices=["absent", "denied", "old", "no-vm"], required=True)
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    rules = Filter(options.kvm)
    child, listener = start(rules, options.command)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: os.kill(child, number))
    if listener is not None:
        Supervisor(options.kvm, rules, listener).serve()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())
