/*
 * The guest's init, process 1: from the kernel's start to power off, in the order of main.
 * Knows nothing of images or layers; the host tells it what to do (protocol.h).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "channel.h"
#include "devices.h"
#include "hosts.h"
#include "image.h"
#include "job.h"
#include "modules.h"
#include "run.h"
#include "setup.h"
#include "unpacking.h"

#define SECOND INT64_C(1000000000) /* nanoseconds */

static int say_hello(int channel, struct fault *fault)
{
	struct utsname name;
	if (uname(&name) < 0)
		return fault_set_errno(fault, "cannot tell the kernel's release");
	return channel_send(channel, FRAME_HELLO, name.release, strlen(name.release), fault);
}

static int64_t nanoseconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * SECOND + now.tv_nsec;
}

/*
 * Asks the host for the time. It told it somewhere between the question and the answer, which may
 * take long where the host is busy; in the middle it is off by half of that at most.
 */
static int set_clock(int channel, struct fault *fault)
{
	cleanup_frame struct frame frame = {0};
	int64_t asked = nanoseconds();
	if (channel_send(channel, FRAME_AWAKE, NULL, 0, fault) < 0 ||
		channel_receive(channel, &frame, fault) < 0)
		return -1;
	if (frame.type != FRAME_CLOCK || frame.length != CLOCK_SIZE)
		return fault_set(fault,
			"frame of type %d and length %u from the host, where the time is expected",
			(int)frame.type, frame.length);
	const uint8_t *payload = (const uint8_t *)frame.payload;
	uint64_t seconds = protocol_get_u32(payload) | (uint64_t)protocol_get_u32(payload + 4)
							       << 32;
	int64_t rest = protocol_get_u32(payload + 8) + (nanoseconds() - asked) / 2;
	return devices_set_clock(
		seconds + (uint64_t)(rest / SECOND), (uint32_t)(rest % SECOND), fault);
}

/*
 * Waits for the host. Years may pass here, and this be one of many copies of a guest that was
 * saved meanwhile, with another disk.
 */
static int wait_for_host(int channel, struct fault *fault)
{
	cleanup_frame struct frame frame = {0};
	if (channel_receive(channel, &frame, fault) < 0)
		return -1;
	if (frame.type != FRAME_WAKE)
		return fault_set(fault, "frame of type %d from the host before it woke the guest",
			(int)frame.type);
	if (devices_forget_disks(fault) < 0)
		return -1;
	return set_clock(channel, fault);
}

/*
 * Says how the unmount went, and waits for the host to end QEMU, which is sooner done than a power
 * off. What comes from the host until then is nothing that counts any more.
 */
static int say_bye(int channel, struct setup *setup, struct hosts *hosts, struct volume *image,
	struct fault *fault)
{
	struct fault unmount = {0};
	struct fault other = {0};
	setup_release(setup, &unmount);
	if (hosts_restore(hosts, &other) < 0)
		unmount = other;
	if (volume_release(image, &other) < 0)
		unmount = other;
	if (channel_send(channel, FRAME_BYE, unmount.text, strlen(unmount.text), fault) < 0)
		return -1;
	for (;;) {
		cleanup_frame struct frame frame = {0};
		if (channel_receive(channel, &frame, fault) < 0)
			return -1;
	}
}

/* Does the next job. Returns an enum job_next, or -1. */
static int do_job(struct runner *runner, bool first, struct setup *setup, struct fault *fault)
{
	cleanup_job struct job job = {0};
	int next = job_receive(runner->channel, !first, setup, &job, fault);
	if (next != JOB_TO_RUN)
		return next;
	int r = first ? setup_prepare(setup, fault) : run_prepare(runner, fault);
	if (r < 0)
		return -1;
	if (job.kind == JOB_UNPACK && unpacking_prepare(fault) < 0)
		return -1;
	return run_job(runner, &job, fault);
}

static int work(int channel, struct fault *fault)
{
	struct setup setup = {0};
	struct hosts hosts = HOSTS_NONE;
	struct runner runner;
	struct volume image;
	if (run_init(&runner, channel, fault) < 0)
		return -1;
	if (say_hello(channel, fault) < 0 || wait_for_host(channel, fault) < 0)
		return -1;
	if (image_mount(&image, fault) < 0 || hosts_put(&hosts, fault) < 0)
		return -1;
	int next = do_job(&runner, true, &setup, fault);
	while (next == JOB_TO_RUN)
		next = do_job(&runner, false, &setup, fault);
	return next < 0 ? -1 : say_bye(channel, &setup, &hosts, &image, fault);
}

static int boot(int *channel, struct fault *fault)
{
	if (devices_prepare(fault) < 0)
		return -1;
	if (devices_load(fault) < 0 || modules_offer(fault) < 0)
		return -1;
	*channel = channel_open(fault);
	return *channel < 0 ? -1 : 0;
}

/* Tells the host why init gives up. Returns once the host has done with it: it ends QEMU. */
static int say_failure(int channel, const struct fault *fault)
{
	struct fault ignored;
	cleanup_frame struct frame frame = {0};
	if (channel < 0 || channel_send(channel, FRAME_FAILURE, fault->text, strlen(fault->text),
				   &ignored) < 0)
		return -1;
	return channel_receive(channel, &frame, &ignored);
}

int main(int argc, char **argv)
{
	struct fault fault = {0};
	int channel = -1;
	if (getpid() != 1)
		return modules_answer(argc, argv);
	if ((boot(&channel, &fault) < 0 || work(channel, &fault) < 0) &&
		say_failure(channel, &fault) < 0)
		fprintf(stderr, "layervm init: %s\n", fault.text); /* the console is all there is */
	sync();
	reboot(RB_POWER_OFF);
	return EXIT_FAILURE; /* a panic, which the host sees too */
}
