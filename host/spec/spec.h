/*
 * What to build: SPEC.json and flags, validated whole before any work starts. Gives a
 * struct build_spec with every default filled in. Knows the contract's names; nothing of how the
 * work is done. The attributes are those of nixpkgs' dockerTools.buildImage.
 */
#ifndef LAYERVM_SPEC_SPEC_H
#define LAYERVM_SPEC_SPEC_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "spec/extras.h"
#include "support/error.h"
#include "support/report.h"

/* Ranges, both ends included. MiB; seconds since 1970 (the end is 9999-12-31T23:59:59Z); IDs
 * (2^32 - 1 is no ID but "leave as it is" to chown(2)). */
#define SPEC_DISK_SIZE_MIN 1
#define SPEC_DISK_SIZE_MAX (64 * 1024)
#define SPEC_MEMORY_SIZE_MIN 64
#define SPEC_MEMORY_SIZE_MAX (1024 * 1024)
#define SPEC_TIME_MAX 253402300799
#define SPEC_ID_MAX 4294967294

/* Longest SPEC.json, and longest script that a flag names, in bytes. */
#define SPEC_TEXT_MAX (1024 * 1024)

struct build_spec {
	char *name;            /* required, "repo" or "registry/repo", without a tag */
	char *tag;             /* NULL: derived from the content */
	char *from_image;      /* path, absolute or relative to the working folder; NULL: scratch */
	char *from_image_name; /* NULL: not given */
	char *from_image_tag;
	char **copy_to_root; /* paths, NULL at the end; never NULL itself */
	bool keep_contents_dirlinks;
	bool keep_contents_modes;
	char *run_as_root;    /* NULL: no guest is booted */
	char *extra_commands; /* "" where not given */
	json_object *config;  /* an object, or NULL; known keys have the right type, none is null */
	char *architecture;   /* GOARCH; default: the host's */
	uint32_t disk_size;   /* MiB, default 1024 */
	uint32_t memory_size; /* buildVMMemorySize, MiB, default 512 */
	bool created_now;     /* created is "now" */
	int64_t created;      /* seconds since 1970 (the time of the call where created_now) */
	uint32_t uid, gid;
	struct guest_extras_spec extras; /* mounts, secrets, network: of runAsRoot's guest */
};

/* All defaults, name NULL. */
struct build_spec *spec_new(void) __attribute__((returns_nonnull));
void spec_free(struct build_spec *spec);
static inline void cleanup_spec_fn(struct build_spec **spec)
{
	spec_free(*spec);
}
#define cleanup_spec __attribute__((cleanup(cleanup_spec_fn)))

/*
 * Reads SPEC.json into a spec that holds the defaults. path: "-" is standard input. Relative
 * paths in it become relative to its folder (standard input: the working folder). null stands for
 * "not given". Errors are ERROR_SPEC: an unknown key with the nearest known one; a wrong type or
 * range with what was found and wanted; what is not JSON by RFC 8259, a duplicate key, U+0000 and
 * nesting deeper than 32, each with line and column; a document over SPEC_TEXT_MAX. The
 * deprecated `contents` is taken as copyToRoot with a warning; both at once are an error. Keys of
 * `config` that the image specifications do not list are kept, with a warning.
 */
int spec_read(const char *path, struct build_spec *spec, struct report *report, struct error *err);

/* As spec_read, from memory. folder: what relative paths are relative to, "" for none. */
int spec_parse(const char *text, size_t len, const char *name, const char *folder,
	struct build_spec *spec, struct report *report, struct error *err);

/*
 * The last check, after flags were laid over the spec: a name is there and well-formed
 * (distribution reference grammar), tag, sizes, owner and config are in range, paths exist. Before
 * any work. A from_image of "-" is standard input.
 */
int spec_check(const struct build_spec *spec, struct error *err);

/* Puts path at the end of copy_to_root, or empties it. path: copied. */
void spec_add_copy(struct build_spec *spec, const char *path);
void spec_clear_copies(struct build_spec *spec);

/* Sets created from "now" or a time that spec_parse_time takes, from 1970 on. Returns whether
 * text is one; else the spec is unchanged. */
bool spec_set_created(struct build_spec *spec, const char *text);

/*
 * Reads an ISO 8601 date-time, extended or basic form ("2024-05-01T12:00:00Z",
 * "20240501T140000+0200"), or a date alone, which is its first second in UTC. Seconds may be
 * missing, a fraction is cut, a leap second is the second after it (as in POSIX). Without a zone
 * a time means something else on every machine: it is none. Years are 0000 to 9999; those before
 * 1970 give negative seconds. Returns whether text is one.
 */
bool spec_parse_time(const char *text, int64_t *seconds);

/* Splits "name:tag" (the tag is optional, a registry's port is no tag) and validates it by the
 * distribution reference grammar. The caller frees both; *tag is NULL where there is none. */
int spec_parse_reference(const char *text, char **name, char **tag, struct error *err);

/* Whether text is an architecture that images can be for: a GOARCH of Go's. The error, an
 * ERROR_SPEC, names the nearest. */
int spec_check_architecture(const char *text, struct error *err);

#endif
