/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Configuration text.  A refusal must come with a sentence that begins with the
 * file's name, a text that is taken must give a configuration within its limits.
 */
#include <stdlib.h>
#include <string.h>

#include "conf_keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char error[CONF_ERROR] = "";
	struct conf conf;

	if (conf_read_text(&conf, "t.conf", (const char *)data, size, error)) {
		MUST(memchr(error, 0, sizeof error));
		MUST(!strncmp(error, "t.conf:", 7));
		return 0;
	}
	MUST(conf.role == CONF_SERVER || conf.role == CONF_CLIENT);
	MUST(conf.cluster_key_count <= CONF_KEYS_MAX && conf.server_count <= 2);
	MUST(conf.address.count <= CONF_PREFIXES_MAX && conf.routes.count <= CONF_PREFIXES_MAX);
	MUST(conf.relay_ports.first <= conf.relay_ports.last &&
			conf.relay_uplinks.count <= CONF_UPLINKS_MAX);
	MUST(conf.mtu >= 1280 && conf.mtu <= 1420 && conf.workers >= 1 && conf.workers <= 64);
	MUST(conf.device[0] && memchr(conf.device, 0, sizeof conf.device));
	MUST(conf.control_socket[0] == '/' && strlen(conf.control_socket) <= 107);
	MUST(conf.role == CONF_SERVER ? conf.listen_v4 || conf.listen_v6 : conf.server_count > 0);
	conf_wipe(&conf);
	return 0;
}
