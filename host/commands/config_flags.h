/* The flags of `layervm build` that set parts of the spec's `config`. */
#ifndef LAYERVM_COMMANDS_CONFIG_FLAGS_H
#define LAYERVM_COMMANDS_CONFIG_FLAGS_H

#include "spec/spec.h"
#include "support/error.h"

/*
 * Each takes the flag's value, in UTF-8, into spec->config, which is made where there is none.
 * env: NAME=VALUE, in the place of an earlier one of that name. label: NAME=VALUE or NAME.
 * cmd, entrypoint: see value_command. workdir, volume: absolute paths. expose: PORT, "/tcp" is
 * added where it has no protocol.
 */
int config_flag_env(struct build_spec *spec, const char *value, struct error *err);
int config_flag_label(struct build_spec *spec, const char *value, struct error *err);
int config_flag_cmd(struct build_spec *spec, const char *value, struct error *err);
int config_flag_entrypoint(struct build_spec *spec, const char *value, struct error *err);
int config_flag_user(struct build_spec *spec, const char *value, struct error *err);
int config_flag_workdir(struct build_spec *spec, const char *value, struct error *err);
int config_flag_expose(struct build_spec *spec, const char *value, struct error *err);
int config_flag_volume(struct build_spec *spec, const char *value, struct error *err);

#endif
