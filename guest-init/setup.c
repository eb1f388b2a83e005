#include "setup.h"

int setup_take(struct setup *setup, const struct frame *frame, struct fault *fault)
{
	switch (frame->type) {
	case FRAME_NETWORK:
		return network_take(&setup->network, frame->payload, frame->length, fault);
	case FRAME_MOUNT:
		return mounts_take(&setup->mounts, frame->payload, frame->length, fault);
	case FRAME_SECRET:
		return secrets_take(&setup->secrets, frame->payload, frame->length, fault);
	default:
		return fault_set(fault, "frame of type %d from the host, where the run is set up",
			(int)frame->type);
	}
}

int setup_prepare(struct setup *setup, struct fault *fault)
{
	if (network_prepare(&setup->network, fault) < 0)
		return -1;
	return mounts_prepare(&setup->mounts, fault);
}

/* Secrets come last: one of the mounts may lie over /run. */
int setup_surround(const struct setup *setup, struct fault *fault)
{
	if (mounts_surround(&setup->mounts, fault) < 0)
		return -1;
	return secrets_surround(&setup->secrets, fault);
}

int setup_release(struct setup *setup, struct fault *fault)
{
	return mounts_release(&setup->mounts, fault);
}
