/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Every key of the configuration, once.  The reader (conf.c), the check of a
 * value (conf_values.c), its error sentence, what a reload may change, and the
 * manual page all come from this table.
 *
 * `allowed` is both data and text: it ends the sentence "X is not …", and a
 * parser takes from it what it needs (conf_one_of the words, in the order of the
 * member's values).
 */
#ifndef CONF_KEYS_H
#define CONF_KEYS_H

#include "conf.h"

#define METRICS_PORT 9444
#define CONF_BOTH (CONF_SERVER | CONF_CLIENT)

enum conf_flag {
	CONF_LIST = 1,     /* values separated by commas; the key may be repeated */
	CONF_REQUIRED = 2,
	CONF_RELOAD = 4,   /* takes effect at a reload; every other key at a start */
	CONF_SECRET = 8,   /* the value is never shown; a file with it must be private */
	CONF_COMPUTED = 16 /* the default is described in the table, and made by conf.c */
};

struct conf_key;
#define CONF_WHY 256
/*
 * Puts one value into conf, which it touches only on success.  0, or -EINVAL: with
 * a sentence in why, or with why empty where "… is not <allowed>" says it all.
 */
typedef int conf_parser(const struct conf_key *key, struct conf *conf, const char *text,
		char why[CONF_WHY]);

struct conf_key {
	const char *section, *name;
	unsigned roles, flags;
	conf_parser *parse;
	size_t offset, size; /* of the member of struct conf */
	long min, max;       /* of a number; max also of the length of a path */
	const char *allowed;
	const char *fallback; /* NULL: none */
	const char *text;     /* for the manual */
};

#define CONF_TABLE_MAX 96
extern const struct conf_key conf_keys[]; /* at most CONF_TABLE_MAX */
extern const size_t conf_key_count;

conf_parser conf_number, conf_one_of, conf_path, conf_name, conf_device, conf_key_text, conf_key_file,
		conf_operator, conf_listen, conf_server, conf_endpoint, conf_metrics, conf_prefix, conf_url,
		conf_ports, conf_uplink, conf_cluster_file;

/* The text of a file that must be private, without the end of its last line.  Likewise; the caller wipes text. */
int conf_private_file(const char *path, char *text, size_t room, char why[CONF_WHY]);
/* After all keys are read: what the cluster's key file says must fit it, and OperatorKey.  Likewise. */
int conf_check_cluster(const struct conf *conf, char why[CONF_WHY]);
/* A key from a file of its own, which must be private.  0, or -EINVAL and a sentence. */
int conf_secret_file(const char *path, uint8_t secret[KEY_SIZE], char why[CONF_WHY]);

/* what is the noun of the sentence: "70000 is not a port (1 to 65535)". */
#define NUMBER(what, min, max) min, max, what " (" #min " to " #max ")"
#define WORDS(words)           0, 0, "one of " words
#define YES_NO                 WORDS("no, yes")
#define PATH_OF(max)           0, max, "an absolute path of at most " #max " characters"
#define TEXT(what)             0, 0, what
#define A_KEY                  TEXT("a key (base64 of 32 bytes)")
#define KEY_FILE               0, 255, "an absolute path of at most 255 characters"
#define ENDPOINT(port, like)   0, port, "an address with a port, " like /* port: if there is none */
#define PREFIXES               TEXT("an address or a prefix, as 10.7.0.0/16 or fd07::/64")

#define S CONF_SERVER /* short, so that the table stays a table */
#define C CONF_CLIENT
#define B CONF_BOTH

/* X(section, key, roles, flags, parser, member, limits and allowed, default, sentence) */
#define CONF_KEYS(X)                                                                               \
	X("Server", "Number", S, CONF_REQUIRED, conf_number, number,                               \
	  NUMBER("a server number", 1, 65535), NULL,                                               \
	  "This server's number; no two servers of a cluster have the same.")                      \
	X("Server", "ClusterKeyFile", S, CONF_REQUIRED | CONF_RELOAD, conf_cluster_file, cluster,  \
	  KEY_FILE, NULL,                                                                          \
	  "File with the cluster's secret key, made by anyrelay genkey; mode 0600. While the key " \
	  "is changed it holds the next one too: anyrelay cluster-key writes it.")                 \
	X("Server", "OperatorKey", S, CONF_REQUIRED, conf_operator, operator,                      \
	  TEXT("an operator's public key (base64 of 64 bytes)"), NULL,                             \
	  "Public key of the operator, who signs the clients: anyrelay pubkey --operator.")        \
	X("Server", "Port", S, 0, conf_number, port, NUMBER("a port", 1, 65535), "4444",           \
	  "The UDP port on the anycast address.")                                                  \
	X("Server", "Listen", S, CONF_LIST | CONF_REQUIRED, conf_listen, listen,                   \
	  TEXT("an address, as 192.0.2.1 or 2001:db8::1"), NULL,                                   \
	  "The anycast address: one IPv4 address, one IPv6 address, or one of each.")              \
	X("Server", "Clients", S, CONF_RELOAD, conf_path, clients_file, PATH_OF(255),              \
	  "/etc/anyrelay/clients",                                                                 \
	  "File of the enrolled clients, written by anyrelay enroll.")                             \
	X("Server", "KeepaliveMin", S, CONF_RELOAD, conf_number, keepalive_min,                    \
	  NUMBER("a keep-alive in seconds", 10, 120), "10",                                        \
	  "Shortest keep-alive interval that is granted to clients, in seconds.")                  \
	X("Server", "KeepaliveMax", S, CONF_RELOAD, conf_number, keepalive_max,                    \
	  NUMBER("a keep-alive in seconds", 10, 120), "120",                                       \
	  "Longest keep-alive interval that is granted to clients, in seconds.")                   \
	X("Server", "HandshakeRate", S, CONF_RELOAD, conf_number, handshake_rate,                  \
	  NUMBER("a rate a second", 1, 1000000), "2000",                                           \
	  "Handshakes a second above which a client must first prove its address.")                \
	X("Server", "HandshakePrefixRate", S, CONF_RELOAD, conf_number, handshake_prefix_rate,     \
	  NUMBER("a rate a second", 1, 1000000), "50",                                             \
	  "Handshakes a second that one network (IPv4 /24, IPv6 /56) may make, always.")        \
	X("Server", "FloodRate", S, CONF_RELOAD, conf_number, flood_rate,                          \
	  NUMBER("a rate a second", 0, 10000000), "1000",                                          \
	  "Copies a second that multicast, broadcast and flooding of one client may cause.")       \
	X("Server", "ClientRate", S, CONF_RELOAD, conf_number, client_rate,                        \
	  NUMBER("a rate a second", 0, 100000000), "0",                                            \
	  "Packets a second that are taken from one client; 0 sets no limit.")                     \
	X("Server", "FairShare", S, CONF_RELOAD, conf_one_of, fair_share, YES_NO, "yes",           \
	  "While the server cannot keep up, drop what is beyond a client's fair share of what it " \
	  "can do, before it takes the room of others.")                                           \
	X("Server", "ActiveSessions", S, 0, conf_number, active_sessions,                          \
	  NUMBER("a number of sessions", 16, 16777216), "65536",                                   \
	  "Sessions that can have their keys ready at the same time; more cost memory.")           \
                                                                                                   \
	X("Client", "PrivateKey", C, CONF_SECRET, conf_key_text, client_secret, A_KEY, NULL,       \
	  "The client's secret key; the configuration file must then be private (0600).")          \
	X("Client", "PrivateKeyFile", C, 0, conf_key_file, client_secret, KEY_FILE, NULL,          \
	  "File with the client's secret key, in place of PrivateKey; mode 0600.")                 \
	X("Client", "PresharedKey", C, CONF_SECRET, conf_key_text, psk, A_KEY, NULL,               \
	  "The pre-shared key that anyrelay enroll printed.")                                      \
	X("Client", "PresharedKeyFile", C, 0, conf_key_file, psk, KEY_FILE, NULL,                  \
	  "File with the pre-shared key, in place of PresharedKey; mode 0600.")                    \
	X("Client", "ClusterKeys", C, CONF_LIST | CONF_REQUIRED, conf_key_text, cluster_keys,      \
	  A_KEY, NULL, "Public keys of the cluster, the newest first; at most 4.")                 \
	X("Client", "OperatorKey", C, 0, conf_operator, operator,                                  \
	  TEXT("an operator's public key (base64 of 64 bytes)"), NULL,                             \
	  "Public key of the operator, whose word on new keys of the cluster is taken; without "   \
	  "it, only those of ClusterKeys are.")                                                    \
	X("Client", "Server", C, CONF_LIST | CONF_REQUIRED, conf_server, servers,                  \
	  TEXT("an address with a port, as 192.0.2.1:4444 or [2001:db8::1]:4444"), NULL,           \
	  "The cluster's anycast address; at most two, tried in this order. Without a port: 4444.")\
	X("Client", "Keepalive", C, 0, conf_number, keepalive,                                     \
	  0, 120, "a keep-alive in seconds (0, or 10 to 120)", "20",                               \
	  "Send something after so many silent seconds, so that NAT keeps the mapping; 0: never.") \
	X("Client", "Unlinkable", C, 0, conf_one_of, unlinkable, YES_NO, "no",                     \
	  "Begin a new session at every change of network, so that observers cannot link the two.")\
	X("Client", "Cipher", C, 0, conf_one_of, aead,                                             \
	  WORDS("aes-256-gcm, chacha20-poly1305"), "aes-256-gcm",                                  \
	  "The cipher to ask for; chacha20-poly1305 is faster on a CPU without AES.")              \
                                                                                                   \
	X("Tunnel", "Device", B, 0, conf_device, device,                                           \
	  TEXT("a device name (1 to 15 of A-Z a-z 0-9 . _ -)"), "any0",                            \
	  "Name of the tunnel device.")                                                            \
	X("Tunnel", "Payload", C, 0, conf_one_of, ethernet, WORDS("ip, ethernet"), "ip",           \
	  "What the device carries; ethernet makes it a TAP device and needs that right.")         \
	X("Tunnel", "EthernetDevice", S, 0, conf_device, ethernet_device,                          \
	  TEXT("a device name (1 to 15 of A-Z a-z 0-9 . _ -)"), NULL,                              \
	  "Name of a TAP device beside the tunnel device, for Ethernet frames; none by default.")  \
	X("Tunnel", "Address", B, CONF_LIST, conf_prefix, address, PREFIXES, NULL,                 \
	  "Addresses of the device with their prefix lengths; on a server also the networks from " \
	  "which clients get their addresses.")                                                    \
	X("Tunnel", "Routes", C, CONF_LIST, conf_prefix, routes, PREFIXES, NULL,                   \
	  "Networks to be reached through the tunnel, besides those of Address.")                  \
	X("Tunnel", "Networks", S, CONF_LIST | CONF_RELOAD, conf_prefix, networks, PREFIXES, NULL, \
	  "Networks behind this server that clients may reach, but for the addresses of anycast, mesh, registry and metrics.") \
	X("Tunnel", "Broadcast", B, CONF_RELOAD, conf_one_of, broadcast, YES_NO, "no",             \
	  "Carry IPv4 broadcast; the client that sends it needs that right.")                      \
	X("Tunnel", "CopyDSCP", B, CONF_RELOAD, conf_one_of, copy_dscp, YES_NO, "no",              \
	  "Copy the DSCP of the packet inside to the packet outside, where observers see it.")     \
	X("Tunnel", "ClampMSS", B, CONF_RELOAD, conf_one_of, clamp_mss, YES_NO, "yes",             \
	  "Lower the MSS of TCP connections to what the tunnel carries.")                          \
	X("Tunnel", "MTU", B, 0, conf_number, mtu, NUMBER("an MTU in bytes", 1280, 1420), "1420",  \
	  "Largest packet inside the tunnel; the path may allow less, which is found out.")        \
                                                                                                   \
	X("Anycast", "Announce", S, 0, conf_one_of, announce, YES_NO, "no",                        \
	  "Have the Listen addresses on the tunnel device, where they end with the daemon, and "   \
	  "announce them to the network by a marker route that BIRD learns.")                      \
	X("Anycast", "Guard", S, 0, conf_one_of, guard, YES_NO, "yes",                             \
	  "With Announce: a packet filter that outlives the daemon keeps a server that is killed " \
	  "from resetting its clients' connections.")                                              \
	X("Anycast", "DrainTime", S, CONF_RELOAD, conf_number, drain_time,                         \
	  NUMBER("a time in seconds", 0, 3600), "1",                                               \
	  "With Announce: how long a server that is to stop serves on after it has withdrawn.")    \
                                                                                                   \
	X("Mesh", "Address", S, 0, conf_endpoint, mesh,                                                \
	  ENDPOINT(4445, "as 192.0.2.11:4445 or [2001:db8::11]:4445"), NULL,                       \
	  "This server's own unicast address, for the other servers of its cluster; without a "    \
	  "port: 4445. Without this section the server is alone.")                                 \
	X("Mesh", "PrivateKeyFile", S, 0, conf_key_file, mesh_secret, KEY_FILE, NULL,              \
	  "File with this server's own secret key, made by anyrelay genkey; mode 0600.")           \
	X("Mesh", "Servers", S, CONF_RELOAD, conf_path, servers_file, PATH_OF(255),                \
	  "/etc/anyrelay/servers",                                                                 \
	  "File of the servers, this one too, written by anyrelay server add. With Type = nats the "\
	  "list comes from there, and this file, if there is one, adds to it.")                    \
                                                                                                   \
	X("Registry", "Type", S, 0, conf_one_of, registry_nats, WORDS("local, nats"), "local",     \
	  "Where clients are known from and servers tell each other where clients are: local is "  \
	  "the file Clients, for a single server; nats is a cluster of NATS servers.")             \
	X("Registry", "Servers", S, CONF_LIST, conf_url, registry_urls,                            \
	  TEXT("a URL, as nats://192.0.2.10:4222 or tls://nats.example:4222"), NULL,               \
	  "The NATS servers, at most 8; JetStream must be on.")                                    \
	X("Registry", "Credentials", S, 0, conf_path, registry_credentials, PATH_OF(255), NULL,    \
	  "File with the NATS user's JWT and seed, as nsc writes it.")                             \
	X("Registry", "TLSCA", S, 0, conf_path, tls_ca, PATH_OF(255), NULL,                        \
	  "File with the certificates that sign those of the NATS servers, PEM; turns TLS on.")    \
	X("Registry", "TLSCert", S, 0, conf_path, tls_cert, PATH_OF(255), NULL,                    \
	  "File with this server's certificate for NATS, PEM; needs TLSKey.")                      \
	X("Registry", "TLSKey", S, 0, conf_path, tls_key, PATH_OF(255), NULL,                      \
	  "File with the secret key of TLSCert, PEM.")                                             \
	X("Registry", "Replicas", S, 0, conf_number, replicas,                                     \
	  NUMBER("a number of copies", 1, 5), "3",                                                 \
	  "Copies that NATS keeps of each bucket, when this server is the one that makes it.")     \
	X("Registry", "MaxAge", S, 0, conf_number, max_age,                                        \
	  NUMBER("a time in seconds", 10, 604800), "3600",                                         \
	  "How long clients are served while NATS cannot be reached, and nobody learns who has "   \
	  "been removed.")                                                                         \
                                                                                                   \
	X("Relay", "Ports", S, 0, conf_ports, relay_ports,                                         \
	  TEXT("a range of ports, as 20000-59999 (1024 to 65535)"), NULL,                          \
	  "Ports on the anycast addresses that relays may have, the same ones on every server of " \
	  "the cluster. Of N ports there is room for N relays of TCP and N of UDP, if there are "  \
	  "addresses of both families; for half of them with one; those that ended within the "    \
	  "last 600 s count. Without this key there are no relays.")                               \
	X("Relay", "Uplinks", S, CONF_LIST, conf_uplink, relay_uplinks,                            \
	  TEXT("a device name (1 to 15 of A-Z a-z 0-9 . _ -)"), NULL,                              \
	  "Devices at which packets for relays come in, at most 4; by default those with a "       \
	  "default route when the daemon starts.")                                                 \
	X("Relay", "PerClient", S, CONF_RELOAD, conf_number, relay_per_client,                     \
	  NUMBER("a number of relays", 1, 65535), "64",                                            \
	  "Relays that one client may have at a time.")                                            \
	X("Relay", "AllowPrivate", S, CONF_RELOAD, conf_one_of, relay_allow_private, YES_NO, "no", \
	  "Let relays lead into private networks (RFC 1918, 100.64.0.0/10, fc00::/7).")            \
	X("Relay", "Deny", S, CONF_LIST | CONF_RELOAD, conf_prefix, relay_deny, PREFIXES, NULL,    \
	  "Where relays may not lead, besides what is always denied: the cluster's own addresses, "\
	  "loopback, link-local, multicast and broadcast. Other clusters that relay belong here: " \
	  "a packet between relays that lead to each other goes round until its hop limit ends.")  \
	X("Relay", "MSS", S, 0, conf_number, relay_mss,                                            \
	  NUMBER("a segment size in bytes", 536, 1440), "1360",                                    \
	  "Largest segment that relayed TCP connections may agree on.")                            \
	X("Relay", "Entries", S, 0, conf_number, relay_entries,                                    \
	  NUMBER("a number of entries", 64, 16777216), "262144",                                   \
	  "Places in the kernel's table of relays: two for each relay, four if it has two ports "  \
	  "on each side.")                                                                         \
	X("Relay", "RTPProxy", S, 0, conf_endpoint, rtpproxy,                                      \
	  ENDPOINT(7722, "as 127.0.0.1:7722"), NULL,                                               \
	  "Address for SIP proxies that speak rtpproxy's control protocol over UDP, as Kamailio's " \
	  "module rtpproxy does; without a port: 7722. On the anycast address any server answers. " \
	  "Without this key there is none.")                                                       \
	X("Relay", "RTPProxyAllow", S, CONF_LIST, conf_prefix, rtpproxy_allow, PREFIXES, NULL,     \
	  "Addresses of the SIP proxies that may use it, besides loopback. Sources of UDP can be " \
	  "forged: the network must keep others from sending under these.")                        \
	X("Relay", "RTPProxyLifetime", S, 0, conf_number, rtpproxy_lifetime,                       \
	  NUMBER("a time in seconds", 60, 3600), "3600",                                           \
	  "How long a call's relay lasts after the last offer or answer of the call.")             \
                                                                                                   \
	X("Metrics", "Listen", B, CONF_COMPUTED, conf_metrics, metrics,                            \
	  TEXT("an address with a port, as 127.0.0.1:9444 or [::1]:9444, or no"),                  \
	  "127.0.0.1:9444 on a server, no on a client",                                            \
	  "Where metrics for Prometheus (/metrics) and health for load balancers (/health) can be "\
	  "had by HTTP, without encryption or a password; without a port: 9444.")                  \
                                                                                                   \
	X("Daemon", "Name", B, CONF_COMPUTED, conf_name, name,                                     \
	  TEXT("a name (1 to 31 of A-Z a-z 0-9 . _ -)"), "server or client",                       \
	  "Name of this daemon, for its control socket.")                                          \
	X("Daemon", "ControlSocket", B, CONF_COMPUTED, conf_path, control_socket, PATH_OF(107),    \
	  "/run/anyrelay/NAME.sock", "Socket that the tool anyrelay talks to.")                    \
	X("Daemon", "StateDirectory", B, 0, conf_path, state_directory, PATH_OF(223),              \
	  "/var/lib/anyrelay", "Directory for what must be kept over a restart.")                  \
	X("Daemon", "User", B, 0, conf_name, user,                                                 \
	  TEXT("a user name (1 to 31 of A-Z a-z 0-9 . _ -)"), "anyrelay",                          \
	  "User to become after setting up.")                                                      \
	X("Daemon", "Workers", B, 0, conf_number, workers,                                         \
	  NUMBER("a number of threads", 1, 64), "1",                                               \
	  "Threads that carry packets, each with a CPU of its own if there are as many.")          \
	X("Daemon", "CryptoBackend", B, 0, conf_one_of, backend,                                   \
	  WORDS("auto, openssl, ipsec-mb"), "auto",                                                \
	  "Library that encrypts packets; auto takes the fastest for this CPU.")                   \
	X("Daemon", "LogLevel", B, CONF_RELOAD, conf_one_of, log_level,                            \
	  WORDS("error, warning, notice, info, debug"), "info",                                    \
	  "Least important messages that are still written.")                                      \
	X("Daemon", "Watchdog", S, 0, conf_number, watchdog,                                       \
	  NUMBER("a time in seconds", 0, 60), "2",                                                 \
	  "A daemon that has hung for so many seconds kills itself, so that its address goes; 0: " \
	  "never.")                                                                                \
	X("Daemon", "TestNoUSO", B, 0, conf_one_of, no_uso, YES_NO, "no",                          \
	  "For tests: do without UDP segmentation offload, as on a kernel before 6.2.")

#endif
