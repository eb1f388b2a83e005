/* Targets that change folders of the host: their process can write to no other ones. */
#ifndef LAYERVM_TESTS_FUZZ_CONFINE_H
#define LAYERVM_TESTS_FUZZ_CONFINE_H

/*
 * From now on this process, and what it starts, can make, change and remove files beneath the
 * folder only, and beneath those that libFuzzer's command line names: the corpora and that of
 * -artifact_prefix. The folder itself can be removed in the end, as any empty one beside it.
 * Returns 0, or -1 where the kernel has no Landlock for it.
 */
int confine_writes(const char *folder, int argc, char **argv);

#endif
