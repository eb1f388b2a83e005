#include "spec/extras.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "spec/json_text.h"
#include "support/memory.h"

#define PATH_LENGTH_MAX 4095u
#define NAME_LENGTH_MAX 255u

static const char *const type_names[] = {
	[GUEST_MOUNT_BIND] = "bind",
	[GUEST_MOUNT_CACHE] = "cache",
	[GUEST_MOUNT_TMPFS] = "tmpfs",
};

void guest_mount_free(struct guest_mount *mount)
{
	free(mount->src);
	free(mount->id);
	free(mount->dst);
	*mount = (struct guest_mount){0};
}

void guest_secret_free(struct guest_secret *secret)
{
	free(secret->id);
	free(secret->src);
	free(secret->env);
	*secret = (struct guest_secret){0};
}

static struct guest_mount steal_mount(struct guest_mount *mount)
{
	struct guest_mount value = *mount;
	*mount = (struct guest_mount){0};
	return value;
}

static struct guest_secret steal_secret(struct guest_secret *secret)
{
	struct guest_secret value = *secret;
	*secret = (struct guest_secret){0};
	return value;
}

void extras_spec_free(struct guest_extras_spec *extras)
{
	for (size_t i = 0; i < extras->mount_count; i++)
		guest_mount_free(&extras->mounts[i]);
	for (size_t i = 0; i < extras->secret_count; i++)
		guest_secret_free(&extras->secrets[i]);
	for (size_t i = 0; i < extras->host_count; i++) {
		free(extras->hosts[i].name);
		free(extras->hosts[i].address);
	}
	free(extras->mounts);
	free(extras->secrets);
	free(extras->hosts);
	*extras = (struct guest_extras_spec){0};
}

bool extras_any(const struct guest_extras_spec *extras)
{
	return extras->mount_count != 0 || extras->secret_count != 0 || extras->host_count != 0 ||
	       extras->network != GUEST_NETWORK_NONE;
}

int guest_mount_type_parse(const char *word, enum guest_mount_type *type, struct error *err)
{
	for (size_t i = 0; i < sizeof(type_names) / sizeof(type_names[0]); i++) {
		if (strcmp(word, type_names[i]) == 0) {
			*type = (enum guest_mount_type)i;
			return 0;
		}
	}
	cleanup_free char *quoted = json_text_quote(word);
	return error_set(err, ERROR_SPEC, EINVAL,
		"type: is %s, \"bind\", \"cache\" or \"tmpfs\" is wanted", quoted);
}

/* Whether a path has a part that is "..". */
static bool has_dotdot(const char *path)
{
	while (*path != '\0') {
		size_t len = strcspn(path, "/");
		if (len == 2 && path[0] == '.' && path[1] == '.')
			return true;
		path += len;
		path += strspn(path, "/");
	}
	return false;
}

/* The path with single slashes, no "." parts and no slash at its end; "/" is the root. */
static char *tidy_path(const char *path)
{
	char *tidy = xmalloc(strlen(path) + 2);
	size_t len = 0;
	while (*path != '\0') {
		size_t part = strcspn(path, "/");
		if (part != 0 && !(part == 1 && path[0] == '.')) {
			tidy[len++] = '/';
			memcpy(tidy + len, path, part);
			len += part;
		}
		path += part;
		path += strspn(path, "/");
	}
	if (len == 0)
		tidy[len++] = '/';
	tidy[len] = '\0';
	return tidy;
}

static int check_dst(const char *dst, struct error *err)
{
	static const char *const taken[] = {"/dev", "/proc", "/run/secrets", "/sys"};
	if (dst[0] != '/' || has_dotdot(dst) || strlen(dst) > PATH_LENGTH_MAX) {
		cleanup_free char *quoted = json_text_quote(dst);
		return error_set(err, ERROR_SPEC, EINVAL,
			"dst: is %s, an absolute path without \"..\" and of %u bytes at most is "
			"wanted",
			quoted, PATH_LENGTH_MAX);
	}
	cleanup_free char *tidy = tidy_path(dst);
	if (strcmp(tidy, "/") == 0)
		return error_set(err, ERROR_SPEC, EINVAL,
			"dst: is the root, over which nothing can be mounted");
	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
		size_t len = strlen(taken[i]);
		if (strncmp(tidy, taken[i], len) == 0 && (tidy[len] == '/' || tidy[len] == '\0'))
			return error_set(err, ERROR_SPEC, EINVAL,
				"dst: is %s, but what is at %s is the guest's own", tidy, taken[i]);
	}
	return 0;
}

static int check_fields(const struct guest_mount *mount, struct error *err)
{
	const char *type = type_names[mount->type];
	const struct {
		const char *name;
		const char *value;
		bool needed, taken;
	} fields[] = {
		{"dst", mount->dst, true, true},
		{"src", mount->src, mount->type == GUEST_MOUNT_BIND,
			mount->type == GUEST_MOUNT_BIND},
		{"id", mount->id, mount->type == GUEST_MOUNT_CACHE,
			mount->type == GUEST_MOUNT_CACHE},
		{"size", mount->size_mib != 0 ? "" : NULL, false, mount->type == GUEST_MOUNT_TMPFS},
	};
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		if (fields[i].value != NULL && !fields[i].taken)
			return error_set(err, ERROR_SPEC, EINVAL, "%s: a mount of type %s has none",
				fields[i].name, type);
		if (fields[i].needed && (fields[i].value == NULL || *fields[i].value == '\0'))
			return error_set(err, ERROR_SPEC, EINVAL,
				"%s: is missing; a mount of type %s needs it", fields[i].name,
				type);
	}
	if (mount->size_mib > GUEST_TMPFS_MAX)
		return error_set(err, ERROR_SPEC, ERANGE, "size: is %u MiB, %d to %d are possible",
			mount->size_mib, GUEST_TMPFS_MIN, GUEST_TMPFS_MAX);
	return check_dst(mount->dst, err);
}

int extras_add_mount(struct guest_extras_spec *extras, struct guest_mount *given, struct error *err)
{
	cleanup_guest_mount struct guest_mount mount = steal_mount(given);
	int r = check_fields(&mount, err);
	if (r < 0)
		return r;
	char *tidy = tidy_path(mount.dst);
	free(mount.dst);
	mount.dst = tidy;
	for (size_t i = 0; i < extras->mount_count; i++) {
		if (strcmp(extras->mounts[i].dst, mount.dst) == 0)
			return error_set(err, ERROR_SPEC, EEXIST,
				"dst: is %s, where another mount is already", mount.dst);
	}
	if (extras->mount_count == GUEST_MOUNTS_MAX)
		return error_set(err, ERROR_SPEC, E2BIG,
			"there are %d mounts already, which is the most that are possible",
			GUEST_MOUNTS_MAX);
	extras->mounts = array_grow(extras->mounts, extras->mount_count, &extras->mount_capacity,
		sizeof(*extras->mounts));
	extras->mounts[extras->mount_count++] = steal_mount(&mount);
	return 0;
}

/* Whether text can name a file in a folder. */
static bool is_file_name(const char *text)
{
	return *text != '\0' && strlen(text) <= NAME_LENGTH_MAX && strchr(text, '/') == NULL &&
	       strcmp(text, ".") != 0 && strcmp(text, "..") != 0;
}

int extras_add_secret(
	struct guest_extras_spec *extras, struct guest_secret *given, struct error *err)
{
	cleanup_guest_secret struct guest_secret secret = steal_secret(given);
	if (secret.id == NULL || !is_file_name(secret.id)) {
		cleanup_free char *quoted =
			secret.id == NULL ? xstrdup("missing") : json_text_quote(secret.id);
		return error_set(err, ERROR_SPEC, EINVAL,
			"id: is %s, the name of a file in /run/secrets is wanted", quoted);
	}
	bool has_src = secret.src != NULL && *secret.src != '\0';
	bool has_env = secret.env != NULL && *secret.env != '\0';
	if (has_src == has_env)
		return error_set(err, ERROR_SPEC, EINVAL,
			"secret %s: one of src, a file, and env, a variable, is wanted, here %s",
			secret.id, has_src ? "are both" : "is none");
	for (size_t i = 0; i < extras->secret_count; i++) {
		if (strcmp(extras->secrets[i].id, secret.id) == 0)
			return error_set(err, ERROR_SPEC, EEXIST,
				"id: is %s, as another secret's is", secret.id);
	}
	if (extras->secret_count == GUEST_SECRETS_MAX)
		return error_set(err, ERROR_SPEC, E2BIG,
			"there are %d secrets already, which is the most that are possible",
			GUEST_SECRETS_MAX);
	extras->secrets = array_grow(extras->secrets, extras->secret_count,
		&extras->secret_capacity, sizeof(*extras->secrets));
	extras->secrets[extras->secret_count++] = steal_secret(&secret);
	return 0;
}

/* The address as inet_ntop writes it, NULL where text is none. The caller frees it. */
static char *parse_address(const char *text)
{
	uint8_t bytes[16];
	char normal[INET6_ADDRSTRLEN];
	size_t len = strlen(text);
	bool in_brackets = len > 2 && text[0] == '[' && text[len - 1] == ']';
	cleanup_free char *bare = in_brackets ? xstrndup(text + 1, len - 2) : xstrndup(text, len);
	if (!in_brackets && inet_pton(AF_INET, bare, bytes) == 1)
		return steal_ptr(&bare);
	if (inet_pton(AF_INET6, bare, bytes) == 1 &&
		inet_ntop(AF_INET6, bytes, normal, sizeof(normal)) != NULL)
		return xstrdup(normal);
	return NULL;
}

/* A name of a host as hosts(5) can hold it. */
static bool is_host_name(const char *text)
{
	size_t len =
		strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_");
	return len > 0 && len <= NAME_LENGTH_MAX && text[len] == '\0' && text[0] != '-';
}

int extras_add_host(struct guest_extras_spec *extras, const char *text, struct error *err)
{
	size_t len = strcspn(text, ":=");
	cleanup_free char *name = xstrndup(text, len);
	cleanup_free char *address = text[len] != '\0' ? parse_address(text + len + 1) : NULL;
	if (address == NULL || !is_host_name(name)) {
		cleanup_free char *quoted = json_text_quote(text);
		return error_set(err, ERROR_SPEC, EINVAL,
			"is %s, HOST:IP is wanted, with an IPv4 or IPv6 address", quoted);
	}
	extras->hosts = array_grow(
		extras->hosts, extras->host_count, &extras->host_capacity, sizeof(*extras->hosts));
	extras->hosts[extras->host_count++] =
		(struct guest_host){.name = steal_ptr(&name), .address = steal_ptr(&address)};
	return 0;
}

int extras_set_network(struct guest_extras_spec *extras, const char *word, struct error *err)
{
	if (strcmp(word, "none") == 0) {
		extras->network = GUEST_NETWORK_NONE;
		return 0;
	}
	if (strcmp(word, "user") == 0) {
		extras->network = GUEST_NETWORK_USER;
		return 0;
	}
	cleanup_free char *quoted = json_text_quote(word);
	return error_set(err, ERROR_SPEC, EINVAL, "is %s, \"none\" or \"user\" is wanted", quoted);
}

static int check_bind(const char *src, struct error *err)
{
	struct stat st;
	if (stat(src, &st) < 0)
		return error_set_errno(err, ERROR_SPEC, "mounts: src: %s", src);
	if (!S_ISDIR(st.st_mode))
		return error_set(err, ERROR_SPEC, ENOTDIR,
			"mounts: src: %s: is no folder; copy a file into one, or bring it as a "
			"secret",
			src);
	if (access(src, R_OK | X_OK) < 0)
		return error_set_errno(err, ERROR_SPEC, "mounts: src: %s: cannot read", src);
	return 0;
}

static int check_secret(const struct guest_secret *secret, struct error *err)
{
	if (secret->env != NULL && getenv(secret->env) == NULL)
		return error_set(err, ERROR_SPEC, ENOENT,
			"secrets: %s: the variable %s is not set in the environment", secret->id,
			secret->env);
	if (secret->src != NULL && access(secret->src, R_OK) < 0)
		return error_set_errno(err, ERROR_SPEC, "secrets: %s: %s", secret->id, secret->src);
	return 0;
}

int extras_check(const struct guest_extras_spec *extras, struct error *err)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < extras->mount_count; i++) {
		if (extras->mounts[i].type == GUEST_MOUNT_BIND)
			r = check_bind(extras->mounts[i].src, err);
	}
	for (size_t i = 0; r == 0 && i < extras->secret_count; i++)
		r = check_secret(&extras->secrets[i], err);
	return r;
}
