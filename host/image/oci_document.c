#include "image/oci_document.h"

#include <errno.h>
#include <string.h>

#include "image/json_safe.h"
#include "support/memory.h"

enum oci_kind oci_type_kind(const char *media_type)
{
	static const struct {
		const char *media_type;
		enum oci_kind kind;
	} types[] = {
		{"application/vnd.oci.image.manifest.v1+json", OCI_MANIFEST},
		{"application/vnd.docker.distribution.manifest.v2+json", OCI_MANIFEST},
		{"application/vnd.oci.image.index.v1+json", OCI_INDEX},
		{"application/vnd.docker.distribution.manifest.list.v2+json", OCI_INDEX},
	};
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (strcmp(types[i].media_type, media_type) == 0)
			return types[i].kind;
	}
	return OCI_UNKNOWN;
}

/* Go's readers, which most are, take null for a key that is not there. */
static bool has(json_object *document, const char *key)
{
	json_object *value = NULL;
	return json_object_object_get_ex(document, key, &value) && value != NULL;
}

static const char *kind_name(enum oci_kind kind)
{
	return kind == OCI_INDEX ? "an index" : "a manifest";
}

static int check_version(json_object *document, const char *what, struct error *err)
{
	json_object *version;
	int r = json_get(
		document, "schemaVersion", json_type_int, what, ERROR_INPUT, &version, err);
	if (r < 0)
		return r;
	if (has(document, "fsLayers"))
		return error_set(err, ERROR_INPUT, ENOTSUP,
			"%s: is a manifest of Docker's schema 1, which is not read; docker pull or "
			"skopeo copy make one of schema 2",
			what);
	/* Old writers left it out. */
	if (version == NULL || json_object_get_int64(version) == 2)
		return 0;
	return error_set(err, ERROR_INPUT, ENOTSUP, "%s: schemaVersion: expected 2, found %s", what,
		json_object_get_string(version));
}

static int kind_by_content(
	json_object *document, const char *what, enum oci_kind *kind, struct error *err)
{
	static const char *const manifest_keys[] = {"config", "layers"};
	*kind = has(document, "manifests") ? OCI_INDEX : OCI_UNKNOWN;
	for (size_t i = 0; i < 2; i++) {
		if (!has(document, manifest_keys[i]))
			continue;
		if (*kind == OCI_INDEX)
			return error_set(err, ERROR_INPUT, EINVAL,
				"%s: has both \"manifests\" of an index and \"%s\" of a manifest, "
				"so that readers differ in what the image is",
				what, manifest_keys[i]);
	}
	if (*kind == OCI_UNKNOWN && (has(document, "config") || has(document, "layers")))
		*kind = OCI_MANIFEST;
	return 0;
}

/* Compares what the document holds with what is said of it. whose: for messages. */
static int check_type(
	enum oci_kind *kind, const char *media_type, const char *whose, struct error *err)
{
	enum oci_kind said = oci_type_kind(media_type);
	if (media_type[0] == '\0')
		return 0;
	if (said == OCI_UNKNOWN)
		return error_set(err, ERROR_INPUT, EMEDIUMTYPE,
			"%s: %s stands for neither a manifest nor an index", whose, media_type);
	if (*kind == OCI_UNKNOWN)
		*kind = said;
	if (*kind == said)
		return 0;
	return error_set(err, ERROR_INPUT, EINVAL, "%s: %s stands for %s, but this is %s", whose,
		media_type, kind_name(said), kind_name(*kind));
}

int oci_document_kind(json_object *document, const char *media_type, const char *what,
	enum oci_kind *kind, struct error *err)
{
	json_object *value;
	cleanup_free char *own = xasprintf("%s: mediaType", what);
	cleanup_free char *others = xasprintf("%s: its descriptor's mediaType", what);
	int r = json_get(document, "mediaType", json_type_string, what, ERROR_INPUT, &value, err);
	const char *text = r == 0 && value != NULL ? json_object_get_string(value) : "";
	if (r == 0)
		r = check_version(document, what, err);
	if (r == 0)
		r = kind_by_content(document, what, kind, err);
	if (r == 0)
		r = check_type(kind, text, own, err);
	if (r == 0)
		r = check_type(kind, media_type, others, err);
	if (r == 0 && *text != '\0' && *media_type != '\0' && strcmp(text, media_type) != 0)
		r = error_set(err, ERROR_INPUT, EINVAL, "%s: expected %s, found %s", own,
			media_type, text);
	if (r == 0 && *kind == OCI_UNKNOWN)
		r = error_set(err, ERROR_INPUT, EINVAL,
			"%s: has neither \"manifests\" of an index nor \"config\" of a manifest",
			what);
	return r;
}
