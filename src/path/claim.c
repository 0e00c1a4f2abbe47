/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "path/claim.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int claim_take(const char *use, const char *device)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX}; /* its first byte stays 0: abstract */
	int len = snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "anyrelay/%s/%s", use, device);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), failed;

	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&name,
			(socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len)) == 0)
		return 0;
	failed = -errno;
	close(fd);
	return failed;
}
