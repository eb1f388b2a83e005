#include "vm/qemu_args.h"

#include <errno.h>
#include <inttypes.h>

#include "protocol.h"
#include "support/memory.h"

/*
 * The kernel's command line. Messages of errors and a panic go to the serial port; a panic and an
 * oops end the guest at once. What is left out only costs time here: mitigations guard processes
 * from one another, which all belong to one script, and so does what the kernel would fill with
 * zeros lest they see it; the tests of the kernel's own ciphers; the patching of its locks for a
 * single processor; serial ports that are not there. The kernel's test of its timer counts ticks
 * against its own speed, and panics where the host is busy. Programs lie at the same addresses in
 * every process (norandmaps): TCG finds what it has translated by its address, and a script of many
 * short processes takes a third of the time.
 */
#define KERNEL_ARGUMENTS                                                                           \
	"console=ttyS0 quiet panic=-1 oops=panic random.trust_cpu=on mitigations=off "             \
	"cryptomgr.notests noreplace-smp 8250.nr_uarts=1 rcupdate.rcu_expedited=1 no_timer_check " \
	"norandmaps init_on_alloc=0"

/* Arguments that no option changes. */
static const char *const fixed[] = {
	/* Nothing that was not asked for: no configuration files, default devices or displays. */
	"-no-user-config",
	"-nodefaults",
	"-display",
	"none",
	"-monitor",
	"none",
	/* A reset is an end. */
	"-no-reboot",
	/* The guest may break QEMU: then it is still confined. */
	"-sandbox",
	"on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
};

/* Adds an argument, which belongs to args from now on. */
static void give(struct qemu_args *args, char *text)
{
	args->argv = array_grow(args->argv, args->count, &args->capacity, sizeof(*args->argv));
	args->argv[args->count++] = text;
}

static void add(struct qemu_args *args, const char *text)
{
	give(args, xstrdup(text));
}

#define MACHINE "q35,usb=off,vmport=off,sata=off,smbus=off,hpet=off"

/*
 * The guest's memory is a file. Where it is restored all that is written stays in a copy, page by
 * page: what nobody writes is shared by all guests of a template.
 */
static void add_memory(
	struct qemu_args *args, const struct vm_options *options, enum qemu_start start)
{
	add(args, "-object");
	give(args, xasprintf("memory-backend-file,id=memory,mem-path=/proc/self/fd/%d,size=%uM,"
			     "share=%s",
			   QEMU_FD_MEMORY, options->memory_mib, start == QEMU_SAVE ? "on" : "off"));
}

static void add_machine(struct qemu_args *args, const struct vm_options *options,
	enum vm_accel accel, enum qemu_start start)
{
	add(args, "-machine");
	add(args, start == QEMU_BOOT ? MACHINE : MACHINE ",memory-backend=memory");
	add(args, "-accel");
	add(args, accel == VM_ACCEL_KVM ? "kvm" : "tcg,thread=multi");
	add(args, "-cpu");
	/*
	 * Without vmx and svm the guest cannot run guests of its own: many ways out of KVM lead
	 * through what it does for these. Without erms the kernel fills and copies memory by words:
	 * TCG does `rep stosb` and `rep movsb` byte by byte.
	 */
	add(args, accel == VM_ACCEL_KVM ? "host,-vmx,-svm" : "max,-erms,-vmx,-svm");
	add(args, "-smp");
	give(args, xasprintf("%u", options->cpus));
	add(args, "-m");
	give(args, xasprintf("%uM", options->memory_mib));
	if (start != QEMU_BOOT)
		add_memory(args, options, start);
	if (start == QEMU_RESTORE) {
		add(args, "-incoming");
		add(args, "defer");
		return;
	}
	add(args, "-kernel");
	add(args, options->kernel);
	add(args, "-initrd");
	add(args, options->initrd);
	add(args, "-append");
	add(args, KERNEL_ARGUMENTS);
}

/* A file by the number of its descriptor, with a format that is never guessed from its bytes. */
static void add_file(struct qemu_args *args, int fd, const char *name, const char *access)
{
	add(args, "-add-fd");
	give(args, xasprintf("fd=%d,set=%d", fd, fd));
	add(args, "-blockdev");
	give(args, xasprintf("driver=file,node-name=%s,filename=/dev/fdset/%d,locking=off,%s", name,
			   fd, access));
}

static void add_disk_device(struct qemu_args *args, const char *node)
{
	add(args, "-device");
	give(args, xasprintf("virtio-blk-pci,drive=%s,disable-legacy=on,rerror=report,"
			     "werror=report",
			   node));
}

static const char *access_of(bool writable)
{
	return writable ? "read-only=off" : "read-only=on";
}

/*
 * A disk that a guest is saved with: all zeros. Of the one that it finds later it knows how large
 * it is, and whether it can be written.
 */
static void add_saved_disk(struct qemu_args *args, const char *node, bool writable)
{
	add(args, "-blockdev");
	give(args, xasprintf("driver=null-co,node-name=%s,read-zeroes=on,size=%" PRIu64 ",%s", node,
			   VM_DISK_SIZE, access_of(writable)));
	add_disk_device(args, node);
}

/*
 * Flushes of the guest do not reach the host's disk: after a crash of the host the overlay is
 * worth nothing anyway. Errors of the host's disk reach the guest, whose init reports them.
 */
static void add_disk(struct qemu_args *args, enum qemu_start start)
{
	if (start == QEMU_SAVE) {
		add_saved_disk(args, "disk", true);
		return;
	}
	add_file(args, QEMU_FD_DISK, "base-file", "read-only=on");
	add_file(args, QEMU_FD_OVERLAY, "overlay-file", "read-only=off,cache.no-flush=on");
	add(args, "-blockdev");
	add(args, "driver=raw,node-name=base,file=base-file,read-only=on");
	add(args, "-blockdev");
	add(args, "driver=qcow2,node-name=disk,file=overlay-file,backing=base,discard=ignore");
	add_disk_device(args, "disk");
}

/* A disk that is read only, one whose writes go to an overlay, or one that is kept. */
static void add_further_disk(
	struct qemu_args *args, const struct vm_disk *disk, size_t i, enum qemu_start start)
{
	const char *access = access_of(disk->writable);
	cleanup_free char *node = xasprintf("further-%zu", i);
	if (start == QEMU_SAVE) {
		add_saved_disk(args, node, disk->writable || disk->overlay_fd >= 0);
		return;
	}
	cleanup_free char *file = xasprintf("further-file-%zu", i);
	cleanup_free char *raw =
		xasprintf(disk->overlay_fd >= 0 ? "further-base-%zu" : "further-%zu", i);
	add_file(args, QEMU_FD_FURTHER + (int)i, file, access);
	add(args, "-blockdev");
	give(args, xasprintf("driver=raw,node-name=%s,file=%s,%s", raw, file, access));
	if (disk->overlay_fd >= 0) {
		cleanup_free char *overlay = xasprintf("further-overlay-%zu", i);
		add_file(args, QEMU_FD_FURTHER_OVERLAY + (int)i, overlay,
			"read-only=off,cache.no-flush=on");
		add(args, "-blockdev");
		give(args, xasprintf("driver=qcow2,node-name=%s,file=%s,backing=%s,discard=ignore",
				   node, overlay, raw));
	}
	add_disk_device(args, node);
}

/*
 * Packets go over a socket that is inherited; where a guest is saved, to a hub that nobody else is
 * at. The guest needs no boot ROM of the device's.
 */
static void add_network(struct qemu_args *args, enum qemu_start start)
{
	add(args, "-netdev");
	if (start == QEMU_SAVE)
		add(args, "hubport,id=net,hubid=0");
	else
		give(args, xasprintf("stream,id=net,server=off,addr.type=fd,addr.str=%d",
				   QEMU_FD_NETWORK));
	add(args, "-device");
	add(args, "virtio-net-pci,netdev=net,mac=" QEMU_MAC ",disable-legacy=on,romfile=");
}

static void add_channels(struct qemu_args *args)
{
	add(args, "-chardev");
	give(args, xasprintf("socket,id=console,fd=%d", QEMU_FD_CONSOLE));
	add(args, "-serial");
	add(args, "chardev:console");
	add(args, "-chardev");
	give(args, xasprintf("socket,id=channel,fd=%d", QEMU_FD_CHANNEL));
	add(args, "-device");
	add(args, "virtio-serial-pci,disable-legacy=on");
	add(args, "-device");
	add(args, "virtserialport,chardev=channel,name=" PROTOCOL_PORT);
}

static void add_control(struct qemu_args *args)
{
	add(args, "-chardev");
	give(args, xasprintf("socket,id=control,fd=%d", QEMU_FD_CONTROL));
	add(args, "-mon");
	add(args, "chardev=control,mode=control");
}

int qemu_args_make(struct qemu_args *args, const struct vm_options *options, enum vm_accel accel,
	enum qemu_start start, struct error *err)
{
	*args = (struct qemu_args){0};
	if (options->memory_mib == 0 || options->cpus == 0)
		return error_set(err, ERROR_SPEC, EINVAL,
			"a guest with %u MiB of memory and %u CPUs cannot be started",
			options->memory_mib, options->cpus);
	if (options->further_count > VM_FURTHER_MAX)
		return error_set(err, ERROR_INTERNAL, E2BIG,
			"a guest with %zu further disks, at most %d are possible",
			options->further_count, VM_FURTHER_MAX);
	add(args, options->qemu);
	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		add(args, fixed[i]);
	add_machine(args, options, accel, start);
	if (start != QEMU_BOOT)
		add_control(args);
	/* The guest names a port after its device's place: DEVICE_CHANNEL in guest-init/devices.h.
	 */
	add_channels(args);
	/* It names disks by their order: DEVICE_DISK is the first. */
	add_disk(args, start);
	for (size_t i = 0; i < options->further_count; i++)
		add_further_disk(args, &options->further[i], i, start);
	if (options->network != NULL)
		add_network(args, start);
	args->argv = array_grow(args->argv, args->count, &args->capacity, sizeof(*args->argv));
	args->argv[args->count] = NULL;
	return 0;
}

void qemu_args_free(struct qemu_args *args)
{
	for (size_t i = 0; i < args->count; i++)
		free(args->argv[i]);
	free(args->argv);
	*args = (struct qemu_args){0};
}
