/* The pure parts of host/vm: QEMU's arguments, the ring of last lines, where the guest is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "random_tree.h"
#include "support/fileio.h"
#include "support/memory.h"
#include "vm/guest_files.h"
#include "vm/qemu_args.h"
#include "vm/ring.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Arguments */

static const struct vm_options plain_options = {
	.qemu = "qemu-system-x86_64",
	.kernel = "/k,1",
	.initrd = "/i 2",
	.memory_mib = 300,
	.cpus = 2,
	.disk_fd = -1,
	.overlay_fd = -1,
};

static void test_arguments(void **state)
{
	static const struct {
		enum vm_accel accel;
		const char *line;
	} rows[] = {
		{VM_ACCEL_TCG, "-accel\ntcg,thread=multi\n-cpu\nmax,-erms,-vmx,-svm\n"},
		{VM_ACCEL_KVM, "-accel\nkvm\n-cpu\nhost,-vmx,-svm\n"},
	};
	(void)state;
	for (size_t row = 0; row < COUNT(rows); row++) {
		struct error err;
		cleanup_qemu_args struct qemu_args args = {0};
		cleanup_buffer struct buffer lines = {0};
		cleanup_free char *expected = xasprintf(
			"qemu-system-x86_64\n-no-user-config\n-nodefaults\n-display\nnone\n"
			"-monitor\nnone\n-no-reboot\n-sandbox\n"
			"on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny\n"
			"-machine\nq35,usb=off,vmport=off,sata=off,smbus=off,hpet=off\n"
			"%s"
			"-smp\n2\n-m\n300M\n-kernel\n/k,1\n-initrd\n/i 2\n-append\n"
			"console=ttyS0 quiet panic=-1 oops=panic random.trust_cpu=on "
			"mitigations=off cryptomgr.notests noreplace-smp 8250.nr_uarts=1 "
			"rcupdate.rcu_expedited=1 no_timer_check norandmaps init_on_alloc=0\n"
			"-chardev\nsocket,id=console,fd=4\n-serial\nchardev:console\n"
			"-chardev\nsocket,id=channel,fd=3\n"
			"-device\nvirtio-serial-pci,disable-legacy=on\n"
			"-device\nvirtserialport,chardev=channel,name=layervm.channel\n"
			"-add-fd\nfd=5,set=5\n-blockdev\n"
			"driver=file,node-name=base-file,filename=/dev/fdset/5,locking=off,"
			"read-only=on\n"
			"-add-fd\nfd=6,set=6\n-blockdev\n"
			"driver=file,node-name=overlay-file,filename=/dev/fdset/6,locking=off,"
			"read-only=off,cache.no-flush=on\n"
			"-blockdev\ndriver=raw,node-name=base,file=base-file,read-only=on\n"
			"-blockdev\ndriver=qcow2,node-name=disk,file=overlay-file,backing=base,"
			"discard=ignore\n"
			"-device\n"
			"virtio-blk-pci,drive=disk,disable-legacy=on,rerror=report,werror=report\n",
			rows[row].line);
		assert_int_equal(
			qemu_args_make(&args, &plain_options, rows[row].accel, QEMU_BOOT, &err), 0);
		for (size_t i = 0; i < args.count; i++)
			buffer_printf(&lines, "%s\n", args.argv[i]);
		assert_null(args.argv[args.count]);
		cleanup_free char *got = buffer_steal_text(&lines);
		assert_string_equal(got, expected);
	}
}

#define COMMON                                                                                     \
	"qemu-system-x86_64 -no-user-config -nodefaults -display none -monitor none -no-reboot "   \
	"-sandbox "                                                                                \
	"on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny -machine "        \
	"q35,usb=off,vmport=off,sata=off,smbus=off,hpet=off,memory-backend=memory -accel "         \
	"tcg,thread=multi -cpu max,-erms,-vmx,-svm -smp 2 -m 300M -object "                        \
	"memory-backend-file,id=memory,mem-path=/proc/self/fd/25,size=300M,share="
#define CHANNELS                                                                                   \
	"-chardev socket,id=control,fd=24 -mon chardev=control,mode=control "                      \
	"-chardev socket,id=console,fd=4 -serial chardev:console "                                 \
	"-chardev socket,id=channel,fd=3 -device virtio-serial-pci,disable-legacy=on "             \
	"-device virtserialport,chardev=channel,name=layervm.channel "
#define DISK "-device virtio-blk-pci,drive=disk,disable-legacy=on,rerror=report,werror=report "

/*
 * A guest that is saved and one that goes on from there: the same machine, but for whose the memory
 * is, where it begins, and what is behind the disk of 64 GiB.
 */
static void test_arguments_saved(void **state)
{
	static const struct {
		enum qemu_start start;
		const char *line;
	} rows[] = {
		{QEMU_SAVE,
			COMMON "on -kernel /k,1 -initrd /i 2 -append "
			       "console=ttyS0 quiet panic=-1 oops=panic random.trust_cpu=on "
			       "mitigations=off cryptomgr.notests noreplace-smp 8250.nr_uarts=1 "
			       "rcupdate.rcu_expedited=1 no_timer_check norandmaps "
			       "init_on_alloc=0 " CHANNELS
			       "-blockdev driver=null-co,node-name=disk,read-zeroes=on,"
			       "size=68719476736,read-only=off " DISK},
		{QEMU_RESTORE,
			COMMON "off -incoming defer " CHANNELS
			       "-add-fd fd=5,set=5 -blockdev driver=file,node-name=base-file,"
			       "filename=/dev/fdset/5,locking=off,read-only=on "
			       "-add-fd fd=6,set=6 -blockdev driver=file,node-name=overlay-file,"
			       "filename=/dev/fdset/6,locking=off,read-only=off,"
			       "cache.no-flush=on "
			       "-blockdev driver=raw,node-name=base,file=base-file,read-only=on "
			       "-blockdev driver=qcow2,node-name=disk,file=overlay-file,"
			       "backing=base,discard=ignore " DISK},
	};
	(void)state;
	for (size_t row = 0; row < COUNT(rows); row++) {
		struct error err;
		cleanup_qemu_args struct qemu_args args = {0};
		struct buffer line = {0};
		assert_int_equal(
			qemu_args_make(&args, &plain_options, VM_ACCEL_TCG, rows[row].start, &err),
			0);
		for (size_t i = 0; i < args.count; i++)
			buffer_printf(&line, "%s ", args.argv[i]);
		cleanup_free char *got = buffer_steal_text(&line);
		assert_string_equal(got, rows[row].line);
	}
}

/* Further disks come after the first one, at the end, so that the guest names them in order. */
static void test_arguments_further_disks(void **state)
{
	static const struct vm_disk disks[VM_FURTHER_MAX + 1] = {
		{.fd = 40, .overlay_fd = -1}, {.fd = 41, .overlay_fd = -1}};
	static const char file_0[] = "driver=file,node-name=further-file-0,"
				     "filename=/dev/fdset/7,locking=off,read-only=on";
	static const char file_1[] = "driver=file,node-name=further-file-1,"
				     "filename=/dev/fdset/8,locking=off,read-only=on";
	static const char *const added[] = {"-add-fd", "fd=7,set=7", "-blockdev", file_0,
		"-blockdev", "driver=raw,node-name=further-0,file=further-file-0,read-only=on",
		"-device",
		"virtio-blk-pci,drive=further-0,disable-legacy=on,rerror=report,werror=report",
		"-add-fd", "fd=8,set=8", "-blockdev", file_1, "-blockdev",
		"driver=raw,node-name=further-1,file=further-file-1,read-only=on", "-device",
		"virtio-blk-pci,drive=further-1,disable-legacy=on,rerror=report,werror=report"};
	struct error err;
	struct vm_options options = plain_options;
	cleanup_qemu_args struct qemu_args plain = {0};
	cleanup_qemu_args struct qemu_args args = {0};
	struct qemu_args none;
	(void)state;
	options.further = disks;
	options.further_count = 2;
	assert_int_equal(qemu_args_make(&plain, &plain_options, VM_ACCEL_TCG, QEMU_BOOT, &err), 0);
	assert_int_equal(qemu_args_make(&args, &options, VM_ACCEL_TCG, QEMU_BOOT, &err), 0);
	assert_int_equal(args.count, plain.count + COUNT(added));
	for (size_t i = 0; i < plain.count; i++)
		assert_string_equal(args.argv[i], plain.argv[i]);
	for (size_t i = 0; i < COUNT(added); i++)
		assert_string_equal(args.argv[plain.count + i], added[i]);
	options.further_count = VM_FURTHER_MAX + 1;
	assert_int_equal(qemu_args_make(&none, &options, VM_ACCEL_TCG, QEMU_BOOT, &err), -E2BIG);
	assert_int_equal(err.kind, ERROR_INTERNAL);
}

/* Arguments from one on, a line each. */
static char *join(const struct qemu_args *args, size_t from)
{
	struct buffer lines = {0};
	for (size_t i = from; i < args->count; i++)
		buffer_printf(&lines, "%s\n", args->argv[i]);
	return buffer_steal_text(&lines);
}

/* A disk with an overlay, one that is kept, and the network: what plain disks do not have. */
static void test_arguments_extras(void **state)
{
	static const struct vm_disk disks[] = {
		{.fd = 40, .overlay_fd = 41},
		{.fd = 42, .overlay_fd = -1, .writable = true},
	};
	static const struct vm_network network = {.fd = 43};
	static const char device[] = ",disable-legacy=on,rerror=report,werror=report";
	struct error err;
	struct vm_options options = plain_options;
	cleanup_qemu_args struct qemu_args plain = {0};
	cleanup_qemu_args struct qemu_args args = {0};
	(void)state;
	options.further = disks;
	options.further_count = COUNT(disks);
	options.network = &network;
	assert_int_equal(qemu_args_make(&plain, &plain_options, VM_ACCEL_TCG, QEMU_BOOT, &err), 0);
	assert_int_equal(qemu_args_make(&args, &options, VM_ACCEL_TCG, QEMU_BOOT, &err), 0);
	cleanup_free char *got = join(&args, plain.count);
	cleanup_free char *expected = xasprintf(
		"-add-fd\nfd=7,set=7\n"
		"-blockdev\ndriver=file,node-name=further-file-0,filename=/dev/fdset/7,"
		"locking=off,read-only=on\n"
		"-blockdev\ndriver=raw,node-name=further-base-0,file=further-file-0,read-only=on\n"
		"-add-fd\nfd=15,set=15\n"
		"-blockdev\ndriver=file,node-name=further-overlay-0,filename=/dev/fdset/15,"
		"locking=off,read-only=off,cache.no-flush=on\n"
		"-blockdev\ndriver=qcow2,node-name=further-0,file=further-overlay-0,"
		"backing=further-base-0,discard=ignore\n"
		"-device\nvirtio-blk-pci,drive=further-0%s\n"
		"-add-fd\nfd=8,set=8\n"
		"-blockdev\ndriver=file,node-name=further-file-1,filename=/dev/fdset/8,"
		"locking=off,read-only=off\n"
		"-blockdev\ndriver=raw,node-name=further-1,file=further-file-1,read-only=off\n"
		"-device\nvirtio-blk-pci,drive=further-1%s\n"
		"-netdev\nstream,id=net,server=off,addr.type=fd,addr.str=23\n"
		"-device\nvirtio-net-pci,netdev=net,mac=52:54:00:12:34:56,disable-legacy=on,"
		"romfile=\n",
		device, device);
	assert_string_equal(got, expected);
}

/* A guest that is saved has the devices of the run, with nothing of the host's behind them. */
static void test_arguments_saved_set(void **state)
{
	static const struct vm_disk disks[] = {
		{.fd = 40, .overlay_fd = -1},
		{.fd = 41, .overlay_fd = 42},
		{.fd = 43, .overlay_fd = -1, .writable = true},
	};
	static const struct vm_network network = {.fd = 44};
	static const char expected[] =
		"-blockdev\ndriver=null-co,node-name=further-0,read-zeroes=on,size=68719476736,"
		"read-only=on\n"
		"-device\nvirtio-blk-pci,drive=further-0,disable-legacy=on,rerror=report,"
		"werror=report\n"
		"-blockdev\ndriver=null-co,node-name=further-1,read-zeroes=on,size=68719476736,"
		"read-only=off\n"
		"-device\nvirtio-blk-pci,drive=further-1,disable-legacy=on,rerror=report,"
		"werror=report\n"
		"-blockdev\ndriver=null-co,node-name=further-2,read-zeroes=on,size=68719476736,"
		"read-only=off\n"
		"-device\nvirtio-blk-pci,drive=further-2,disable-legacy=on,rerror=report,"
		"werror=report\n"
		"-netdev\nhubport,id=net,hubid=0\n"
		"-device\nvirtio-net-pci,netdev=net,mac=52:54:00:12:34:56,disable-legacy=on,"
		"romfile=\n";
	struct error err;
	struct vm_options options = plain_options;
	cleanup_qemu_args struct qemu_args plain = {0};
	cleanup_qemu_args struct qemu_args args = {0};
	(void)state;
	options.further = disks;
	options.further_count = COUNT(disks);
	options.network = &network;
	assert_int_equal(qemu_args_make(&plain, &plain_options, VM_ACCEL_TCG, QEMU_SAVE, &err), 0);
	assert_int_equal(qemu_args_make(&args, &options, VM_ACCEL_TCG, QEMU_SAVE, &err), 0);
	cleanup_free char *got = join(&args, plain.count);
	assert_string_equal(got, expected);
}

/* The values of all -device, in their order: what the guest is on. */
static char *list_devices(const struct vm_options *options, enum qemu_start start)
{
	struct error err;
	struct buffer lines = {0};
	cleanup_qemu_args struct qemu_args args = {0};
	assert_int_equal(qemu_args_make(&args, options, VM_ACCEL_TCG, start, &err), 0);
	for (size_t i = 0; i + 1 < args.count; i++) {
		if (strcmp(args.argv[i], "-device") == 0)
			buffer_printf(&lines, "%s\n", args.argv[i + 1]);
	}
	return buffer_steal_text(&lines);
}

/* Whatever the set is, it is the same where the guest boots, is saved, and goes on. */
static void test_devices_are_the_same(void **state)
{
	static const struct vm_network network = {.fd = 44};
	static const struct vm_disk kinds[] = {
		{.fd = 40, .overlay_fd = -1},
		{.fd = 41, .overlay_fd = 42},
		{.fd = 43, .overlay_fd = -1, .writable = true},
	};
	(void)state;
	for (size_t count = 0; count <= VM_FURTHER_MAX; count++) {
		struct vm_disk disks[VM_FURTHER_MAX];
		struct vm_options options = plain_options;
		for (size_t i = 0; i < count; i++)
			disks[i] = kinds[(count + i) % COUNT(kinds)];
		options.further = disks;
		options.further_count = count;
		options.network = count % 2 == 0 ? &network : NULL;
		cleanup_free char *boot = list_devices(&options, QEMU_BOOT);
		cleanup_free char *saved = list_devices(&options, QEMU_SAVE);
		cleanup_free char *restored = list_devices(&options, QEMU_RESTORE);
		assert_string_equal(saved, boot);
		assert_string_equal(restored, boot);
	}
}

static void test_arguments_refused(void **state)
{
	struct error err;
	struct qemu_args args;
	struct vm_options options = plain_options;
	(void)state;
	options.memory_mib = 0;
	assert_int_equal(qemu_args_make(&args, &options, VM_ACCEL_TCG, QEMU_BOOT, &err), -EINVAL);
	assert_int_equal(err.kind, ERROR_SPEC);
	options = plain_options;
	options.cpus = 0;
	assert_int_equal(qemu_args_make(&args, &options, VM_ACCEL_TCG, QEMU_BOOT, &err), -EINVAL);
	assert_int_equal(err.kind, ERROR_SPEC);
}

/* Ring */

static void test_ring_keeps_the_end(void **state)
{
	cleanup_free struct ring *ring = xcalloc(1, sizeof(*ring));
	cleanup_buffer struct buffer all = {0};
	struct random random = {.state = random_seed()};
	(void)state;
	for (unsigned round = 0; round < 200; round++) {
		uint8_t piece[3000];
		size_t len =
			random_below(&random, 100) == 0 ? 0 : random_below(&random, sizeof(piece));
		for (size_t i = 0; i < len; i++)
			piece[i] = (uint8_t)random_below(&random, 256);
		ring_add(ring, piece, len);
		buffer_add(&all, piece, len);
	}
	cleanup_free uint8_t *big = xmalloc(RING_SIZE + 77);
	for (size_t i = 0; i < RING_SIZE + 77; i++)
		big[i] = (uint8_t)random_below(&random, 256);
	size_t at[] = {all.len, all.len + RING_SIZE + 77};
	for (size_t turn = 0; turn < COUNT(at); turn++) {
		if (turn == 1) {
			ring_add(ring, big, RING_SIZE + 77);
			buffer_add(&all, big, RING_SIZE + 77);
		}
		assert_int_equal(ring->len, RING_SIZE);
		for (size_t i = 0; i < RING_SIZE; i++)
			assert_int_equal((uint8_t)ring->bytes[(ring->start + i) % RING_SIZE],
				all.data[at[turn] - RING_SIZE + i]);
	}
}

static void test_ring_tail(void **state)
{
	static const struct {
		const char *bytes;
		size_t lines;
		const char *tail;
	} rows[] = {
		{"", 3, ""},
		{"a", 3, "a\n"},
		{"a\nb\nc\nd\n", 2, "c\nd\n"},
		{"a\nb\nc\nd", 2, "c\nd\n"},
		{"a\r\n\r\n\nb\r\n", 5, "a\nb\n"},
		{"\033[2J\033[1;1Hx\033[0my\033cz\033", 5, "xyz\n"},
		{"\033[12", 5, ""},
		{"t\ta\x01\x7f\xff", 5, "t?a???\n"},
		{"a\nb\n", 0, ""},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		cleanup_free struct ring *ring = xcalloc(1, sizeof(*ring));
		ring_add(ring, rows[i].bytes, strlen(rows[i].bytes));
		cleanup_free char *tail = ring_tail(ring, rows[i].lines);
		assert_string_equal(tail, rows[i].tail);
	}
}

static void test_ring_long_line(void **state)
{
	cleanup_free struct ring *ring = xcalloc(1, sizeof(*ring));
	char line[1000];
	char cut[202];
	(void)state;
	memset(line, 'x', sizeof(line));
	ring_add(ring, line, sizeof(line));
	memset(cut, 'x', 200);
	memcpy(cut + 200, "\n", 2);
	cleanup_free char *tail = ring_tail(ring, 9);
	assert_string_equal(tail, cut);
}

static void test_ring_find(void **state)
{
	static const char text[] = "Kernel panic - one\nfoo\n[ 1.0] Kernel panic - two\rx\nbar\n";
	cleanup_free struct ring *ring = xcalloc(1, sizeof(*ring));
	(void)state;
	ring_add(ring, text, sizeof(text) - 1);
	cleanup_free char *found = ring_find(ring, "Kernel panic - ");
	assert_string_equal(found, "Kernel panic - twox");
	assert_null(ring_find(ring, "kernel panic"));
}

/* Guest files */

static void make_file(const char *folder, const char *name)
{
	cleanup_free char *path = xasprintf("%s/%s", folder, name);
	cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
}

static void remove_file(const char *folder, const char *name)
{
	cleanup_free char *path = xasprintf("%s/%s", folder, name);
	assert_return_code(unlink(path), errno);
}

static void test_guest_files(void **state)
{
	struct error err;
	cleanup_guest_files struct guest_files files = {0};
	char folder[] = "/tmp/layervm-vm-XXXXXX";
	(void)state;
	assert_non_null(mkdtemp(folder));
	setenv("LAYERVM_GUEST_DIR", folder, 1);
	make_file(folder, "vmlinux");
	assert_int_equal(guest_files_find(&files, &err), -ENOENT);
	assert_int_equal(err.kind, ERROR_INTERNAL);
	assert_non_null(strstr(err.message, folder));
	make_file(folder, "initramfs.cpio");
	assert_int_equal(guest_files_find(&files, &err), -ENOENT);
	make_file(folder, "unpack.cpio");
	assert_int_equal(guest_files_find(&files, &err), 0);
	cleanup_free char *kernel = xasprintf("%s/vmlinux", folder);
	cleanup_free char *initrd = xasprintf("%s/initramfs.cpio", folder);
	cleanup_free char *unpack_initrd = xasprintf("%s/unpack.cpio", folder);
	assert_string_equal(files.kernel, kernel);
	assert_string_equal(files.initrd, initrd);
	assert_string_equal(files.unpack_initrd, unpack_initrd);
	remove_file(folder, "vmlinux");
	remove_file(folder, "initramfs.cpio");
	remove_file(folder, "unpack.cpio");
	assert_return_code(rmdir(folder), errno);

	/* Beside a test program there are none. */
	unsetenv("LAYERVM_GUEST_DIR");
	struct guest_files none;
	assert_int_equal(guest_files_find(&none, &err), -ENOENT);
	assert_non_null(strstr(err.message, "/../share/layervm nor in "));
	assert_non_null(strstr(err.message, "scripts/setup"));
	assert_null(none.kernel);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_arguments),
		cmocka_unit_test(test_arguments_saved),
		cmocka_unit_test(test_arguments_further_disks),
		cmocka_unit_test(test_arguments_extras),
		cmocka_unit_test(test_arguments_saved_set),
		cmocka_unit_test(test_devices_are_the_same),
		cmocka_unit_test(test_arguments_refused),
		cmocka_unit_test(test_ring_keeps_the_end),
		cmocka_unit_test(test_ring_tail),
		cmocka_unit_test(test_ring_long_line),
		cmocka_unit_test(test_ring_find),
		cmocka_unit_test(test_guest_files),
	};
	return cmocka_run_group_tests_name("vm", tests, NULL, NULL);
}
