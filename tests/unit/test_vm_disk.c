/* What counts as a disk image, and which images are not opened because they refer to others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "guestfs/vm_disk.h"

/* Bytes at a place of the file. */
struct part {
	size_t offset;
	const char *bytes;
	size_t len;
};
#define PART(offset, text)                                                                         \
	{                                                                                          \
		offset, text, sizeof(text) - 1                                                     \
	}

struct row {
	const char *name;
	size_t size;
	struct part parts[8];
	const char *format;  /* NULL: no disk image */
	const char *refusal; /* words of the error where an image is not opened */
};

#define MBR_SIGNATURE PART(510, "\x55\xaa")
#define MBR_LINUX PART(446, "\x80\x20\x21\x00\x83\x00\x00\x00\x00\x08\x00\x00\x00\x10\x00\x00")
#define EXT_SUPER                                                                                  \
	PART(1024, "\x00\x10\x00\x00\x00\x40\x00\x00"), PART(1048, "\x02\x00\x00\x00"),            \
		PART(1080, "\x53\xef")
#define VMDK_HEAD PART(0, "KDMV\x01\x00\x00\x00"), PART(12, "\x00\x10\x00\x00\x00\x00\x00\x00")
/* The descriptor at sector 1, 20 sectors long. */
#define VMDK_WHERE PART(28, "\x01\x00\x00\x00\x00\x00\x00\x00\x14\x00\x00\x00\x00\x00\x00\x00")

static const struct row rows[] = {
	{"empty file", 0, {{0}}, NULL, NULL},
	{"zeros", 65536, {{0}}, NULL, NULL},
	{"text", 100, {PART(0, "hello")}, NULL, NULL},
	{"qcow2", 512, {PART(0, "QFI\xfb\x00\x00\x00\x03")}, "qcow2", NULL},
	{"qcow2, version 2", 72, {PART(0, "QFI\xfb\x00\x00\x00\x02")}, "qcow2", NULL},
	{"qcow2 over a file", 512,
		{PART(0, "QFI\xfb\x00\x00\x00\x03"), PART(15, "\x70"), PART(112, "/etc/shadow")},
		"qcow2", "backing file"},
	{"qcow2 with data elsewhere", 512, {PART(0, "QFI\xfb\x00\x00\x00\x03"), PART(79, "\x04")},
		"qcow2", "data file"},
	{"qcow2, version 2, has no feature bits", 512,
		{PART(0, "QFI\xfb\x00\x00\x00\x02"), PART(79, "\x04")}, "qcow2", NULL},
	{"vdi", 512, {PART(0, "<<< Oracle VM"), PART(64, "\x7f\x10\xda\xbe")}, "vdi", NULL},
	{"vmdk", 65536, {VMDK_HEAD}, "vmdk", NULL},
	{"vmdk with a descriptor", 65536,
		{VMDK_HEAD, VMDK_WHERE, PART(512, "# Disk DescriptorFile\nparentCID=ffffffff\n")},
		"vmdk", NULL},
	{"vmdk with a parent", 65536,
		{VMDK_HEAD, VMDK_WHERE,
			PART(600, "parentCID=1234\nparentFileNameHint=\"/etc/shadow\"\n")},
		"vmdk", "other files"},
	{"vmdk with a parent where no descriptor is said to be", 65536,
		{VMDK_HEAD, PART(600, "parentCID=1234\nparentFileNameHint=\"/etc/shadow\"\n")},
		"vmdk", "other files"},
	{"vmdk with a descriptor elsewhere, and a parent in sector 1", 131072,
		{VMDK_HEAD, PART(28, "\xc8"), PART(600, "parentFileNameHint=\"/etc/shadow\"\n"),
			PART(200 * 512, "# Disk DescriptorFile\nparentCID=ffffffff\n")},
		"vmdk", "other files"},
	{"vmdk of extents", 65536, {PART(0, "KDMV\x01\x00\x00\x00"), VMDK_WHERE}, "vmdk",
		"other files"},
	{"vmdk as text", 300, {PART(0, "# Disk DescriptorFile\nRW 8 FLAT \"/etc/shadow\" 0\n")},
		"vmdk", "other files"},
	{"vmdk whose descriptor is far away", 65536,
		{VMDK_HEAD, PART(28, "\xff\xff\xff\xff\xff\xff\xff\x7f")}, "vmdk", "descriptor"},
	{"MBR", 65536, {MBR_SIGNATURE, MBR_LINUX}, "raw", NULL},
	{"MBR without partitions", 65536, {MBR_SIGNATURE}, NULL, NULL},
	{"MBR with a status that is none", 65536, {MBR_SIGNATURE, MBR_LINUX, PART(462, "\x01")},
		NULL, NULL},
	{"MBR with a partition of no sectors", 65536, {MBR_SIGNATURE, MBR_LINUX, PART(466, "\x83")},
		NULL, NULL},
	{"GPT", 65536, {PART(512, "EFI PART")}, "raw", NULL},
	{"GPT of 4096-byte sectors", 65536, {PART(4096, "EFI PART")}, "raw", NULL},
	{"ext", 65536, {EXT_SUPER}, "raw", NULL},
	{"ext with a block size that is none", 65536, {EXT_SUPER, PART(1048, "\x20")}, NULL, NULL},
	{"XFS", 65536, {PART(0, "XFSB")}, "raw", NULL},
	{"btrfs", 131072, {PART(65600, "_BHRfS_M")}, "raw", NULL},
	{"LVM", 65536, {PART(512, "LABELONE")}, "raw", NULL},
	{"a tar that holds the words", 65536, {PART(257, "ustar"), PART(512, "EFI PART")}, NULL,
		NULL},
	{"a gzip file that looks like MBR", 65536,
		{MBR_SIGNATURE, MBR_LINUX, PART(0, "\x1f\x8b\x08")}, NULL, NULL},
	{"a zstd file that looks like MBR", 65536,
		{MBR_SIGNATURE, MBR_LINUX, PART(0, "\x28\xb5\x2f\xfd")}, NULL, NULL},
};

static void write_row(const struct row *row, const char *path)
{
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	for (size_t i = 0; i < sizeof(row->parts) / sizeof(row->parts[0]); i++) {
		const struct part *part = &row->parts[i];
		if (part->len == 0)
			continue;
		assert_int_equal(fseek(file, (long)part->offset, SEEK_SET), 0);
		assert_int_equal(fwrite(part->bytes, 1, part->len, file), part->len);
	}
	assert_int_equal(fflush(file), 0);
	assert_int_equal(ftruncate(fileno(file), (off_t)row->size), 0);
	assert_int_equal(fclose(file), 0);
}

static void check_row(const struct row *row, const char *path)
{
	struct error err = {0};
	write_row(row, path);
	if (is_vm_disk(path) != (row->format != NULL))
		fail_msg("%s: is_vm_disk says %d", row->name, row->format == NULL);
	const char *found = vm_disk_format(path, &err);
	const char *expected = row->refusal == NULL ? row->format : NULL;
	if (found == NULL ? expected != NULL : expected == NULL || strcmp(found, expected) != 0)
		fail_msg("%s: found %s, expected %s: %s", row->name, found, expected, err.message);
	const char *words = row->format == NULL ? "no disk image" : row->refusal;
	if (words == NULL)
		return;
	assert_int_equal(err.kind, ERROR_INPUT);
	if (strstr(err.message, words) == NULL || strstr(err.message, path) == NULL)
		fail_msg("%s: no \"%s\" in: %s", row->name, words, err.message);
}

static void test_rows(void **state)
{
	(void)state;
	char path[] = "/tmp/layervm-test-XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check_row(&rows[i], path);
	unlink(path);
}

static void test_no_file(void **state)
{
	(void)state;
	static const char *const paths[] = {"/", "/dev/null", "/nonexistent/disk.qcow2"};
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		struct error err;
		assert_false(is_vm_disk(paths[i]));
		assert_null(vm_disk_format(paths[i], &err));
		assert_int_equal(err.kind, ERROR_INPUT);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_no_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
