/*
 * Which files are disks of virtual machines. The first two bytes are the file's length in units of
 * 64 bytes (0: all), the rest is patches to zeros. What is taken must be no image that leads QEMU
 * to another file; that is looked up here by QEMU's own rules.
 */
#include <errno.h>
#include <string.h>

#include "guestfs/vm_disk.h"
#include "patches.h"

#define BLOCKS 18 /* a little more than what is looked at, which ends behind 64 KiB */
#define FILE_SIZE ((size_t)BLOCKS * PATCH_BLOCK)

const uint8_t *patch_block(uint16_t block)
{
	static const uint8_t zeros[PATCH_BLOCK];
	(void)block;
	return zeros;
}

static size_t make_file(const uint8_t *data, size_t size, uint8_t file[static FILE_SIZE])
{
	struct fuzz_input input = {.data = data, .left = size};
	struct patch p;
	size_t len = (size_t)fuzz_u16(&input) * 64;
	memset(file, 0, FILE_SIZE);
	while (patch_next(&input, &p)) {
		uint8_t *to = file + (size_t)(p.block % BLOCKS) * PATCH_BLOCK + p.offset;
		if (p.data != NULL)
			memcpy(to, p.data, p.len);
		else
			memmove(to,
				file + (size_t)(p.from_block % BLOCKS) * PATCH_BLOCK +
					p.from_offset,
				p.len);
	}
	return len == 0 || len > FILE_SIZE ? FILE_SIZE : len;
}

static uint64_t big_endian(const uint8_t *at, size_t len)
{
	uint64_t value = 0;
	for (size_t i = 0; i < len; i++)
		value = value << 8 | at[i];
	return value;
}

/* block/qcow2.c: a name of a backing file where its offset is not 0; version 3 has feature bits,
 * of which bit 2 stands for a data file. */
static bool qcow2_leads_away(const uint8_t *file)
{
	return big_endian(file + 8, 8) != 0 ||
	       (big_endian(file + 4, 4) == 3 && (big_endian(file + 72, 8) & 4) != 0);
}

/* block/vmdk.c: extents of a descriptor where the capacity is 0, or where there is no header at
 * all; a parent is looked for in 20 sectors from the second on. */
static bool vmdk_leads_away(const uint8_t *file)
{
	static const char parent[] = "parentFileNameHint";
	static const uint8_t zeros[8];
	return memcmp(file, "KDMV", 4) != 0 || memcmp(file + 12, zeros, sizeof(zeros)) == 0 ||
	       memmem(file + 512, (size_t)20 * 512, parent, sizeof(parent) - 1) != NULL;
}

static void check_format(const char *format, const uint8_t *file)
{
	bool leads_away = false;
	if (strcmp(format, "qcow2") == 0)
		leads_away = qcow2_leads_away(file);
	else if (strcmp(format, "vmdk") == 0)
		leads_away = vmdk_leads_away(file);
	else if (strcmp(format, "vdi") != 0 && strcmp(format, "raw") != 0)
		fuzz_broken("a format of the name \"%s\"", format);
	if (leads_away)
		fuzz_broken("a %s image that leads to another file was taken", format);
}

/* The format, or NULL: no disk, or one that is not opened. */
static const char *tell(const uint8_t *file, size_t size)
{
	cleanup_fuzz_file struct fuzz_file opened = fuzz_file_new(file, size);
	struct error err = fuzz_error();
	bool is_disk = is_vm_disk(opened.path);
	const char *format = vm_disk_format(opened.path, &err);
	bool opened_as = fuzz_ok(format != NULL ? 0 : -EINVAL, &err);
	bool no_disk = !opened_as && strstr(err.message, "no disk image") != NULL;
	if (is_disk == no_disk)
		fuzz_broken("a disk, and none: %s", opened_as ? format : err.message);
	return format;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t file[FILE_SIZE];
	size_t len = make_file(data, size, file);
	const char *format = tell(file, len);
	/* What the file lacks counts as zeros. */
	memset(file + len, 0, FILE_SIZE - len);
	const char *whole = len == FILE_SIZE ? format : tell(file, FILE_SIZE);
	if (format != whole)
		fuzz_broken("of %zu bytes it is another format than with zeros behind", len);
	if (format == NULL)
		return 0;
	check_format(format, file);
	fuzz_outcome(format, NULL, 0);
	return 0;
}
