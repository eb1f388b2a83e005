/*
 * The frames between layervm and the init of its guest, over one virtio-serial port. Both sides
 * share this file. A frame is a header of 8 bytes and `length` bytes of payload; numbers are
 * little-endian:
 *
 *	byte 0   PROTOCOL_VERSION
 *	byte 1   enum frame_type
 *	byte 2-3 zero
 *	byte 4-7 length of the payload, at most FRAME_MAX
 *
 * A run is a sequence of jobs on one mounted disk, host's frames to the right:
 *
 *	HELLO        (the guest waits, and has not touched its disk: it may be saved now, and a
 *	             copy of it go on from here, with another disk, once or many times)
 *	             WAKE
 *	AWAKE        (what time is it?)
 *	             CLOCK, at once
 *	             ENTROPY, NETWORK, MOUNT (one a mount), SECRET (one a secret)
 *	             a job: CWD, ENV (one a variable), USER; SCRIPT (in parts), COMMAND, SHELL or
 *	             UNPACK; TERMINAL or INPUT, ONE_OUTPUT; START
 *	STARTED      (the job's program runs; left out where it cannot)
 *	             STDIN, WINSIZE, TERMINATE, PING, at any time from here on
 *	STDOUT, STDERR, each in the order in which it came; TAKEN; PONG, to each PING
 *	EXIT         (all processes of the job are gone, all output was sent)
 *	             the next job up to its START, and on from STARTED; or FINISH
 *	BYE          (the disks are unmounted; the guest waits, and the host ends QEMU)
 *
 * FAILURE takes the place of any frame of the guest, and is its last one: in the place of HELLO or
 * AWAKE, the guest has not written to any disk. After EXIT the guest passes over STDIN, WINSIZE,
 * TERMINATE and PING, which were on their way. What comes before the first START without being of a
 * job is for all jobs of the run.
 *
 * Programs run in the image, in their own session, with umask 022; as uid 0 where there is no
 * USER. PATH ends with PROTOCOL_TOOLBOX; HOME, where ENV has none, is the user's by the image's
 * /etc/passwd where there is a USER, else /root.
 *
 *	SCRIPT   lies in PROTOCOL_SCRIPT, for later jobs too; its `#!` line decides the
 *	         interpreter, and without one it is the image's /bin/bash, else the image's
 *	         /bin/sh, else the toolbox's sh, with -e.
 *	COMMAND  is run by the image's /bin/sh, else the toolbox's sh, with -c.
 *	SHELL    is the image's /bin/bash, else the image's /bin/sh, else the toolbox's sh.
 *
 * Standard files: with TERMINAL all three are a pseudo terminal, which is the job's controlling
 * terminal; it is made in the image's own /dev/pts, and all output comes as STDOUT. Else standard
 * output and standard error are a pipe each, with ONE_OUTPUT one and the same, so that what was
 * written keeps its order; with INPUT standard input is a pipe too, and /dev/null
 * without. The host has no more than STDIN_WINDOW bytes of STDIN under way that no TAKEN has told
 * of, so that what it sends besides never stands behind bytes that nobody reads.
 *
 * The other job is to unpack an image: UNPACK stands alone. Layers are on the guest's second disk,
 * an ext4 file system for reading only: files as they are in the image, compressed or not, and the
 * file PROTOCOL_LAYERS, which lists them (unpack/manifest.h). They are unpacked one over the other
 * into the first disk, an empty ext4 file system. There is no STDOUT; STDERR is words,
 * FRAME_TEXT_MAX bytes in all at most, why the job failed, and EXIT's code then one of enum
 * unpack_status.
 */
#ifndef GUEST_INIT_PROTOCOL_H
#define GUEST_INIT_PROTOCOL_H

#include <stdbool.h>
#include <stdint.h>

#define PROTOCOL_VERSION 6
#define PROTOCOL_PORT "layervm.channel" /* the port's name on the virtio-serial bus */
#define PROTOCOL_SCRIPT "/dev/.layervm/script"
#define PROTOCOL_TOOLBOX "/dev/.layervm/bin"
#define PROTOCOL_LAYERS "layers"
#define PROTOCOL_SECRETS "/run/secrets" /* where SECRETs are files */

#define FRAME_HEADER_SIZE 8
#define FRAME_MAX (1u << 20)
#define FRAME_TEXT_MAX 1024 /* for payloads that are words for the user */
#define STDIN_WINDOW (256u << 10)

enum frame_type {
	/* From the guest. */
	FRAME_HELLO = 1,   /* the kernel's release, as text */
	FRAME_STARTED = 2, /* empty */
	FRAME_STDOUT = 3,  /* bytes, at least one */
	FRAME_STDERR = 4,  /* bytes, at least one */
	FRAME_EXIT = 5,    /* struct exit_report, and words for EXIT_NOT_RUN */
	FRAME_FAILURE = 6, /* words: what init could not do */
	FRAME_BYE = 7,     /* words: what is wrong with a disk; empty: all is unmounted cleanly */
	FRAME_TAKEN = 8,   /* u32, at least 1: bytes of STDIN passed on since the last TAKEN */
	FRAME_AWAKE = 9,   /* empty */
	FRAME_PONG = 10,   /* empty: init does its work */

	/* From the host. */
	FRAME_ENTROPY = 64,    /* random bytes, credited to the guest's pool */
	FRAME_CWD = 65,        /* an absolute path in the image */
	FRAME_ENV = 66,        /* "KEY=VALUE" */
	FRAME_SCRIPT = 67,     /* the next part of the script */
	FRAME_START = 68,      /* empty */
	FRAME_TERMINATE = 69,  /* empty: SIGTERM to the job's process group; with a terminal SIGHUP
				  and SIGCONT to its leader and its foreground process group */
	FRAME_KILL = 70,       /* empty: SIGKILL to all processes but init */
	FRAME_UNPACK = 71,     /* empty: the job is to unpack an image */
	FRAME_COMMAND = 72,    /* a line for the shell */
	FRAME_SHELL = 73,      /* empty: the job is an interactive shell */
	FRAME_USER = 74,       /* "NAME|UID[:GROUP|GID]": see user.h */
	FRAME_TERMINAL = 75,   /* u32 rows, u32 columns */
	FRAME_INPUT = 76,      /* empty: STDIN is standard input */
	FRAME_STDIN = 77,      /* bytes; none: the end of the file, not for a terminal */
	FRAME_WINSIZE = 78,    /* u32 rows, u32 columns */
	FRAME_FINISH = 79,     /* empty: there is no further job */
	FRAME_PING = 84,       /* empty: to be answered at once, or at the latest by EXIT */
	FRAME_ONE_OUTPUT = 83, /* empty: standard error is standard output, and comes as STDOUT */

	/* From the host, before the first START, for the whole run. */
	FRAME_NETWORK = 80, /* 4 bytes address, u32 bits of the network's part of it, 4 bytes
			       gateway, u32 MTU; addresses are IPv4, as they are sent */
	FRAME_MOUNT = 81,   /* u32 enum mount_kind, u32 disk, u32 flags, and the path in the image:
			       absolute, to a folder that is there, with no symlink in it */
	FRAME_SECRET = 82,  /* u32 length of the ID, ID, content */
	FRAME_WAKE = 90,    /* empty */
	FRAME_CLOCK = 91,   /* u32 seconds since 1970, the low half and the high, u32 nanoseconds */
};

/* What is mounted over a folder of the image. */
enum mount_kind {
	MOUNT_DISK = 1,  /* disk number N: 1 is /dev/vdb, 2 /dev/vdc and so on */
	MOUNT_TMPFS = 2, /* disk is its size in MiB; 0: half of the memory, as the kernel has it */
};

#define MOUNT_FLAG_READ_ONLY 1u

#define CLOCK_SIZE 12        /* of CLOCK's payload */
#define NETWORK_SIZE 16      /* of NETWORK's */
#define MOUNT_HEADER_SIZE 12 /* of MOUNT's, before the path */
#define TERMINAL_SIZE 8      /* of TERMINAL's and WINSIZE's */
#define SECRET_MAX 500000u   /* bytes of a secret */
#define MOUNTS_MAX 64        /* frames of type MOUNT in a run */

struct frame_header {
	uint8_t version;
	uint8_t type;
	uint16_t zero;
	uint32_t length;
};

/* How the job ended. */
enum exit_how {
	EXIT_STATUS = 1,  /* code: the exit status, 0 to 255 */
	EXIT_SIGNAL = 2,  /* code: the signal, 1 to 64 */
	EXIT_NOT_RUN = 3, /* code: 126 or 127, as a shell has them */
};

/* How the unpacking of an image ended. */
enum unpack_status {
	UNPACK_DONE = 0,
	UNPACK_BAD_LAYER = 1, /* a layer is at fault */
	UNPACK_FAILED = 2,    /* the guest is */
};

/* What was seen besides. */
#define EXIT_FLAG_DISK_FULL 1u  /* the disk had no free block */
#define EXIT_FLAG_FILES_FULL 2u /* the disk had no free inode */

#define EXIT_REPORT_SIZE 16
struct exit_report {
	uint32_t how;
	uint32_t code;
	uint32_t flags;
	uint32_t oom_kills; /* processes that the kernel killed because memory was out */
};

static inline void protocol_put_u32(uint8_t *to, uint32_t value)
{
	for (unsigned i = 0; i < 4; i++)
		to[i] = (uint8_t)(value >> (8 * i));
}

static inline uint32_t protocol_get_u32(const uint8_t *from)
{
	return (uint32_t)from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 |
	       (uint32_t)from[3] << 24;
}

/* Writes the header of a frame of this version. length: at most FRAME_MAX. */
static inline void frame_header_put(
	uint8_t to[static FRAME_HEADER_SIZE], enum frame_type type, uint32_t length)
{
	to[0] = PROTOCOL_VERSION;
	to[1] = (uint8_t)type;
	to[2] = 0;
	to[3] = 0;
	protocol_put_u32(to + 4, length);
}

/* Reads a header as it is; frame_header_valid judges it. */
static inline struct frame_header frame_header_get(const uint8_t from[static FRAME_HEADER_SIZE])
{
	return (struct frame_header){
		.version = from[0],
		.type = from[1],
		.zero = (uint16_t)(from[2] | from[3] << 8),
		.length = protocol_get_u32(from + 4),
	};
}

static inline bool frame_header_valid(const struct frame_header *header)
{
	return header->version == PROTOCOL_VERSION && header->zero == 0 &&
	       header->length <= FRAME_MAX;
}

static inline void exit_report_put(
	uint8_t to[static EXIT_REPORT_SIZE], const struct exit_report *report)
{
	protocol_put_u32(to, report->how);
	protocol_put_u32(to + 4, report->code);
	protocol_put_u32(to + 8, report->flags);
	protocol_put_u32(to + 12, report->oom_kills);
}

static inline struct exit_report exit_report_get(const uint8_t from[static EXIT_REPORT_SIZE])
{
	return (struct exit_report){
		.how = protocol_get_u32(from),
		.code = protocol_get_u32(from + 4),
		.flags = protocol_get_u32(from + 8),
		.oom_kills = protocol_get_u32(from + 12),
	};
}

#endif
