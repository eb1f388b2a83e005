/* Values of flags: numbers, sizes, times, command lines, scripts. Messages do not name the flag. */
#ifndef LAYERVM_COMMANDS_FLAG_VALUES_H
#define LAYERVM_COMMANDS_FLAG_VALUES_H

#include <json-c/json.h>
#include <stddef.h>
#include <stdint.h>

#include "image/image.h"
#include "support/error.h"
#include "vm/vm.h"

/* A decimal number from min to max. what: for the message, such as "a number of seconds". */
int value_number(const char *text, uint64_t min, uint64_t max, const char *what, uint64_t *value,
	struct error *err);

/* MiB: a number alone, or with M, G or T, each with iB or B after it, in any case. */
int value_mebibytes(
	const char *text, uint64_t min, uint64_t max, uint64_t *value, struct error *err);

/* Seconds: a number alone, or with s, m or h. */
int value_seconds(const char *text, uint64_t max, uint64_t *value, struct error *err);

/* How many CPUs a guest has ("host": as many as this process may use), and its time limit in
 * seconds (0: none). */
int value_cpus(const char *text, unsigned *value, struct error *err);
int value_timeout(const char *text, unsigned *value, struct error *err);

/* One of count words; *index: which. The error lists them. */
int value_choice(
	const char *text, const char *const *words, size_t count, size_t *index, struct error *err);

/* none, gzip or zstd. */
int value_compression(const char *text, enum image_compression *value, struct error *err);

/* The compression that a file's name stands for: .gz and .tgz, .zst, else none. */
enum image_compression compression_of_name(const char *path);

/*
 * NAME[:TAG] of an image that an archive holds. Names in archives need not follow the reference
 * grammar: only the tag is split off, which is "latest" where text has none. *name and *tag, the
 * caller's, are freed and set anew.
 */
int value_image_name(const char *text, char **name, char **tag, struct error *err);

/*
 * OS/ARCH[/VARIANT] of an image, as "linux/arm/v7": the OS must be linux. *architecture and
 * *variant (NULL: none), the caller's, are freed and set anew.
 */
int value_platform(const char *text, char **architecture, char **variant, struct error *err);

/* auto, kvm or tcg. */
int value_accel(const char *text, enum vm_accel *value, struct error *err);

/*
 * A command as a Dockerfile has it: a JSON list of strings is taken as it is, any other text is
 * for /bin/sh -c. The caller owns *value.
 */
int value_command(const char *text, json_object **value, struct error *err);

/* The whole of a file without NUL bytes, of SPEC_TEXT_MAX at most. The caller frees *value. */
int value_script_file(const char *path, char **value, struct error *err);

/* A script: the content of a file where text names one, else text itself. The caller frees it. */
int value_script(const char *text, char **value, struct error *err);

#endif
