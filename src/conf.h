/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The configuration: `[Section]` and `Key = value`, as in systemd and wg-quick.
 * Every key stands once, in CONF_KEYS of conf_keys.h, from which the reader,
 * its error sentences and the manual page are made.  The reader is init / line
 * / finish, so that it can be fuzzed without files.
 */
#ifndef CONF_H
#define CONF_H

#include "base/addr.h"
#include "base/log.h"
#include "cluster/registry.h"
#include "proto/crypto.h"
#include "proto/record.h"

#define CONF_PREFIXES_MAX 64
#define CONF_KEYS_MAX     4 /* cluster keys */
#define CONF_PATH_MAX     256
#define CONF_UPLINKS_MAX  4

enum conf_role { CONF_SERVER = 1, CONF_CLIENT = 2 };

struct conf_prefixes {
	unsigned count;
	struct prefix list[CONF_PREFIXES_MAX];
};

struct conf_devices {
	unsigned count;
	char name[CONF_UPLINKS_MAX][16];
};

struct conf {
	enum conf_role role;
	char path[CONF_PATH_MAX];

	/* [Server] */
	uint16_t number;
	char cluster_key_file[CONF_PATH_MAX];
	struct cluster_secrets cluster; /* from that file */
	struct operator_public operator; /* of a client: if has_operator */
	bool has_operator;
	bool listen_v4, listen_v6;
	struct endpoint listen[2]; /* [0] IPv4, [1] IPv6; each with port */
	uint16_t port;
	char clients_file[CONF_PATH_MAX];
	uint16_t keepalive_min, keepalive_max; /* s: what is granted to clients */
	unsigned handshake_rate;        /* a second; above it a retry token is asked for */
	unsigned handshake_prefix_rate; /* a second from one /24 or /56 */
	unsigned flood_rate;            /* copies a second and client */
	unsigned client_rate;           /* packets a second and client; 0 no limit */
	bool fair_share;                /* between clients, of a worker that cannot keep up */
	unsigned active_sessions;       /* places for sessions with expanded keys */

	/* [Client] */
	uint8_t client_secret[KEY_SIZE];
	uint8_t psk[KEY_SIZE];
	unsigned cluster_key_count;
	uint8_t cluster_keys[CONF_KEYS_MAX][KEY_SIZE]; /* newest first */
	unsigned server_count;
	struct endpoint servers[2]; /* in the order to try */
	uint16_t keepalive; /* s; 0 none */
	bool unlinkable;
	enum aead aead; /* preferred */

	/* [Tunnel] */
	char device[16];
	bool ethernet;            /* Payload = ethernet (client) */
	char ethernet_device[16]; /* server: a TAP beside the TUN; empty: none */
	struct conf_prefixes address;
	struct conf_prefixes routes;   /* client: into the tunnel */
	struct conf_prefixes networks; /* server: own networks that clients may reach */
	bool broadcast;
	bool copy_dscp;
	bool clamp_mss;
	unsigned mtu; /* most; 1280 … 1420 */

	/* [Anycast] */
	bool announce; /* the listen addresses are on the tunnel device, and announced */
	bool guard;
	unsigned drain_time; /* s */

	/* [Mesh] */
	struct endpoint mesh; /* unicast; port 0: this server is alone */
	uint8_t mesh_secret[KEY_SIZE];
	char servers_file[CONF_PATH_MAX];

	/* [Registry] */
	bool registry_nats;
	unsigned registry_url_count;
	char registry_urls[REGISTRY_URLS_MAX][REGISTRY_URL_MAX];
	char registry_credentials[CONF_PATH_MAX];
	char tls_ca[CONF_PATH_MAX], tls_cert[CONF_PATH_MAX], tls_key[CONF_PATH_MAX];
	unsigned replicas;
	unsigned max_age; /* s */

	/* [Relay] */
	struct { uint16_t first, last; } relay_ports; /* 0: there are no relays */
	struct conf_devices relay_uplinks; /* none: those with a default route at the start */
	unsigned relay_per_client;
	bool relay_allow_private;
	struct conf_prefixes relay_deny;
	uint16_t relay_mss;
	unsigned relay_entries; /* places in the kernel's table */
	struct endpoint rtpproxy; /* port 0: none */
	struct conf_prefixes rtpproxy_allow;
	uint16_t rtpproxy_lifetime; /* s */

	/* [Metrics] */
	struct endpoint metrics; /* port 0: none */

	/* [Daemon] */
	char name[32]; /* of the control socket */
	char control_socket[CONF_PATH_MAX];
	char state_directory[CONF_PATH_MAX];
	char user[32];
	unsigned workers;
	enum crypto_backend backend;
	enum log_level log_level;
	unsigned watchdog; /* s; 0 none */
	bool no_uso; /* test knob: as on a kernel before 6.2 */
};

#define CONF_ERROR 512
/*
 * 0, or -EINVAL (-errno for a file that cannot be read) with a sentence in
 * error: "server.conf:12: Port: 70000 is not a port (1 to 65535)".  The caller
 * wipes and frees *conf after use: conf_wipe().
 */
int conf_load(struct conf *conf, const char *path, char error[CONF_ERROR]);
void conf_wipe(struct conf *conf);
/* Writes the file that ClusterKeyFile names anew, in place of the one there.  0, or -errno and a sentence. */
int conf_write_cluster_keys(const struct conf *conf, const struct cluster_secrets *keys,
		char error[CONF_ERROR]);
/* What the registry needs of it, borrowed; without the file of its cache. */
void conf_registry(const struct conf *conf, struct registry_options *o);

/* For tests and fuzzing: the same from memory. */
int conf_read_text(struct conf *conf, const char *path, const char *text, size_t len,
		char error[CONF_ERROR]);
/*
 * Reload.  The name of the first key that differs and takes effect only at a
 * start, or NULL; and the taking over of those that a reload may change.
 */
const char *conf_needs_restart(const struct conf *now, const struct conf *fresh);
void conf_take_reload(struct conf *now, const struct conf *fresh);
/*
 * The manual's list of keys, one a line, with tabs between: section, key, role,
 * flags, default, allowed, sentence.  docs/man/make-conf-man reads it.
 */
void conf_print_keys(void);

#endif
