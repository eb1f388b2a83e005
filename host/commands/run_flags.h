/*
 * The flags for what a guest gets besides the image, the same for every command that starts one:
 * --mount, --secret, --network, --add-host.
 */
#ifndef LAYERVM_COMMANDS_RUN_FLAGS_H
#define LAYERVM_COMMANDS_RUN_FLAGS_H

#include "spec/extras.h"
#include "support/error.h"

/*
 * Each is laid over what is in extras, a struct guest_extras_spec *: usable as the take of a
 * struct field_flag. Errors do not name the flag.
 *
 * --mount takes fields as docker-build(1) has them, one line of CSV (RFC 4180): KEY=VALUE or KEY,
 * separated by commas; a field with a comma or a quote in it is quoted as a whole.
 */
int run_flag_mount(void *extras, const char *value, struct error *err);
int run_flag_secret(void *extras, const char *value, struct error *err);
int run_flag_network(void *extras, const char *value, struct error *err);
int run_flag_add_host(void *extras, const char *value, struct error *err);

#define RUN_FLAGS_COUNT 4

/* ROW(name, argument, function, help) for each of them, in the order of --help. */
#define RUN_FLAGS(ROW)                                                                             \
	ROW("mount", "type=TYPE,dst=PATH,...", run_flag_mount,                                     \
		"type bind: a folder (src=DIR, rw=true); cache: kept from run to run (id=ID); "    \
		"tmpfs (size=SIZE); may come again (mounts)"),                                     \
		ROW("secret", "id=ID,src=FILE", run_flag_secret,                                   \
			"a file at /run/secrets/ID for the run alone, or env=NAME for src; may "   \
			"come again (secrets)"),                                                   \
		ROW("network", "none|user", run_flag_network,                                      \
			"user: out to the host's networks, by passt; else none (network)"),        \
		ROW("add-host", "HOST:IP", run_flag_add_host,                                      \
			"a line in the guest's /etc/hosts; may come again")

#endif
