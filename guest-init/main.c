/*
 * The guest's init, process 1: from the kernel's start to power off, in the order of main.
 * Knows nothing of images or layers; the host tells it what to do (protocol.h).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "channel.h"
#include "devices.h"
#include "image.h"
#include "job.h"
#include "run.h"
#include "unpacking.h"

static int say_hello(int channel, struct fault *fault)
{
	struct utsname name;
	if (uname(&name) < 0)
		return fault_set_errno(fault, "cannot tell the kernel's release");
	return channel_send(channel, FRAME_HELLO, name.release, strlen(name.release), fault);
}

/* Says how the unmount went, and waits until the host has read it: power off may lose bytes. */
static int say_bye(int channel, struct fault *fault)
{
	struct fault unmount = {0};
	image_unmount(&unmount);
	if (channel_send(channel, FRAME_BYE, unmount.text, strlen(unmount.text), fault) < 0)
		return -1;
	for (;;) {
		cleanup_frame struct frame frame = {0};
		if (channel_receive(channel, &frame, fault) < 0)
			return -1;
		if (frame.type == FRAME_RELEASE)
			return 0;
	}
}

static int work(int channel, struct fault *fault)
{
	struct job job = {0};
	if (say_hello(channel, fault) < 0)
		return -1;
	if (image_mount(fault) < 0)
		return -1;
	if (job_receive(channel, &job, fault) < 0)
		return -1;
	if (job.kind == JOB_UNPACK && unpacking_prepare(fault) < 0)
		return -1;
	if (run_job(channel, &job, fault) < 0)
		return -1;
	return say_bye(channel, fault);
}

static int boot(int *channel, struct fault *fault)
{
	if (devices_prepare(fault) < 0)
		return -1;
	if (devices_load_modules(fault) < 0)
		return -1;
	if (devices_wait_for(DEVICE_DISK, fault) < 0 || devices_wait_for(DEVICE_CHANNEL, fault) < 0)
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

int main(void)
{
	struct fault fault = {0};
	int channel = -1;
	if ((boot(&channel, &fault) < 0 || work(channel, &fault) < 0) &&
		say_failure(channel, &fault) < 0)
		fprintf(stderr, "layervm init: %s\n", fault.text); /* the console is all there is */
	sync();
	reboot(RB_POWER_OFF);
	return EXIT_FAILURE; /* a panic, which the host sees too */
}
