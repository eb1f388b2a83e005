/* mounts, secrets and network of SPEC.json, and the flags for the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands/run_flags.h"
#include "spec/spec.h"
#include "support/buffer.h"
#include "support/memory.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* All that is in extras, a line each. */
static char *dump(const struct guest_extras_spec *extras)
{
	static const char *const types[] = {"bind", "cache", "tmpfs"};
	struct buffer out = {0};
	for (size_t i = 0; i < extras->mount_count; i++) {
		const struct guest_mount *m = &extras->mounts[i];
		buffer_printf(&out, "%s %s %s %s %s %u\n", types[m->type], m->dst,
			m->src != NULL ? m->src : "-", m->id != NULL ? m->id : "-",
			m->read_only ? "ro" : "rw", m->size_mib);
	}
	for (size_t i = 0; i < extras->secret_count; i++) {
		const struct guest_secret *s = &extras->secrets[i];
		buffer_printf(&out, "secret %s %s %s\n", s->id, s->src != NULL ? s->src : "-",
			s->env != NULL ? s->env : "-");
	}
	for (size_t i = 0; i < extras->host_count; i++)
		buffer_printf(
			&out, "host %s %s\n", extras->hosts[i].name, extras->hosts[i].address);
	if (extras->network == GUEST_NETWORK_USER)
		buffer_add_text(&out, "network\n");
	return buffer_steal_text(&out);
}

struct row {
	const char *text;
	const char *expected; /* a dump, or an error's message */
};

static void check_spec(const struct row *row, int wanted)
{
	struct error err = {0};
	cleanup_spec struct build_spec *spec = spec_new();
	cleanup_report struct report *report = report_new(REPORT_QUIET, 2);
	int r = spec_parse(row->text, strlen(row->text), "s", "/folder", spec, report, &err);
	assert_int_equal(r < 0 ? -1 : 0, wanted);
	cleanup_free char *got = r < 0 ? xstrdup(err.message) : dump(&spec->extras);
	assert_string_equal(got, row->expected);
	if (r < 0)
		assert_int_equal(err.kind, ERROR_SPEC);
}

static void test_spec_taken(void **state)
{
	static const struct row rows[] = {
		{"{}", ""},
		{"{\"mounts\": null, \"secrets\": null, \"network\": null}", ""},
		{"{\"mounts\": [], \"secrets\": [], \"network\": \"none\"}", ""},
		{"{\"network\": \"user\"}", "network\n"},
		{"{\"mounts\": [{\"type\": \"bind\", \"src\": \"a\", \"dst\": \"/x/./y//\"}]}",
			"bind /x/y /folder/a - ro 0\n"},
		{"{\"mounts\": [{\"dst\": \"/x\", \"rw\": true, \"src\": \"/a\", \"type\": "
		 "\"bind\"}]}",
			"bind /x /a - rw 0\n"},
		{"{\"mounts\": [{\"type\": \"cache\", \"id\": \"i\", \"dst\": \"/b\"}, {\"type\": "
		 "\"tmpfs\", \"dst\": \"/a\", \"size\": 64, \"id\": null}]}",
			"cache /b - i rw 0\ntmpfs /a - - rw 64\n"},
		{"{\"secrets\": [{\"id\": \"a\", \"src\": \"~/f\"}, {\"id\": \"b\", \"env\": "
		 "\"B\"}]}",
			"secret a /folder/~/f -\nsecret b - B\n"},
		{"{\"mounts\": [{\"type\": \"tmpfs\", \"dst\": \"/run/secretsx\"}, {\"type\": "
		 "\"tmpfs\", \"dst\": \"/device\"}, {\"type\": \"tmpfs\", \"dst\": \"/run\"}]}",
			"tmpfs /run/secretsx - - rw 0\ntmpfs /device - - rw 0\ntmpfs /run - - rw "
			"0\n"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		check_spec(&rows[i], 0);
}

#define MOUNT(rest) "{\"mounts\": [{\"type\": \"tmpfs\", \"dst\": \"/ok\"}, {" rest "}]}"
#define SECRET(rest) "{\"secrets\": [{" rest "}]}"

static void test_spec_refused(void **state)
{
	static const struct row rows[] = {
		{"{\"mounts\": {}}", "s: mounts: is an object ({}), a list of objects is wanted"},
		{"{\"mounts\": [1]}", "s: mounts: entry 1: is the number 1, an object is wanted"},
		{"{\"network\": true}", "s: network: is true, \"none\" or \"user\" is wanted"},
		{"{\"network\": \"host\"}",
			"s: network: is \"host\", \"none\" or \"user\" is wanted"},
		{MOUNT("\"dst\": \"/x\""),
			"s: mounts: entry 2: type: \"bind\", \"cache\" or \"tmpfs\" is wanted"},
		{MOUNT("\"type\": \"ssh\""), "s: mounts: entry 2: type: is \"ssh\", \"bind\", "
					     "\"cache\" or \"tmpfs\" is wanted"},
		{MOUNT("\"type\": \"tmpfs\""), "s: mounts: entry 2: dst: is missing; a mount of "
					       "type tmpfs needs it"},
		{MOUNT("\"type\": \"bind\", \"dst\": \"/x\""),
			"s: mounts: entry 2: src: is missing; a mount of type bind needs it"},
		{MOUNT("\"type\": \"cache\", \"dst\": \"/x\""),
			"s: mounts: entry 2: id: is missing; a mount of type cache needs it"},
		{MOUNT("\"type\": \"tmpfs\", \"dst\": \"/x\", \"src\": \"/y\""),
			"s: mounts: entry 2: src: a mount of type tmpfs has none"},
		{MOUNT("\"type\": \"cache\", \"dst\": \"/x\", \"id\": \"i\", \"size\": 3"),
			"s: mounts: entry 2: size: a mount of type cache has none"},
		{MOUNT("\"type\": \"tmpfs\", \"dst\": \"/x\", \"size\": 0"),
			"s: mounts: entry 2: size: is the number 0, a whole number of MiB from 1 "
			"to 1048576 is wanted"},
		{MOUNT("\"type\": \"tmpfs\", \"dst\": \"/x\", \"rw\": \"no\""),
			"s: mounts: entry 2: rw: is a string (\"no\"), true or false is wanted"},
		{MOUNT("\"type\": \"tmpfs\", \"dts\": \"/x\""),
			"s: mounts: entry 2: \"dts\" is no key of it; did you mean \"dst\"?"},
		{MOUNT("\"type\": \"tmpfs\", \"dst\": \"x\""),
			"s: mounts: entry 2: dst: is \"x\", an absolute path without \"..\" and of "
			"4095 bytes at most is wanted"},
		{MOUNT("\"type\": \"tmpfs\", \"dst\": \"/a/../b\""),
			"s: mounts: entry 2: dst: is \"/a/../b\", an absolute path without \"..\" "
			"and of 4095 bytes at most is wanted"},
		{MOUNT("\"type\": \"tmpfs\", \"dst\": \"/./\""),
			"s: mounts: entry 2: dst: is the root, over which nothing can be mounted"},
		{MOUNT("\"type\": \"tmpfs\", \"dst\": \"/proc\""),
			"s: mounts: entry 2: dst: is /proc, but what is at /proc is the guest's "
			"own"},
		{MOUNT("\"type\": \"tmpfs\", \"dst\": \"//dev/./shm\""),
			"s: mounts: entry 2: dst: is /dev/shm, but what is at /dev is the guest's "
			"own"},
		{MOUNT("\"type\": \"tmpfs\", \"dst\": \"/run/secrets/a\""),
			"s: mounts: entry 2: dst: is /run/secrets/a, but what is at /run/secrets "
			"is the guest's own"},
		{MOUNT("\"type\": \"tmpfs\", \"dst\": \"/ok/\""),
			"s: mounts: entry 2: dst: is /ok, where another mount is already"},
		{SECRET(""),
			"s: secrets: entry 1: id: is missing, the name of a file in /run/secrets "
			"is wanted"},
		{SECRET("\"id\": \"a/b\", \"src\": \"f\""),
			"s: secrets: entry 1: id: is \"a/b\", the name of a file in /run/secrets "
			"is wanted"},
		{SECRET("\"id\": \"..\", \"src\": \"f\""),
			"s: secrets: entry 1: id: is \"..\", the name of a file in /run/secrets is "
			"wanted"},
		{SECRET("\"id\": \"a\""),
			"s: secrets: entry 1: secret a: one of src, a file, and env, a variable, "
			"is wanted, here is none"},
		{SECRET("\"id\": \"a\", \"src\": \"f\", \"env\": \"E\""),
			"s: secrets: entry 1: secret a: one of src, a file, and env, a variable, "
			"is wanted, here are both"},
		{SECRET("\"id\": \"a\", \"src\": \"f\"}, {\"id\": \"a\", \"src\": \"g\""),
			"s: secrets: entry 2: id: is a, as another secret's is"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		check_spec(&rows[i], -1);
}

struct flag_row {
	int (*take)(void *extras, const char *value, struct error *err);
	const char *value;
	const char *expected;
};

static void check_flag(const struct flag_row *row, int wanted)
{
	struct error err = {0};
	struct guest_extras_spec extras = {0};
	int r = row->take(&extras, row->value, &err);
	cleanup_free char *got = r < 0 ? xstrdup(err.message) : dump(&extras);
	assert_string_equal(got, row->expected);
	assert_int_equal(r < 0 ? -1 : 0, wanted);
	extras_spec_free(&extras);
}

static void test_flags_taken(void **state)
{
	static const struct flag_row rows[] = {
		{run_flag_mount, "type=bind,src=a,dst=/x", "bind /x a - ro 0\n"},
		{run_flag_mount, "target=/x,source=-,type=bind,rw", "bind /x - - rw 0\n"},
		{run_flag_mount, "type=bind,src=a,destination=/x,ro=false", "bind /x a - rw 0\n"},
		{run_flag_mount, "type=bind,src=a,dst=/x,readonly=1", "bind /x a - ro 0\n"},
		{run_flag_mount, "type=bind,src=a,dst=/x,rw=0,ro", "bind /x a - ro 0\n"},
		{run_flag_mount, "\"src=a,b\"\"c\",type=bind,dst=/x", "bind /x a,b\"c - ro 0\n"},
		{run_flag_mount, "type=bind,src=k=v,dst=/x", "bind /x k=v - ro 0\n"},
		{run_flag_mount, "type=cache,id=a/b,dst=/x,ro", "cache /x - a/b ro 0\n"},
		{run_flag_mount, "type=tmpfs,dst=/x,size=2g", "tmpfs /x - - rw 2048\n"},
		{run_flag_secret, "id=a,src=f", "secret a f -\n"},
		{run_flag_secret, "env=E,id=a", "secret a - E\n"},
		{run_flag_network, "user", "network\n"},
		{run_flag_network, "none", ""},
		{run_flag_add_host, "a.b:1.2.3.4", "host a.b 1.2.3.4\n"},
		{run_flag_add_host, "a=1.2.3.4", "host a 1.2.3.4\n"},
		{run_flag_add_host, "a:[2001:db8:0::1]", "host a 2001:db8::1\n"},
		{run_flag_add_host, "a:::1", "host a ::1\n"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		check_flag(&rows[i], 0);
}

static void test_flags_refused(void **state)
{
	static const struct flag_row rows[] = {
		{run_flag_mount, "",
			"\"\" is no key of it; there are type, src, dst, id, rw, ro "
			"and size"},
		{run_flag_mount, "dst=/x",
			"type: is missing; type=bind, type=cache or type=tmpfs is wanted"},
		{run_flag_mount, "type=bind,src=a,dst=/x,uid=3",
			"\"uid\" is no key of it; there are type, src, dst, id, rw, ro and size"},
		{run_flag_mount, "type=bind,src=a,src=b,dst=/x", "src: is given twice"},
		{run_flag_mount, "type=bind,src=,dst=/x", "src: is empty"},
		{run_flag_mount, "type=bind,src=a,dst=/x,rw,ro",
			"ro: says something else than another field"},
		{run_flag_mount, "type=bind,src=a,dst=/x,rw=maybe",
			"rw: is \"maybe\", true, false, 1 or 0 is wanted"},
		{run_flag_mount, "type=bind,\"src=a",
			"a quote is not closed at the end of its field"},
		{run_flag_mount, "type=bind,\"src=a\"b,dst=/x",
			"a quote is not closed at the end of its field"},
		{run_flag_mount, "type=bind,src=\"a\",dst=/x",
			"a quote is in the middle of a field; quote the whole field"},
		{run_flag_mount, "type=tmpfs,dst=/x,size=0",
			"size: is \"0\", a number of MiB from 1 to 1048576, or with M, G or T "
			"after it, is wanted"},
		{run_flag_mount, "type=tmpfs,dst=/sys/x",
			"dst: is /sys/x, but what is at /sys is the guest's own"},
		{run_flag_secret, "id=a,file=b",
			"\"file\" is no key of it; there are id, src and env"},
		{run_flag_secret, "src=b",
			"id: is missing, the name of a file in /run/secrets is wanted"},
		{run_flag_network, "slirp", "is \"slirp\", \"none\" or \"user\" is wanted"},
		{run_flag_add_host, "a",
			"is \"a\", HOST:IP is wanted, with an IPv4 or IPv6 "
			"address"},
		{run_flag_add_host, "a:host-gateway",
			"is \"a:host-gateway\", HOST:IP is wanted, with an IPv4 or IPv6 address"},
		{run_flag_add_host, "a b:1.2.3.4",
			"is \"a b:1.2.3.4\", HOST:IP is wanted, with an IPv4 or IPv6 address"},
		{run_flag_add_host, "a:[1.2.3.4]",
			"is \"a:[1.2.3.4]\", HOST:IP is wanted, with an IPv4 or IPv6 address"},
		{run_flag_add_host, ":1.2.3.4",
			"is \":1.2.3.4\", HOST:IP is wanted, with an IPv4 or IPv6 address"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		check_flag(&rows[i], -1);
}

/* More than the guest takes is known before any work. */
static void test_limits(void **state)
{
	static const struct {
		int (*take)(void *extras, const char *value, struct error *err);
		const char *format, *message;
	} rows[] = {
		{run_flag_mount, "type=tmpfs,dst=/%u",
			"there are 64 mounts already, which is the most that are possible"},
		{run_flag_secret, "id=s%u,env=HOME",
			"there are 64 secrets already, which is the most that are possible"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct error err = {0};
		struct guest_extras_spec extras = {0};
		int r = 0;
		unsigned taken = 0;
		while (r == 0 && taken < 100) {
			char value[64];
			snprintf(value, sizeof(value),
				i == 0 ? "type=tmpfs,dst=/%u" : "id=s%u,env=HOME", taken);
			r = rows[i].take(&extras, value, &err);
			taken += r == 0;
		}
		assert_int_equal(taken, 64);
		assert_int_equal(r, -E2BIG);
		assert_string_equal(err.message, rows[i].message);
		extras_spec_free(&extras);
	}
}

/* What is named must be there, before anything starts. */
static void test_check(void **state)
{
	static const struct flag_row rows[] = {
		{run_flag_mount, "type=bind,src=/,dst=/x", ""},
		{run_flag_mount, "type=bind,src=/no-such,dst=/x",
			"mounts: src: /no-such: No such file or directory"},
		{run_flag_mount, "type=bind,src=/etc/passwd,dst=/x",
			"mounts: src: /etc/passwd: is no folder; copy a file into one, or bring it "
			"as a secret"},
		{run_flag_secret, "id=a,src=/no-such",
			"secrets: a: /no-such: No such file or directory"},
		{run_flag_secret, "id=a,env=LAYERVM_TEST_NONE",
			"secrets: a: the variable LAYERVM_TEST_NONE is not set in the "
			"environment"},
		{run_flag_secret, "id=a,env=LAYERVM_TEST_ONE", ""},
	};
	(void)state;
	setenv("LAYERVM_TEST_ONE", "", 1);
	unsetenv("LAYERVM_TEST_NONE");
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct error err = {0};
		struct guest_extras_spec extras = {0};
		assert_int_equal(rows[i].take(&extras, rows[i].value, &err), 0);
		assert_true(extras_any(&extras));
		int r = extras_check(&extras, &err);
		assert_string_equal(r < 0 ? err.message : "", rows[i].expected);
		extras_spec_free(&extras);
		assert_false(extras_any(&extras));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spec_taken),
		cmocka_unit_test(test_spec_refused),
		cmocka_unit_test(test_flags_taken),
		cmocka_unit_test(test_flags_refused),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_check),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
