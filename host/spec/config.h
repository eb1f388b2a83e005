/*
 * The `config` attribute: what the Docker Image Specification v1.3.0 ("Image JSON Field
 * Descriptions") and the OCI image-spec (config.md, Properties) list, and the further fields of
 * Docker's container config that images carry.
 */
#ifndef LAYERVM_SPEC_CONFIG_H
#define LAYERVM_SPEC_CONFIG_H

#include <json-c/json.h>
#include <stdbool.h>

#include "support/error.h"
#include "support/report.h"

/*
 * Checks the types of all known keys; a null is taken as "not given". report: gets a warning for
 * every unknown key, with the nearest known one; NULL: no warnings. where: for messages, such as
 * "spec.json: config". Returns 0 or an ERROR_SPEC with what was found and wanted.
 */
int config_check(json_object *config, const char *where, struct report *report, struct error *err);

/* Whether text is a key of ExposedPorts: PORT or PORT-PORT, with /tcp, /udp, /sctp or nothing. */
bool config_is_port(const char *text);

/* Takes out known keys that are null. */
void config_drop_nulls(json_object *config);

#endif
