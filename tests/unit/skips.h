/* Tests that cannot run on a machine, told to scripts/test, which looks whether that is so. */
#ifndef LAYERVM_TESTS_SKIPS_H
#define LAYERVM_TESTS_SKIPS_H

/*
 * Notes that a test is not run, in a line on standard output and in the file that
 * LAYERVM_TEST_SKIPS names. test: its function; lacking: what this machine lacks, names of
 * tests/skips.py with commas.
 */
void skip_note(const char *test, const char *lacking);

/* Ends a test of cmocka, whose header is included before, as not run here. */
#define skip_test(lacking)                                                                         \
	do {                                                                                       \
		skip_note(__func__, lacking);                                                      \
		skip();                                                                            \
	} while (0)

/* What a program returns that runs none of its tests; skip_note has said why. */
#define SKIPPED_STATUS 77

#endif
