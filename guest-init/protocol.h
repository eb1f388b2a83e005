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
 * The order of a whole run of a script, host's frames to the right:
 *
 *	HELLO
 *	             ENTROPY, CWD, ENV (one a variable), SCRIPT (in parts), START
 *	STARTED      (the script's program runs; left out where it cannot)
 *	STDOUT, STDERR, in the order in which they came
 *	             TERMINATE (at any time from here on; optional)
 *	EXIT         (all processes are gone, all output was sent)
 *	BYE          (the disk is unmounted)
 *	             RELEASE (BYE was read; the guest powers off)
 *
 * FAILURE takes the place of any frame of the guest after HELLO, and is its last one.
 *
 * The script runs as uid 0 in the image, in its own session, with umask 022 and empty standard
 * input. It lies in PROTOCOL_SCRIPT; its `#!` line decides the interpreter, and without one it is
 * the image's /bin/bash, else the image's /bin/sh, else the toolbox's sh, with -e. PATH ends with
 * PROTOCOL_TOOLBOX; HOME is /root where ENV has none.
 *
 * The other job is to unpack an image: UNPACK takes the place of CWD, ENV and SCRIPT. Layers are
 * on the guest's second disk, an ext4 file system for reading only: files as they are in the
 * image, compressed or not, and the file PROTOCOL_LAYERS, which lists them (unpack/manifest.h).
 * They are unpacked one over the other into the first disk, an empty ext4 file system. There is
 * no STDOUT; STDERR is words, FRAME_TEXT_MAX bytes in all at most, why the job failed, and EXIT's
 * code then one of enum unpack_status.
 */
#ifndef GUEST_INIT_PROTOCOL_H
#define GUEST_INIT_PROTOCOL_H

#include <stdbool.h>
#include <stdint.h>

#define PROTOCOL_VERSION 2
#define PROTOCOL_PORT "layervm.channel" /* the port's name on the virtio-serial bus */
#define PROTOCOL_SCRIPT "/dev/.layervm/script"
#define PROTOCOL_TOOLBOX "/dev/.layervm/bin"
#define PROTOCOL_LAYERS "layers"

#define FRAME_HEADER_SIZE 8
#define FRAME_MAX (1u << 20)
#define FRAME_TEXT_MAX 1024 /* for payloads that are words for the user */

enum frame_type {
	/* From the guest. */
	FRAME_HELLO = 1,   /* the kernel's release, as text */
	FRAME_STARTED = 2, /* empty */
	FRAME_STDOUT = 3,  /* bytes, at least one */
	FRAME_STDERR = 4,  /* bytes, at least one */
	FRAME_EXIT = 5,    /* struct exit_report, and words for EXIT_NOT_RUN */
	FRAME_FAILURE = 6, /* words: what init could not do */
	FRAME_BYE = 7,     /* words: what is wrong with the disk; empty: it was unmounted cleanly */

	/* From the host. */
	FRAME_ENTROPY = 64,   /* random bytes, credited to the guest's pool */
	FRAME_CWD = 65,       /* an absolute path in the image */
	FRAME_ENV = 66,       /* "KEY=VALUE" */
	FRAME_SCRIPT = 67,    /* the next part of the script */
	FRAME_START = 68,     /* empty */
	FRAME_TERMINATE = 69, /* empty: SIGTERM to the script's process group */
	FRAME_RELEASE = 70,   /* empty */
	FRAME_UNPACK = 71,    /* empty: the job is to unpack an image */
};

struct frame_header {
	uint8_t version;
	uint8_t type;
	uint16_t zero;
	uint32_t length;
};

/* How the script ended. */
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
#define EXIT_FLAG_DISK_FULL 1u /* no free block or no free inode was left */

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
