/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
/*
 * Messages for people.  To stderr, one line each, with the systemd priority
 * prefix ("<3>") when stderr is the journal.  A message is a sentence: what is
 * wrong, where, what would be right.  Anything that a stranger's packet can
 * cause is LOG_DEBUG and counted instead (see drop.h); what a client or the
 * network can repeat goes through log_limited().
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>

enum log_level { LOG_ERROR, LOG_WARNING, LOG_NOTICE, LOG_INFO, LOG_DEBUG };

void log_open(const char *program, enum log_level most);
void log_set_level(enum log_level most);
bool log_level_parse(const char *text, enum log_level *level);
void log_write(enum log_level level, const char *format, ...)
		__attribute__((format(printf, 2, 3)));
/* At most burst lines a minute from this place; the next one says how many were left out. */
#define log_limited(level, burst, ...)                                                             \
	do {                                                                                       \
		static struct log_limit limit_;                                                    \
		if (log_limit_pass(&limit_, level, burst))                                         \
			log_write(level, __VA_ARGS__);                                             \
	} while (0)

struct log_limit {
	_Atomic long minute;
	_Atomic unsigned count;
};
bool log_limit_pass(struct log_limit *limit, enum log_level level, unsigned burst);

#define log_error(...)   log_write(LOG_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_WARNING, __VA_ARGS__)
#define log_notice(...)  log_write(LOG_NOTICE, __VA_ARGS__)
#define log_info(...)    log_write(LOG_INFO, __VA_ARGS__)
#define log_debug(...)   log_write(LOG_DEBUG, __VA_ARGS__)

#endif
