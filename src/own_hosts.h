/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * The addresses at which the cluster talks to itself and to those that ask how it
 * is: anycast, mesh, registry, metrics.  Whoever gets there from a server, by a
 * tunnel or a relay, would be trusted more than he should be.
 */
#ifndef OWN_HOSTS_H
#define OWN_HOSTS_H

#include "cluster/registry.h"
#include "cluster/servers_file.h"
#include "path/path.h"

struct daemon;

#define OWN_HOSTS_MAX (FAMILY_COUNT + REGISTRY_URLS_MAX + SERVERS_MAX + 2)

/* As this server knows them now, each as a prefix of one address, ascending; the number of them. */
unsigned own_hosts(const struct daemon *d, struct prefix list[OWN_HOSTS_MAX]);

#endif
