#include "vm/interpreter.h"

#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <string.h>

#include "support/memory.h"

#define SEGMENTS_MAX 256 /* a program has some ten */

static bool read_at(int fd, void *to, size_t len, uint64_t at)
{
	return at <= INT64_MAX && pread(fd, to, len, (off_t)at) == (ssize_t)len;
}

static bool is_program(const Elf64_Ehdr *header)
{
	return memcmp(header->e_ident, ELFMAG, SELFMAG) == 0 &&
	       header->e_ident[EI_CLASS] == ELFCLASS64 && header->e_ident[EI_DATA] == ELFDATA2LSB &&
	       (header->e_type == ET_EXEC || header->e_type == ET_DYN) &&
	       header->e_phentsize == sizeof(Elf64_Phdr) && header->e_phnum <= SEGMENTS_MAX;
}

/* The path that a segment holds, with a NUL at its end as the kernel asks. */
static char *read_path(int fd, const Elf64_Phdr *segment)
{
	char path[PATH_MAX];
	if (segment->p_filesz < 2 || segment->p_filesz > sizeof(path) ||
		!read_at(fd, path, segment->p_filesz, segment->p_offset) ||
		path[segment->p_filesz - 1] != '\0')
		return NULL;
	return xstrdup(path);
}

bool interpreter_find(const char *path, char **loader)
{
	Elf64_Ehdr header;
	Elf64_Phdr segment;
	*loader = NULL;
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || !read_at(fd, &header, sizeof(header), 0) || !is_program(&header))
		return false;
	for (uint64_t i = 0; i < header.e_phnum; i++) {
		uint64_t at;
		if (__builtin_add_overflow(header.e_phoff, i * sizeof(segment), &at) ||
			!read_at(fd, &segment, sizeof(segment), at))
			return false;
		if (segment.p_type != PT_INTERP)
			continue;
		*loader = read_path(fd, &segment);
		return *loader != NULL;
	}
	return true;
}
