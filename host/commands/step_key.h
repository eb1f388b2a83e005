/*
 * When the layer of a script is the same as one that was made before. Takes what was asked for and
 * the base; gives a key, which two builds have in common only if their scripts begin from the same
 * and meet the same. Knows nothing of where layers are kept.
 */
#ifndef LAYERVM_COMMANDS_STEP_KEY_H
#define LAYERVM_COMMANDS_STEP_KEY_H

#include <stdbool.h>

#include "commands/build_options.h"
#include "image/image.h"
#include "support/digest.h"
#include "support/error.h"

/*
 * Whether a script's layer may stand for that of another run. Not where it depends on what no key
 * can hold (a network, the content of cache mounts, the current time as the layer's latest), on
 * what none should hold (secrets), or where somebody wants to see the guest (--keep,
 * --debug-on-failure, a session).
 */
bool step_is_repeatable(const struct build_options *options);

/*
 * The key of a step that is repeatable. base: its layers' diff IDs must stand, verified or not. In
 * the key are the chain ID and the script, with its environment; what is copied and bind mounts,
 * whose files are read (hostdigest); all other mounts, names of hosts, owner, latest time and
 * sizes; which files layervm itself, QEMU, the kernel and the initramfs are. Left out is what
 * decides whether a run ends well, or how soon, but not on its layer: --accel, --timeout,
 * --log-limit. Fails where a file cannot be read, as the run itself would, and when interrupted.
 */
int step_key(const struct build_options *options, const struct image *base, struct digest *key,
	struct error *err);

#endif
