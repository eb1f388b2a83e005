/*
 * What a guest gets besides the image, of which nothing stays in the layer: mounts, secrets, a
 * network, names of hosts. The same words in SPEC.json and in flags, for every command that
 * starts a guest. Checked as far as that goes without an image.
 */
#ifndef LAYERVM_SPEC_EXTRAS_H
#define LAYERVM_SPEC_EXTRAS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "support/error.h"

enum guest_mount_type {
	GUEST_MOUNT_BIND,  /* a folder of the host */
	GUEST_MOUNT_CACHE, /* a disk that is kept from run to run */
	GUEST_MOUNT_TMPFS, /* the guest's memory */
};

struct guest_mount {
	enum guest_mount_type type;
	char *src;         /* of a bind: the folder, absolute or relative to the working folder */
	char *id;          /* of a cache */
	char *dst;         /* absolute, in the image */
	bool read_only;    /* what is written to a bind that is not is thrown away */
	uint32_t size_mib; /* of a tmpfs; 0: half of the guest's memory */
};

/* A file that scripts find at /run/secrets/ID. One of src and env is set. */
struct guest_secret {
	char *id;
	char *src; /* path */
	char *env; /* name of a variable of layervm's own environment */
};

/* A line of /etc/hosts. */
struct guest_host {
	char *name;
	char *address; /* IPv4 or IPv6, as inet_ntop writes it */
};

enum guest_network { GUEST_NETWORK_NONE, GUEST_NETWORK_USER };

/* All zero is nothing. */
struct guest_extras_spec {
	struct guest_mount *mounts;
	size_t mount_count;
	size_t mount_capacity;
	struct guest_secret *secrets;
	size_t secret_count;
	size_t secret_capacity;
	struct guest_host *hosts;
	size_t host_count;
	size_t host_capacity;
	enum guest_network network;
};

/* How many there may be. */
#define GUEST_MOUNTS_MAX 64
#define GUEST_SECRETS_MAX 64

/* Bytes of all secrets together: they stay in the guest's memory, whatever else needs it. */
#define GUEST_SECRETS_SIZE_MAX (8u << 20)

/* Sizes of a tmpfs, in MiB. */
#define GUEST_TMPFS_MIN 1
#define GUEST_TMPFS_MAX (1024 * 1024)

/*
 * Adds a mount, whose texts become the spec's; it is emptied on failure too. Fails with
 * ERROR_SPEC where it lacks what its type needs or has what its type does not take; where dst is
 * no absolute path, the root, has ".." parts, or is at or below /dev, /proc, /sys or
 * /run/secrets; where another mount has the same dst; and where there are GUEST_MOUNTS_MAX already.
 */
int extras_add_mount(
	struct guest_extras_spec *extras, struct guest_mount *given, struct error *err);

/* As extras_add_mount, up to GUEST_SECRETS_MAX. id: a file's name, no other secret's. */
int extras_add_secret(
	struct guest_extras_spec *extras, struct guest_secret *given, struct error *err);

/*
 * Adds a line of /etc/hosts. text: HOST:IP or HOST=IP; an IPv6 address may be in brackets.
 * Fails with ERROR_SPEC.
 */
int extras_add_host(struct guest_extras_spec *extras, const char *text, struct error *err);

/* Sets the network from its word, "none" or "user". Fails with ERROR_SPEC. */
int extras_set_network(struct guest_extras_spec *extras, const char *word, struct error *err);

/* Sets *type from its word: "bind", "cache" or "tmpfs". Fails with ERROR_SPEC. */
int guest_mount_type_parse(const char *word, enum guest_mount_type *type, struct error *err);

/*
 * That the files and folders that are named can be read, and the variables are set. Fails with
 * ERROR_SPEC.
 */
int extras_check(const struct guest_extras_spec *extras, struct error *err);

/* Whether there is anything but defaults. */
bool extras_any(const struct guest_extras_spec *extras);

void guest_mount_free(struct guest_mount *mount);
#define cleanup_guest_mount __attribute__((cleanup(guest_mount_free)))
void guest_secret_free(struct guest_secret *secret);
#define cleanup_guest_secret __attribute__((cleanup(guest_secret_free)))

/* Frees what it holds; it is empty afterwards. */
void extras_spec_free(struct guest_extras_spec *extras);

#endif
