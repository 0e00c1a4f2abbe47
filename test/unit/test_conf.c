/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/* The configuration: golden sentences, every key of the table good and bad, the examples. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/util.h"
#include "conf_keys.h"

#define KEY_TEXT "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

static char directory[] = "/tmp/test_conf_XXXXXX";
static char key_file[64];
static char operator_text[BASE64_SIZE(64)];

static void write_file(const char *path, const char *text, mode_t mode)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	assert_int_equal(chmod(path, mode), 0);
}

static int setup(void **state)
{
	uint8_t operator[64];

	(void)state;
	crypto_init(CRYPTO_OPENSSL);
	memset(operator, 5, sizeof operator);
	base64_encode(operator_text, operator, sizeof operator);
	if (!mkdtemp(directory))
		return -1;
	snprintf(key_file, sizeof key_file, "%s/key", directory);
	write_file(key_file, KEY_TEXT "\n", 0600);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(key_file);
	return rmdir(directory);
}

/* ---- a complete configuration, of which a test replaces one key ---- */

static const struct {
	const char *section, *key, *value; /* value NULL: made at run time */
} server_keys[] = {{"Server", "Number", "1"}, {"Server", "ClusterKeyFile", NULL},
		{"Server", "OperatorKey", NULL}, {"Server", "Listen", "192.0.2.1"}},
  client_keys[] = {{"Client", "PrivateKey", KEY_TEXT}, {"Client", "PresharedKey", KEY_TEXT},
		{"Client", "ClusterKeys", KEY_TEXT}, {"Client", "Server", "192.0.2.1"}};

static const char *good(const char *key, const char *value)
{
	if (value)
		return value;
	return strcmp(key, "OperatorKey") ? key_file : operator_text;
}

static void make(char out[8192], enum conf_role role, const char *but, const char *more)
{
	out[0] = 0;
	strcat(out, role == CONF_SERVER ? "[Server]\n" : "[Client]\n");
	for (unsigned i = 0; i < 4; i++) {
		const char *key = role == CONF_SERVER ? server_keys[i].key : client_keys[i].key;
		const char *value = role == CONF_SERVER ? server_keys[i].value : client_keys[i].value;
		if (!but || strcmp(key, but))
			sprintf(out + strlen(out), "%s = %s\n", key, good(key, value));
	}
	strcat(out, more);
}

static int read_text(struct conf *conf, const char *text, char error[CONF_ERROR])
{
	error[0] = 0;
	return conf_read_text(conf, "t.conf", text, strlen(text), error);
}

static int read_more(struct conf *conf, enum conf_role role, const char *but, const char *more,
		char error[CONF_ERROR])
{
	char text[8192];

	make(text, role, but, more);
	return read_text(conf, text, error);
}

static void expect(enum conf_role role, const char *but, const char *more, const char *sentence)
{
	struct conf conf;
	char error[CONF_ERROR];

	assert_int_equal(read_more(&conf, role, but, more, error), -EINVAL);
	assert_string_equal(error, sentence);
}

/* ---- the table ---- */

/*
 * For every key, in the order of the table: a value that it takes, one that it
 * does not, and what follows its name then.
 */
static const struct {
	const char *key, *good, *bad, *sentence;
} values[] = {
	{"Number", "65535", "65536", "65536 is not a server number (1 to 65535)"},
	{"ClusterKeyFile", NULL, "key", "key is not an absolute path of at most 255 characters"},
	{"OperatorKey", NULL, "AAAA", "AAAA is not an operator's public key (base64 of 64 bytes)"},
	{"Port", "1", "70000", "70000 is not a port (1 to 65535)"},
	{"Listen", "2001:db8::1", "anycast", "anycast is not an address, as 192.0.2.1 or "
			"2001:db8::1"},
	{"Clients", "/c", "c", "c is not an absolute path of at most 255 characters"},
	{"KeepaliveMin", "120", "9", "9 is not a keep-alive in seconds (10 to 120)"},
	{"KeepaliveMax", "10", "121", "121 is not a keep-alive in seconds (10 to 120)"},
	{"HandshakeRate", "1", "0", "0 is not a rate a second (1 to 1000000)"},
	{"HandshakePrefixRate", "1", "-1", "-1 is not a rate a second (1 to 1000000)"},
	{"FloodRate", "0", "1e3", "1e3 is not a rate a second (0 to 10000000)"},
	{"ClientRate", "100000000", "100000001", "100000001 is not a rate a second (0 to "
			"100000000)"},
	{"FairShare", "no", "off", "off is not one of no, yes"},
	{"ActiveSessions", "16", "15", "15 is not a number of sessions (16 to 16777216)"},
	{"PrivateKey", KEY_TEXT, "c2VjcmV0", "the value is not a key (base64 of 32 bytes)"},
	{"PrivateKeyFile", NULL, "k", "k is not an absolute path of at most 255 characters"},
	{"PresharedKey", KEY_TEXT, "c2VjcmV0", "the value is not a key (base64 of 32 bytes)"},
	{"PresharedKeyFile", NULL, "k", "k is not an absolute path of at most 255 characters"},
	{"ClusterKeys", KEY_TEXT, "k", "k is not a key (base64 of 32 bytes)"},
	{"OperatorKey", NULL, "AAAA", "AAAA is not an operator's public key (base64 of 64 bytes)"},
	{"Server", "[2001:db8::1]:1", "example.org:1", "example.org:1 is not an address with a "
			"port, as 192.0.2.1:4444 or [2001:db8::1]:4444"},
	{"Keepalive", "0", "9", "9 is not a keep-alive in seconds (0, or 10 to 120)"},
	{"Unlinkable", "yes", "true", "true is not one of no, yes"},
	{"Cipher", "chacha20-poly1305", "aes", "aes is not one of aes-256-gcm, "
			"chacha20-poly1305"},
	{"Device", "any15.abc_def-g", "abcdefghijklmnop", "abcdefghijklmnop is not a device name "
			"(1 to 15 of A-Z a-z 0-9 . _ -)"},
	{"Payload", "ethernet", "i", "i is not one of ip, ethernet"},
	{"EthernetDevice", "tap0", "..", ".. is not a device name (1 to 15 of A-Z a-z 0-9 . _ -)"},
	{"Address", "10.7.0.1/16", "10.7.0.1/33", "10.7.0.1/33 is not an address or a prefix, as "
			"10.7.0.0/16 or fd07::/64"},
	{"Routes", "::/0", "all", "all is not an address or a prefix, as 10.7.0.0/16 or "
			"fd07::/64"},
	{"Networks", "10.8.0.0/24", "10.8", "10.8 is not an address or a prefix, as 10.7.0.0/16 or "
			"fd07::/64"},
	{"Broadcast", "yes", "Yes", "Yes is not one of no, yes"},
	{"CopyDSCP", "yes", "1", "1 is not one of no, yes"},
	{"ClampMSS", "no", "on", "on is not one of no, yes"},
	{"MTU", "1280", "1500", "1500 is not an MTU in bytes (1280 to 1420)"},
	{"Announce", "yes", "maybe", "maybe is not one of no, yes"},
	{"Guard", "no", "off", "off is not one of no, yes"},
	{"DrainTime", "0", "3601", "3601 is not a time in seconds (0 to 3600)"},
	{"Address", "192.0.2.11:4445", "mesh", "mesh is not an address with a port, as "
			"192.0.2.11:4445 or [2001:db8::11]:4445"},
	{"PrivateKeyFile", NULL, "k", "k is not an absolute path of at most 255 characters"},
	{"Servers", "/s", "s", "s is not an absolute path of at most 255 characters"},
	{"Type", "local", "redis", "redis is not one of local, nats"},
	{"Servers", "nats://192.0.2.10:4222", "192.0.2.10", "192.0.2.10 is not a URL, as "
			"nats://192.0.2.10:4222 or tls://nats.example:4222"},
	{"Credentials", "/c", "c", "c is not an absolute path of at most 255 characters"},
	{"TLSCA", "/c", "c", "c is not an absolute path of at most 255 characters"},
	{"TLSCert", "/c", "c", "c is not an absolute path of at most 255 characters"},
	{"TLSKey", "/c", "c", "c is not an absolute path of at most 255 characters"},
	{"Replicas", "5", "0", "0 is not a number of copies (1 to 5)"},
	{"MaxAge", "10", "9", "9 is not a time in seconds (10 to 604800)"},
	{"Ports", "20000-59999", "1023-59999", "1023-59999 is not a range of ports, as 20000-59999 "
			"(1024 to 65535)"},
	{"Uplinks", "eth0", "/dev/eth0", "/dev/eth0 is not a device name (1 to 15 of A-Z a-z 0-9 . "
			"_ -)"},
	{"PerClient", "1", "0", "0 is not a number of relays (1 to 65535)"},
	{"AllowPrivate", "yes", "all", "all is not one of no, yes"},
	{"Deny", "203.0.113.0/24", "203", "203 is not an address or a prefix, as 10.7.0.0/16 or "
			"fd07::/64"},
	{"MSS", "536", "1441", "1441 is not a segment size in bytes (536 to 1440)"},
	{"Entries", "64", "63", "63 is not a number of entries (64 to 16777216)"},
	{"RTPProxy", "127.0.0.1:7722", "sip", "sip is not an address with a port, as 127.0.0.1:7722"},
	{"RTPProxyAllow", "192.0.2.5", "kamailio",
	 "kamailio is not an address or a prefix, as 10.7.0.0/16 or fd07::/64"},
	{"RTPProxyLifetime", "60", "59", "59 is not a time in seconds (60 to 3600)"},
	{"Listen", "no", "off",
	 "off is not an address with a port, as 127.0.0.1:9444 or [::1]:9444, or no"},
	{"Name", "a", "a/b", "a/b is not a name (1 to 31 of A-Z a-z 0-9 . _ -)"},
	{"ControlSocket", "/s", "s", "s is not an absolute path of at most 107 characters"},
	{"StateDirectory", "/s", "s", "s is not an absolute path of at most 223 characters"},
	{"User", "root", "a b", "a b is not a user name (1 to 31 of A-Z a-z 0-9 . _ -)"},
	{"Workers", "64", "65", "65 is not a number of threads (1 to 64)"},
	{"CryptoBackend", "openssl", "o", "o is not one of auto, openssl, ipsec-mb"},
	{"LogLevel", "debug", "verbose", "verbose is not one of error, warning, notice, info, "
			"debug"},
	{"Watchdog", "0", "61", "61 is not a time in seconds (0 to 60)"},
	{"TestNoUSO", "yes", "maybe", "maybe is not one of no, yes"},
};

/* A key that excludes another one, which must then not be in the configuration. */
static const char *left_out(const struct conf_key *k)
{
	if (!strcmp(k->section, "Metrics")) /* has a key of the same name as [Server] */
		return NULL;
	if (!strcmp(k->name, "PrivateKeyFile"))
		return "PrivateKey";
	return strcmp(k->name, "PresharedKeyFile") ? k->name : "PresharedKey";
}

/* What a key cannot be without: another one of its section, or nothing. */
static const struct {
	const char *section, *key, *with;
} companions[] = {
	{"Mesh", "Address", "PrivateKeyFile = "},
	{"Mesh", "PrivateKeyFile", "Address = 192.0.2.11 #"},
	{"Registry", "Servers", "Type = nats #"},
	{"Registry", "TLSCert", "TLSKey = "},
	{"Registry", "TLSKey", "TLSCert = "},
	{"Relay", "Uplinks", "Ports = 20000-20001 #"},
	{"Relay", "PerClient", "Ports = 20000-20001 #"},
	{"Relay", "AllowPrivate", "Ports = 20000-20001 #"},
	{"Relay", "Deny", "Ports = 20000-20001 #"},
	{"Relay", "MSS", "Ports = 20000-20001 #"},
	{"Relay", "Entries", "Ports = 20000-20001 #"},
	{"Relay", "RTPProxy", "Ports = 20000-20001 #"},
	{"Relay", "RTPProxyAllow", "Ports = 20000-20001 #"},
	{"Relay", "RTPProxyLifetime", "Ports = 20000-20001 #"},
};

static void add_companion(char *more, const struct conf_key *k)
{
	for (size_t i = 0; i < ARRAY_SIZE(companions); i++)
		if (!strcmp(k->section, companions[i].section) && !strcmp(k->name, companions[i].key))
			sprintf(more + strlen(more), "%s%s\n", companions[i].with, key_file);
}

static void test_every_key(void **state)
{
	char more[8192], error[CONF_ERROR], sentence[CONF_ERROR];
	struct conf conf;

	(void)state;
	for (size_t i = 0; i < conf_key_count; i++) {
		const struct conf_key *k = &conf_keys[i];
		if (i >= ARRAY_SIZE(values) || strcmp(values[i].key, k->name))
			fail_msg("%s has no test", k->name);
		enum conf_role role = k->roles & CONF_SERVER ? CONF_SERVER : CONF_CLIENT;
		const char *but = left_out(k);

		snprintf(more, sizeof more, "[%s]\n%s = %s\n", k->section, k->name,
				good(k->name, values[i].good));
		add_companion(more, k);
		if (read_more(&conf, role, but, more, error))
			fail_msg("%s", error);
		snprintf(more, sizeof more, "[%s]\n%s=%s", k->section, k->name, values[i].bad);
		assert_int_equal(read_more(&conf, role, but, more, error), -EINVAL);
		char *found = strchr(error, ' ');
		snprintf(sentence, sizeof sentence, " %s: %s", k->name, values[i].sentence);
		assert_string_equal(found, sentence);

		snprintf(more, sizeof more, "[%s]\n%s =", k->section, k->name);
		assert_int_equal(read_more(&conf, role, but, more, error), -EINVAL);
		snprintf(sentence, sizeof sentence, " %s: there is no value; it must be %s", k->name,
				k->allowed);
		assert_string_equal(strchr(error, ' '), sentence);
	}
}

/* A key of the other role is refused in its line; one that may not be repeated, too. */
static void test_roles_and_repeats(void **state)
{
	char more[8192], error[CONF_ERROR];
	struct conf conf;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		const struct conf_key *k = &conf_keys[i];
		assert_string_equal(k->name, values[i].key);
		const char *value = good(k->name, values[i].good);
		enum conf_role role = k->roles & CONF_SERVER ? CONF_SERVER : CONF_CLIENT;
		snprintf(more, sizeof more, "[%s]\n%s = %s\n%s = %s\n", k->section, k->name, value,
				k->name, value);
		int rc = read_more(&conf, role, left_out(k), more, error);
		if (!(k->flags & CONF_LIST)) {
			assert_int_equal(rc, -EINVAL);
			assert_non_null(strstr(error, "given twice, the first time in line "));
		}
		if (k->roles == CONF_BOTH || strcmp(k->section, "Tunnel"))
			continue;
		snprintf(more, sizeof more, "[Tunnel]\n%s = %s\n", k->name, value);
		assert_int_equal(read_more(&conf, CONF_BOTH - role, NULL, more, error), -EINVAL);
		assert_non_null(strstr(error, "t.conf:7: "));
		assert_non_null(strstr(error, ": this key is for "));
	}
}

/* ---- values ---- */

static void test_server_values(void **state)
{
	char error[CONF_ERROR], text[64];
	struct conf c;

	(void)state;
	assert_int_equal(read_more(&c, CONF_SERVER, "Listen",
			"Listen = 192.0.2.1 , \"2001:db8::1\" # both\nPort=\"99\"\t; no default\r\n"
			"[Tunnel]\nAddress = 10.7.0.1/16,\tfd07::1/64\nAddress = 10.9.0.1\n"
			"[Daemon]\n# a comment\n;another\nName = one\nLogLevel = debug\n", error), 0);
	assert_int_equal(c.role, CONF_SERVER);
	assert_string_equal(c.path, "t.conf");
	assert_int_equal(c.number, 1);
	assert_int_equal(c.cluster.secret[0][0], 1);
	assert_int_equal(c.operator.seal[31], 5);
	assert_true(c.listen_v4 && c.listen_v6);
	assert_string_equal(endpoint_format(&c.listen[0], text), "192.0.2.1:99");
	assert_string_equal(endpoint_format(&c.listen[1], text), "[2001:db8::1]:99");
	assert_int_equal(c.address.count, 3);
	assert_string_equal(prefix_format(&c.address.list[2], text), "10.9.0.1/32");
	assert_string_equal(c.control_socket, "/run/anyrelay/one.sock");
	assert_int_equal(c.log_level, LOG_DEBUG);
	assert_int_equal(c.keepalive_min, 10);
	assert_int_equal(c.keepalive_max, 120);
	assert_int_equal(c.handshake_rate, 2000);
	assert_int_equal(c.handshake_prefix_rate, 50);
	assert_int_equal(c.flood_rate, 1000);
	assert_int_equal(c.client_rate, 0);
	assert_true(c.fair_share);
	assert_int_equal(c.active_sessions, 65536);
	assert_string_equal(c.clients_file, "/etc/anyrelay/clients");
	assert_string_equal(c.ethernet_device, "");
	assert_int_equal(c.mtu, 1420);
	assert_true(c.clamp_mss && !c.broadcast && !c.copy_dscp);
}

static void test_client_values(void **state)
{
	char error[CONF_ERROR], text[64];
	struct conf c;

	(void)state;
	assert_int_equal(read_more(&c, CONF_CLIENT, "Server",
			"Server = [2001:db8::1]:5, 192.0.2.1\nCipher = chacha20-poly1305\n"
			"[Tunnel]\nPayload = ethernet\n[Daemon]\nCryptoBackend = ipsec-mb", error), 0);
	assert_int_equal(c.role, CONF_CLIENT);
	assert_int_equal(c.client_secret[0], 1);
	assert_int_equal(c.psk[0], 1);
	assert_int_equal(c.cluster_key_count, 1);
	assert_int_equal(c.server_count, 2);
	assert_string_equal(endpoint_format(&c.servers[0], text), "[2001:db8::1]:5");
	assert_string_equal(endpoint_format(&c.servers[1], text), "192.0.2.1:4444");
	assert_int_equal(c.aead, AEAD_CHACHA20_POLY1305);
	assert_true(c.ethernet && !c.unlinkable);
	assert_int_equal(c.backend, CRYPTO_IPSEC_MB);
	assert_int_equal(c.keepalive, 20);
	assert_int_equal(c.workers, 1);
	assert_int_equal(c.log_level, LOG_INFO);
	assert_string_equal(c.device, "any0");
	assert_string_equal(c.user, "anyrelay");
	assert_string_equal(c.state_directory, "/var/lib/anyrelay");
	assert_string_equal(c.control_socket, "/run/anyrelay/client.sock");
	conf_wipe(&c);
	static const struct conf zeros;
	assert_memory_equal(&c, &zeros, sizeof c);
}

/* ---- sentences ---- */

static void test_form(void **state)
{
	(void)state;
	expect(CONF_SERVER, NULL, "Prot = 1", "t.conf:6: Prot: no such key in [Server]; did you mean "
			"Port in [Server]?");
	expect(CONF_SERVER, NULL, "mtu = 1", "t.conf:6: mtu: this key belongs in [Tunnel], not in "
			"[Server]");
	expect(CONF_SERVER, NULL, "Frobnicate = 1", "t.conf:6: Frobnicate: no such key in [Server]; "
			"anyrelay.conf(5) has the list");
	expect(CONF_SERVER, NULL, "[Tunel]", "t.conf:6: [Tunel]: no such section; did you mean "
			"[Tunnel]?");
	expect(CONF_SERVER, NULL, "[Interface]", "t.conf:6: [Interface]: no such section; there are "
			"[Server] or [Client], [Tunnel], [Anycast], [Mesh], [Registry], [Relay], "
			"[Metrics] and [Daemon]");
	expect(CONF_SERVER, NULL, "[Tunnel] x", "t.conf:6: a section stands alone in its line, as "
			"[Tunnel]");
	expect(CONF_SERVER, NULL, "[Client]", "t.conf:6: [Client]: a file is for a server or for a "
			"client, and line 1 has [Server]");
	expect(CONF_SERVER, NULL, "Port", "t.conf:6: this line is neither [Section] nor Key = value");
	expect(CONF_SERVER, NULL, "Port = \"1", "t.conf:6: Port: the quotation mark is not closed");
	expect(CONF_SERVER, NULL, "Port = \"1\" 2", "t.conf:6: Port: there is something after the "
			"closing quotation mark");
	expect(CONF_SERVER, NULL, "Port = 1\nPort = 1", "t.conf:7: Port: given twice, the first time "
			"in line 6");
	expect(CONF_SERVER, NULL, "Port = 1, 2", "t.conf:6: Port: 1, 2 is not a port (1 to 65535)");
	expect(CONF_SERVER, NULL, "[Tunnel]\nPayload = ip", "t.conf:7: Payload: this key is for "
			"clients");
	expect(CONF_CLIENT, NULL, "[Tunnel]\nNetworks = ::/0", "t.conf:7: Networks: this key is for "
			"servers");
}

static void test_without_sections(void **state)
{
	struct conf conf;
	char error[CONF_ERROR], line[5000];

	(void)state;
	assert_int_equal(read_text(&conf, "", error), -EINVAL);
	assert_string_equal(error, "t.conf: there is neither [Server] nor [Client]; one of them says "
			"what this daemon is");
	assert_int_equal(read_text(&conf, "\n\nPort = 1", error), -EINVAL);
	assert_string_equal(error, "t.conf:3: Port: a key must stand below a section, as [Server]");
	memset(line, 'x', sizeof line);
	assert_int_equal(conf_read_text(&conf, "t.conf", line, sizeof line, error), -EINVAL);
	assert_string_equal(error, "t.conf:1: this line is longer than 4095 characters; a list may be "
			"given in several lines");
	assert_int_equal(conf_read_text(&conf, "t.conf", "[Ser\0ver]", 9, error), -EINVAL);
	assert_string_equal(error, "t.conf:1: this line has a NUL character; is this a text file?");
}

static void test_missing(void **state)
{
	(void)state;
	expect(CONF_SERVER, "Number", "", "t.conf: Number is missing in [Server]; it must be a server "
			"number (1 to 65535). This server's number; no two servers of a cluster have "
			"the same.");
	expect(CONF_CLIENT, "PrivateKey", "", "t.conf: PrivateKey or PrivateKeyFile is missing in "
			"[Client]; anyrelay enroll prints both");
	expect(CONF_CLIENT, "PresharedKey", "", "t.conf: PresharedKey or PresharedKeyFile is missing "
			"in [Client]; anyrelay enroll prints both");
}

static void test_relay(void **state)
{
	static const char *const not_ranges[] = {"20000", "20000-", "-20000", "20000-59999-", "1024-65536",
			"1024--2000", "a-b", "99999999999999999999-99999999999999999999"};
	char more[8192], error[CONF_ERROR];
	struct conf conf;

	(void)state;
	assert_int_equal(read_more(&conf, CONF_SERVER, NULL, "", error), 0);
	assert_int_equal(conf.relay_ports.first, 0);
	assert_int_equal(read_more(&conf, CONF_SERVER, NULL, "[Relay]\nPorts = 1024-4443\n"
			"Uplinks = eth0, eth1\n", error), 0);
	assert_int_equal(conf.relay_ports.first, 1024);
	assert_int_equal(conf.relay_ports.last, 4443);
	assert_int_equal(conf.relay_uplinks.count, 2);
	assert_string_equal(conf.relay_uplinks.name[1], "eth1");
	assert_int_equal(conf.relay_per_client, 64);
	assert_false(conf.relay_allow_private);
	assert_int_equal(conf.relay_mss, 1360);
	assert_int_equal(conf.relay_entries, 262144);
	for (size_t i = 0; i < ARRAY_SIZE(not_ranges); i++) {
		snprintf(more, sizeof more, "[Relay]\nPorts = %s\n", not_ranges[i]);
		assert_int_equal(read_more(&conf, CONF_SERVER, NULL, more, error), -EINVAL);
		assert_non_null(strstr(error, "is not a range of ports"));
	}
	expect(CONF_SERVER, NULL, "[Relay]\nPorts = 30000-30000\n", "t.conf:7: Ports: 30000-30000 has "
			"fewer than the two ports that a relay needs");
	expect(CONF_SERVER, NULL, "[Relay]\nPorts = 4444-5000\n", "t.conf:7: Ports: 4444 is between "
			"4444 and 5000, and there clients are served (Port)");
	expect(CONF_SERVER, NULL, "[Relay]\nMSS = 1000\nUplinks = eth0\n", "t.conf:7: Ports is missing "
			"in [Relay]; it must be a range of ports, as 20000-59999");
	expect(CONF_SERVER, NULL, "[Relay]\nUplinks = a, b, a\n", "t.conf:7: Uplinks: a stands there "
			"twice");
	expect(CONF_SERVER, NULL, "[Relay]\nUplinks = a, b, c, d, e\n", "t.conf:7: Uplinks: more than 4 "
			"devices");
}

/* A server's metrics are on loopback, a client has none, if nothing is said. */
static void test_metrics(void **state)
{
	static const struct {
		enum conf_role role;
		const char *text, *listen;
	} good[] = {
		{CONF_SERVER, "", "127.0.0.1:9444"}, {CONF_CLIENT, "", "[::]:0"},
		{CONF_SERVER, "[Metrics]\nListen = no", "[::]:0"},
		{CONF_CLIENT, "[Metrics]\nListen = 192.0.2.1", "192.0.2.1:9444"},
		{CONF_SERVER, "[Metrics]\nListen = [2001:db8::1]:80", "[2001:db8::1]:80"},
	};
	char error[CONF_ERROR], text[ENDPOINT_TEXT];
	struct conf conf;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		if (read_more(&conf, good[i].role, NULL, good[i].text, error))
			fail_msg("%s", error);
		assert_string_equal(endpoint_format(&conf.metrics, text), good[i].listen);
	}
	expect(CONF_SERVER, NULL, "[Metrics]\nListen = [::]:9444", "t.conf:7: Listen: [::]:9444 would "
			"answer clients of the tunnel too; name one address of this machine");
	expect(CONF_SERVER, NULL, "[Metrics]\nListen = 0.0.0.0", "t.conf:7: Listen: 0.0.0.0 would "
			"answer clients of the tunnel too; name one address of this machine");
	expect(CONF_SERVER, NULL, "[Metrics]\nListen = 127.0.0.1:0", "t.conf:7: Listen: 127.0.0.1:0 is "
			"not an address with a port, as 127.0.0.1:9444 or [::1]:9444, or no");
}

static void test_mesh(void **state)
{
	char more[8192], error[CONF_ERROR];
	struct conf conf;

	(void)state;
	assert_int_equal(read_more(&conf, CONF_SERVER, NULL, "", error), 0);
	assert_int_equal(conf.mesh.port, 0);
	snprintf(more, sizeof more, "[Mesh]\nAddress = 192.0.2.11\nPrivateKeyFile = %s\n", key_file);
	assert_int_equal(read_more(&conf, CONF_SERVER, NULL, more, error), 0);
	assert_int_equal(conf.mesh.port, 4445);
	assert_int_equal(conf.mesh_secret[0], 1);
	assert_string_equal(conf.servers_file, "/etc/anyrelay/servers");
	expect(CONF_SERVER, NULL, "[Mesh]\nAddress = 192.0.2.11\n", "t.conf:7: PrivateKeyFile is "
			"missing in [Mesh]: the file with this server's own secret key, made by anyrelay "
			"genkey");
	snprintf(more, sizeof more, "[Mesh]\nPrivateKeyFile = %s\n", key_file);
	expect(CONF_SERVER, NULL, more, "t.conf:7: Address is missing in [Mesh]: the unicast address "
			"at which other servers reach this one");
	snprintf(more, sizeof more, "[Mesh]\nAddress = 192.0.2.1\nPrivateKeyFile = %s\n", key_file);
	expect(CONF_SERVER, NULL, more, "t.conf:7: Address: this is the anycast address (Listen); the "
			"mesh needs one that only this server has");
	expect(CONF_SERVER, NULL, "[Mesh]\nAddress = 0.0.0.0\n", "t.conf:7: Address: 0.0.0.0 is not "
			"an address of one machine");
}

static void test_between_keys(void **state)
{
	char more[256];

	(void)state;
	expect(CONF_SERVER, NULL, "KeepaliveMin = 60\nKeepaliveMax = 30", "t.conf:7: KeepaliveMin: 60 "
			"is more than KeepaliveMax (30)");
	expect(CONF_SERVER, NULL, "[Tunnel]\nEthernetDevice = any0", "t.conf:7: EthernetDevice: any0 "
			"is already the name of Device");
	snprintf(more, sizeof more, "PrivateKeyFile = %s", key_file);
	expect(CONF_CLIENT, NULL, more, "t.conf:6: PrivateKey and PrivateKeyFile are both given; one "
			"of the two is enough");
}

static void test_addresses(void **state)
{
	(void)state;
	expect(CONF_SERVER, "Listen", "Listen = 0.0.0.0", "t.conf:5: Listen: 0.0.0.0 would answer on "
			"every address of this machine, and from another one than the client called; "
			"name the anycast address");
	expect(CONF_SERVER, "Listen", "Listen = ::", "t.conf:5: Listen: :: would answer on every "
			"address of this machine, and from another one than the client called; name the "
			"anycast address");
	expect(CONF_SERVER, NULL, "Listen = 192.0.2.2", "t.conf:6: Listen: 192.0.2.2 is a second IPv4 "
			"address; at most one of each family is possible");
	expect(CONF_SERVER, "Listen", "Listen = ff02::1", "t.conf:5: Listen: ff02::1 is a multicast "
			"address; an anycast address is an ordinary one");
	expect(CONF_CLIENT, NULL, "Server = 192.0.2.1:4444", "t.conf:6: Server: 192.0.2.1:4444 stands "
			"there twice");
	expect(CONF_CLIENT, NULL, "Server = 192.0.2.2, 192.0.2.3", "t.conf:6: Server: more than 2 "
			"addresses");
	expect(CONF_CLIENT, NULL, "ClusterKeys = " KEY_TEXT "," KEY_TEXT "," KEY_TEXT "," KEY_TEXT,
			"t.conf:6: ClusterKeys: more than 4 keys");
}

static void test_prefix_limit(void **state)
{
	char more[8192] = "[Tunnel]\n", error[CONF_ERROR];
	struct conf conf;

	(void)state;
	for (unsigned i = 0; i < CONF_PREFIXES_MAX; i++)
		sprintf(more + strlen(more), "Address = 10.0.0.%u\n", i);
	assert_int_equal(read_more(&conf, CONF_SERVER, NULL, more, error), 0);
	assert_int_equal(conf.address.count, CONF_PREFIXES_MAX);
	strcat(more, "Address = 10.0.1.0");
	expect(CONF_SERVER, NULL, more, "t.conf:71: Address: more than 64 entries");
}

static void test_key_files(void **state)
{
	char path[80], more[256], sentence[CONF_ERROR];
	static const struct {
		const char *text;
		mode_t mode;
		const char *why;
	} files[] = {
		{KEY_TEXT, 0640, " holds a secret, but others may use it (mode 0640); make it 0600"},
		{KEY_TEXT, 0604, " holds a secret, but others may use it (mode 0604); make it 0600"},
		{"", 0600, " does not hold a key (base64 of 32 bytes, one line)"},
		{"AAAA\n", 0600, " does not hold a key (base64 of 32 bytes, one line)"},
		{KEY_TEXT "\n" KEY_TEXT, 0600, ":2: this is not a line of a cluster's key file, as "
				"anyrelay cluster-key writes it"},
	};

	(void)state;
	snprintf(path, sizeof path, "%s/other", directory);
	snprintf(more, sizeof more, "ClusterKeyFile = %s", path);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		write_file(path, files[i].text, files[i].mode);
		snprintf(sentence, sizeof sentence, "t.conf:5: ClusterKeyFile: %s%s", path,
				files[i].why);
		expect(CONF_SERVER, "ClusterKeyFile", more, sentence);
	}
	unlink(path);
	snprintf(sentence, sizeof sentence, "t.conf:5: ClusterKeyFile: cannot read %s: No such file "
			"or directory", path);
	expect(CONF_SERVER, "ClusterKeyFile", more, sentence);
	assert_int_equal(mkfifo(path, 0600), 0);
	snprintf(sentence, sizeof sentence, "t.conf:5: ClusterKeyFile: %s is not a file", path);
	expect(CONF_SERVER, "ClusterKeyFile", more, sentence);
	unlink(path);
}

/* ---- the cluster's keys while they are changed ---- */

static void make_announcement(struct cluster_secrets *c, const struct operator_key *op)
{
	struct announcement a = {.version = 7, .count = (uint8_t)c->count};

	for (unsigned i = 0; i < c->count; i++)
		x25519_public(c->secret[c->count - 1 - i], a.keys[i]);
	c->announcement_len = (uint16_t)announcement_write(c->announcement, &a, op->seed);
}

/* Reads a server's configuration with this operator and this key file. */
static int read_rolled(struct conf *conf, const struct operator_key *op, const char *file,
		char error[CONF_ERROR])
{
	char whole[1024], text[BASE64_SIZE(64)];
	uint8_t public[64];

	memcpy(public, op->sign_public, KEY_SIZE);
	memcpy(public + KEY_SIZE, op->seal_public, KEY_SIZE);
	snprintf(whole, sizeof whole, "[Server]\nNumber = 1\nListen = 192.0.2.1\nOperatorKey = %s\n"
			"ClusterKeyFile = %s\n", base64_encode(text, public, sizeof public), file);
	return read_text(conf, whole, error);
}

/* What is written is read again; what does not fit together is refused. */
static void test_cluster_keys(void **state)
{
	static const uint8_t seed[KEY_SIZE] = {1}, other_seed[KEY_SIZE] = {2};
	struct cluster_secrets c = {.count = 2, .secret = {{8, 1}, {8, 2}}, .has_past = true,
		.past = {9, 9}};
	char path[80], error[CONF_ERROR], twice[256], text[BASE64_SIZE(KEY_SIZE)];
	struct operator_key op, other;
	struct conf conf, again;
	struct stat st;

	(void)state;
	operator_key_from_seed(&op, seed);
	operator_key_from_seed(&other, other_seed);
	snprintf(path, sizeof path, "%s/rolled", directory);
	write_file(path, KEY_TEXT "\n", 0600);
	assert_int_equal(read_rolled(&conf, &op, path, error), 0);
	assert_int_equal(conf.cluster.count, 1);
	make_announcement(&c, &op);
	assert_int_equal(conf_write_cluster_keys(&conf, &c, error), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(read_rolled(&again, &op, path, error), 0);
	assert_memory_equal(&again.cluster, &c, sizeof c);
	assert_null(conf_needs_restart(&conf, &again)); /* a reload takes it */
	assert_int_equal(read_rolled(&again, &other, path, error), -EINVAL);
	assert_non_null(strstr(error, "is not signed by the operator whose key is OperatorKey"));
	c.secret[1][1]++;
	assert_int_equal(conf_write_cluster_keys(&conf, &c, error), 0);
	assert_int_equal(read_rolled(&again, &op, path, error), -EINVAL);
	assert_non_null(strstr(error, "is missing, or is not of the keys in it"));
	base64_encode(text, c.past, KEY_SIZE);
	snprintf(twice, sizeof twice, KEY_TEXT "\npast %s\npast %s\n", text, text);
	write_file(path, twice, 0600);
	assert_int_equal(read_rolled(&again, &op, path, error), -EINVAL);
	assert_non_null(strstr(error, ":3: this is not a line of a cluster's key file"));
	write_file(path, KEY_TEXT "\npast short\n", 0600);
	assert_int_equal(read_rolled(&again, &op, path, error), -EINVAL);
	unlink(path);
	assert_int_equal(conf_write_cluster_keys(&conf, &c, error), -ENOENT);
}

/* ---- files ---- */

static void test_load(void **state)
{
	char path[80], text[8192], error[CONF_ERROR], sentence[CONF_ERROR];
	struct conf conf;

	(void)state;
	snprintf(path, sizeof path, "%s/t.conf", directory);
	make(text, CONF_CLIENT, NULL, "");
	write_file(path, text, 0600);
	assert_int_equal(conf_load(&conf, path, error), 0);
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(conf_load(&conf, path, error), -EINVAL);
	snprintf(sentence, sizeof sentence, "%s:2: this file holds a secret, but others may use it "
			"(mode 0644); make it 0600", path);
	assert_string_equal(error, sentence);
	make(text, CONF_SERVER, NULL, ""); /* holds none: may be read by all */
	write_file(path, text, 0644);
	assert_int_equal(conf_load(&conf, path, error), 0);
	unlink(path);
	assert_int_equal(conf_load(&conf, path, error), -ENOENT);
	snprintf(sentence, sizeof sentence, "%s: cannot read the configuration: No such file or "
			"directory", path);
	assert_string_equal(error, sentence);
	assert_int_equal(conf_load(&conf, directory, error), -EISDIR);
}

static void test_reload(void **state)
{
	char error[CONF_ERROR];
	struct conf a, b;

	(void)state;
	assert_int_equal(read_more(&a, CONF_SERVER, NULL, "", error), 0);
	assert_int_equal(read_more(&b, CONF_SERVER, NULL, "FloodRate = 7\n[Tunnel]\n"
			"Networks = 10.8.0.0/24\n", error), 0);
	assert_null(conf_needs_restart(&a, &b));
	conf_take_reload(&a, &b);
	assert_int_equal(a.flood_rate, 7);
	assert_int_equal(a.networks.count, 1);
	assert_int_equal(read_more(&b, CONF_SERVER, NULL, "Port = 7", error), 0);
	assert_string_equal(conf_needs_restart(&a, &b), "Port");
	conf_take_reload(&a, &b);
	assert_int_equal(a.port, 4444);
	assert_int_equal(read_more(&b, CONF_CLIENT, NULL, "", error), 0);
	assert_string_equal(conf_needs_restart(&a, &b), "[Server]");
}

/* The examples that are packaged: their text, with the one path replaced that exists only there. */
static void test_examples(void **state)
{
	static const struct {
		const char *path;
		enum conf_role role;
	} examples[] = {{SOURCE_ROOT "/packaging/server.conf", CONF_SERVER},
			{SOURCE_ROOT "/packaging/client.conf", CONF_CLIENT}};
	char text[16384], error[CONF_ERROR];
	struct conf conf;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(examples); i++) {
		FILE *file = fopen(examples[i].path, "r");
		assert_non_null(file);
		size_t n = fread(text, 1, sizeof text - 256, file);
		fclose(file);
		text[n] = 0;
		char *at = strstr(text, "= /etc/anyrelay/cluster.key\n");
		if (at) {
			size_t old = strlen("= /etc/anyrelay/cluster.key"), len = strlen(key_file) + 2;
			memmove(at + len, at + old, strlen(at + old) + 1);
			memcpy(at, "= ", 2);
			memcpy(at + 2, key_file, len - 2);
		}
		if (read_text(&conf, text, error))
			fail_msg("%s: %s", examples[i].path, error);
		assert_int_equal(conf.role, examples[i].role);
	}
}

/* "#Key = value" in an example says what the default is: it must be. */
static void test_example_defaults(void **state)
{
	static const char *const paths[] = {SOURCE_ROOT "/packaging/server.conf",
			SOURCE_ROOT "/packaging/client.conf"};
	char line[512], section[32] = "", key[64], value[256], previous[512] = "";
	unsigned compared = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		FILE *file = fopen(paths[i], "r");
		assert_non_null(file);
		for (; fgets(line, sizeof line, file); strcpy(previous, line)) {
			if (sscanf(line, "[%31[^]]", section) == 1)
				continue;
			if (sscanf(line, "#%63[A-Za-z] = %255[^\n]", key, value) != 2 ||
					strstr(previous, "an example"))
				continue;
			for (size_t k = 0; k < conf_key_count; k++) {
				if (strcmp(conf_keys[k].section, section) ||
						strcmp(conf_keys[k].name, key) ||
						conf_keys[k].flags & CONF_COMPUTED)
					continue;
				assert_string_equal(value, conf_keys[k].fallback);
				compared++;
			}
		}
		fclose(file);
	}
	assert_true(compared > 20);
}

static void test_base64(void **state)
{
	static const char *const bad[] = {"", "A", "AAA", "AAAAA", "A===", "AB==", "AAB=", "AA=A",
			"AA==AAAA", " AAAA", "AAA ", "AA A", "AA-_", "====", "AA==\n"};
	uint8_t out[8];
	char text[BASE64_SIZE(8)];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(base64_decode(out, sizeof out, bad[i], strlen(bad[i])), -EINVAL);
	assert_int_equal(base64_decode(out, 3, "AAAAAA==", 8), -EINVAL); /* no room */
	for (size_t n = 1; n <= 8; n++) { /* RFC 4648 section 10 says "foobar" */
		base64_encode(text, "foobar!?", n);
		assert_int_equal(base64_decode(out, n, text, strlen(text)), n);
		assert_memory_equal(out, "foobar!?", n);
	}
	assert_string_equal(base64_encode(text, "fooba", 5), "Zm9vYmE=");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_key), cmocka_unit_test(test_roles_and_repeats),
		cmocka_unit_test(test_server_values), cmocka_unit_test(test_client_values),
		cmocka_unit_test(test_form), cmocka_unit_test(test_without_sections),
		cmocka_unit_test(test_missing), cmocka_unit_test(test_relay),
		cmocka_unit_test(test_mesh), cmocka_unit_test(test_metrics),
		cmocka_unit_test(test_between_keys),
		cmocka_unit_test(test_addresses), cmocka_unit_test(test_prefix_limit),
		cmocka_unit_test(test_key_files), cmocka_unit_test(test_cluster_keys),
		cmocka_unit_test(test_load),
		cmocka_unit_test(test_reload), cmocka_unit_test(test_examples),
		cmocka_unit_test(test_example_defaults), cmocka_unit_test(test_base64),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
