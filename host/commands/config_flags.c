#include "commands/config_flags.h"

#include <errno.h>
#include <string.h>

#include "commands/flag_values.h"
#include "spec/config.h"
#include "spec/json_text.h"
#include "support/memory.h"

static json_object *config_of(struct build_spec *spec)
{
	if (spec->config == NULL)
		spec->config = json_object_new_object();
	return spec->config;
}

/* A member of the config, made where it is missing. spec_read has checked the type of others. */
static json_object *member(struct build_spec *spec, const char *name, json_object *(*make)(void))
{
	json_object *value = NULL;
	if (!json_object_object_get_ex(config_of(spec), name, &value) || value == NULL) {
		value = make();
		json_object_object_add(spec->config, name, value);
	}
	return value;
}

static int unfit(const char *value, const char *wanted, struct error *err)
{
	cleanup_free char *quoted = json_text_quote(value);
	return error_set(err, ERROR_USAGE, EINVAL, "is %s, %s is wanted", quoted, wanted);
}

int config_flag_env(struct build_spec *spec, const char *value, struct error *err)
{
	const char *equals = strchr(value, '=');
	if (equals == NULL || equals == value)
		return unfit(value, "NAME=VALUE", err);
	json_object *env = member(spec, "Env", json_object_new_array);
	size_t name_len = (size_t)(equals - value) + 1;
	for (size_t i = 0; i < json_object_array_length(env); i++) {
		const char *old = json_object_get_string(json_object_array_get_idx(env, i));
		if (strncmp(old, value, name_len) == 0) {
			json_object_array_put_idx(env, i, json_object_new_string(value));
			return 0;
		}
	}
	json_object_array_add(env, json_object_new_string(value));
	return 0;
}

int config_flag_label(struct build_spec *spec, const char *value, struct error *err)
{
	size_t name_len = strcspn(value, "=");
	if (name_len == 0)
		return unfit(value, "NAME=VALUE", err);
	cleanup_free char *name = xstrndup(value, name_len);
	const char *text = value[name_len] == '=' ? value + name_len + 1 : "";
	json_object_object_add(
		member(spec, "Labels", json_object_new_object), name, json_object_new_string(text));
	return 0;
}

static int set_command(
	struct build_spec *spec, const char *name, const char *value, struct error *err)
{
	json_object *command = NULL;
	int r = value_command(value, &command, err);
	if (r == 0)
		json_object_object_add(config_of(spec), name, command);
	return r;
}

int config_flag_cmd(struct build_spec *spec, const char *value, struct error *err)
{
	return set_command(spec, "Cmd", value, err);
}

int config_flag_entrypoint(struct build_spec *spec, const char *value, struct error *err)
{
	return set_command(spec, "Entrypoint", value, err);
}

int config_flag_user(struct build_spec *spec, const char *value, struct error *err)
{
	if (*value == '\0')
		return unfit(value, "USER, UID, USER:GROUP or UID:GID", err);
	json_object_object_add(config_of(spec), "User", json_object_new_string(value));
	return 0;
}

int config_flag_workdir(struct build_spec *spec, const char *value, struct error *err)
{
	if (*value != '/')
		return unfit(value, "an absolute path in the image", err);
	json_object_object_add(config_of(spec), "WorkingDir", json_object_new_string(value));
	return 0;
}

int config_flag_expose(struct build_spec *spec, const char *value, struct error *err)
{
	if (!config_is_port(value))
		return unfit(
			value, "PORT, PORT/tcp, PORT/udp or PORT/sctp (PORT: 0 to 65535)", err);
	cleanup_free char *port =
		xasprintf("%s%s", value, strchr(value, '/') == NULL ? "/tcp" : "");
	json_object_object_add(member(spec, "ExposedPorts", json_object_new_object), port,
		json_object_new_object());
	return 0;
}

int config_flag_volume(struct build_spec *spec, const char *value, struct error *err)
{
	if (*value != '/')
		return unfit(value, "an absolute path in the image", err);
	json_object_object_add(
		member(spec, "Volumes", json_object_new_object), value, json_object_new_object());
	return 0;
}
