/*
 * What a guest's disk meets and what its script hides: the run must not end well. The script has
 * status 0 in each.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "guest_runs.h"
#include "skips.h"
#include "support/fileio.h"
#include "support/memory.h"

#define CLUSTER 4096u
#define QCOW2_COPIED (UINT64_C(1) << 63)

/* Where QCOW2's header has them (QEMU's docs/interop/qcow2.txt). */
enum { AT_L1_SIZE = 36, AT_L1 = 40, AT_REFCOUNT_TABLE = 48 };

static const char not_written[] =
	"not all of the image's disk could be written: Input/output error";

struct fault_run {
	const char *script;
	void (*prepare)(int overlay); /* may limit the length of files too */
};

static void run(const struct fault_run *what, struct guest_result *result)
{
	static const char *const env[] = {NULL};
	struct rlimit before;
	const struct vm_job job = {
		.script = what->script,
		.script_len = strlen(what->script),
		.env = env,
		.cwd = "/",
	};
	const struct guest_settings settings = {
		.root = ROOT_SHELL,
		.mode = REPORT_PLAIN,
		.memory_mib = 192,
		.timeout = 120,
		.prepare = what->prepare,
	};
	assert_return_code(getrlimit(RLIMIT_FSIZE, &before), errno);
	guest_run(&settings, &job, result);
	assert_return_code(setrlimit(RLIMIT_FSIZE, &before), errno);
}

static void put(int fd, const void *data, size_t len, uint64_t offset)
{
	assert_int_equal(pwrite(fd, data, len, (off_t)offset), len);
}

static uint64_t get64(int fd, uint64_t offset)
{
	uint64_t value = 0;
	assert_int_equal(pread(fd, &value, sizeof(value), (off_t)offset), sizeof(value));
	return be64toh(value);
}

/*
 * Gives an overlay its tables of clusters, from a cluster on, but for the first one, which has the
 * superblock. Clusters of data get places that are free. What QEMU changes of tables it keeps until
 * the guest has its disk flushed.
 */
static void place_tables(int overlay, uint64_t at)
{
	uint32_t count = 0;
	assert_int_equal(pread(overlay, &count, sizeof(count), AT_L1_SIZE), sizeof(count));
	count = be32toh(count);
	uint64_t counts = get64(overlay, get64(overlay, AT_REFCOUNT_TABLE));
	uint64_t l1 = get64(overlay, AT_L1);
	assert_in_range(count, 2, CLUSTER / sizeof(uint16_t) - at);
	for (uint32_t i = 1; i < count; i++) {
		static const uint8_t empty[CLUSTER];
		const uint64_t cluster = at + i;
		const uint16_t one = htobe16(1);
		const uint64_t entry = htobe64(cluster * CLUSTER | QCOW2_COPIED);
		put(overlay, empty, sizeof(empty), cluster * CLUSTER);
		put(overlay, &one, sizeof(one), counts + sizeof(one) * cluster);
		put(overlay, &entry, sizeof(entry), l1 + sizeof(entry) * i);
	}
}

#define LOW 64u
#define HIGH 1900u

static void place_high(int overlay)
{
	place_tables(overlay, HIGH);
}

static void limit_files(rlim_t limit)
{
	struct rlimit limits;
	assert_return_code(getrlimit(RLIMIT_FSIZE, &limits), errno);
	limits.rlim_cur = limit < limits.rlim_max ? limit : limits.rlim_max;
	assert_return_code(setrlimit(RLIMIT_FSIZE, &limits), errno);
}

/* Data does not all have a place, and tables have. */
static void leave_room_for_tables(int overlay)
{
	place_tables(overlay, LOW);
	limit_files(4u << 20);
}

/* An error of a write is told to init too where the script has asked for it before: sync -f. */
static void test_error_seen_by_the_script(void **state)
{
	static const struct fault_run what = {
		.script = "fallocate -l 12582912 /big; sync\n"
			  "dd if=/dev/urandom of=/big bs=1M count=12 conv=notrunc status=none\n"
			  "sync -f /\n",
		.prepare = leave_room_for_tables,
	};
	cleanup_guest_result struct guest_result result;
	(void)state;
	run(&what, &result);
	assert_int_equal(result.err.kind, ERROR_GUEST);
	assert_string_equal(result.err.message, not_written);
	assert_int_equal(result.outcome.exit_status, 0);
}

/* Data has its place, and tables cannot be written. */
static void leave_no_room_for_tables(int overlay)
{
	place_high(overlay);
	limit_files(HIGH * CLUSTER);
}

/* The script's file has its place, and only the flush of the disk tells that it is lost. */
static void test_error_of_the_last_flush(void **state)
{
	static const char script[] = "mount -o remount,nobarrier /; echo x > /f";
	static const struct fault_run sound = {script, place_high};
	static const struct fault_run bad = {script, leave_no_room_for_tables};
	cleanup_guest_result struct guest_result ends_well, is_lost;
	(void)state;
	run(&sound, &ends_well);
	if (ends_well.r < 0)
		fail_msg("%s", ends_well.err.message);
	run(&bad, &is_lost);
	assert_int_equal(is_lost.err.kind, ERROR_GUEST);
	assert_string_equal(is_lost.err.message, not_written);
}

/* The script breaks its own file system, where mke2fs puts inodes, and the kernel notices. */
static void test_damage(void **state)
{
	static const struct fault_run what = {
		.script = "cp /bin/busybox /dev; cd /dev\n"
			  "exec ./busybox sh -c '\n"
			  "IFS=: read major minor < /sys/class/block/vda/dev\n"
			  "./busybox mknod disk b $major $minor\n"
			  "./busybox dd if=/dev/urandom of=disk bs=4096 seek=41 count=200 "
			  "status=none\n"
			  "./busybox sync; echo 3 > /proc/sys/vm/drop_caches\n"
			  "./busybox ls -R /home /etc /tmp > /dev/null 2>&1\n"
			  "exit 0'\n",
	};
	static const char begin[] = "the kernel found the file system of the image's "
				    "disk damaged (";
	cleanup_guest_result struct guest_result result;
	(void)state;
	run(&what, &result);
	assert_int_equal(result.outcome.exit_status, 0);
	assert_int_equal(result.err.kind, ERROR_GUEST);
	if (strncmp(result.err.message, begin, sizeof(begin) - 1) != 0)
		fail_msg("%s", result.err.message);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_error_seen_by_the_script),
		cmocka_unit_test(test_error_of_the_last_flush),
		cmocka_unit_test(test_damage),
	};
	if (!disks_possible())
		return SKIPPED_STATUS;
	return cmocka_run_group_tests_name("guest_faults", tests, disks_set_up, disks_tear_down);
}
