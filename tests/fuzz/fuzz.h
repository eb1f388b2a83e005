/*
 * What the fuzz targets share. Each target is a file with LLVMFuzzerTestOneInput, which takes one
 * hostile input; it is linked to libFuzzer, or to replay.c, which runs a corpus once. A target
 * keeps all its files in memory, and says of more than crashes that they are findings: a broken
 * property, an error without words, an input that is called layervm's own fault.
 */
#ifndef LAYERVM_TESTS_FUZZ_H
#define LAYERVM_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "support/error.h"
#include "support/memory.h"

/* libFuzzer's interface: <fuzzer/FuzzerInterface.h>, which is C++. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

/* Ends the program with words: what must hold does not. */
void fuzz_broken(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/*
 * Whether a call succeeded. One that failed must have said why, in one line, and hostile input is
 * no reason for ERROR_INTERNAL. Set the error with fuzz_error first.
 */
bool fuzz_ok(int result, const struct error *err);

/* An error that nobody has set: a message that stays empty is noticed. */
static inline struct error fuzz_error(void)
{
	return (struct error){.kind = ERROR_INTERNAL};
}

/*
 * What came of an input, piece by piece, for replay.c, which compares it with what is known of a
 * stored input: a word, such as "tree", and bytes that tell all of it. libFuzzer's programs pass
 * over it. fuzz_ok tells of a failure by its kind and errno, as "input/EINVAL".
 */
void fuzz_outcome(const char *word, const void *data, size_t len);

/* A call that must succeed. */
void fuzz_must(int result, const struct error *err, const char *what);

/* A file in memory, and a path that opens it. */
struct fuzz_file {
	int fd;
	char path[32];
};
struct fuzz_file fuzz_file_new(const void *data, size_t size);
void fuzz_file_close(const struct fuzz_file *file);
#define cleanup_fuzz_file __attribute__((cleanup(fuzz_file_close)))

/* An input that is taken apart from its front; what is missing reads as zeros. */
struct fuzz_input {
	const uint8_t *data;
	size_t left;
};
uint8_t fuzz_u8(struct fuzz_input *input);
uint16_t fuzz_u16(struct fuzz_input *input);
uint64_t fuzz_u64(struct fuzz_input *input);

/* At most len bytes, fewer at the end. *len: how many. */
const uint8_t *fuzz_bytes(struct fuzz_input *input, size_t *len);

#endif
