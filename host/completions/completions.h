/*
 * The files that complete layervm's command line in a shell, made when it is built from the tables
 * that --help is made of. Takes the tables; gives a file a shell. Part of no program that is
 * installed.
 */
#ifndef LAYERVM_COMPLETIONS_COMPLETIONS_H
#define LAYERVM_COMPLETIONS_COMPLETIONS_H

#include <stdio.h>

#include "commands/argv.h"
#include "support/buffer.h"

/* What may stand as a flag's value. */
enum value_kind {
	VALUE_NONE,    /* the flag takes none */
	VALUE_FILES,   /* a file of the host */
	VALUE_FOLDERS, /* a folder of the host */
	VALUE_WORDS,   /* one of a few words */
	VALUE_TEXT,    /* anything */
};

/* As the flag's argument tells it. words: gets the words of VALUE_WORDS, a space between them. */
enum value_kind value_kind(const struct argv_flag *flag, struct buffer *words);

/* Writes text for between single quotes; each of the characters of special gets a \ before it. */
void put_quoted(FILE *out, const char *text, const char *special);

/* The flags of layervm itself. */
struct program_flag {
	const char *name;
	const char *letter; /* or NULL */
	const char *help;
};
#define PROGRAM_FLAG_COUNT 2
extern const struct program_flag program_flags[PROGRAM_FLAG_COUNT];

void bash_completion(FILE *out);
void zsh_completion(FILE *out);
void fish_completion(FILE *out);

#endif
