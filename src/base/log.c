/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"

#define LINE_MAX_SIZE 1024 /* longer messages are cut */
#define PRIORITY_BASE 3    /* LOG_ERROR is the journal's "err" */

static const char *const level_names[] = {
		[LOG_ERROR] = "error",
		[LOG_WARNING] = "warning",
		[LOG_NOTICE] = "notice",
		[LOG_INFO] = "info",
		[LOG_DEBUG] = "debug",
};

static const char *program_name = "anyrelay";
static _Atomic int log_most = LOG_INFO;
static bool to_journal;

/* systemd names the journal's socket by device and inode: a redirected stderr is not that one. */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
	       fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

void log_open(const char *program, enum log_level most)
{
	program_name = program;
	to_journal = stderr_is_journal();
	log_set_level(most);
}

void log_set_level(enum log_level most)
{
	atomic_store_explicit(&log_most, (int)most, memory_order_relaxed);
}

static bool level_is_on(enum log_level level)
{
	return (int)level <= atomic_load_explicit(&log_most, memory_order_relaxed);
}

bool log_level_parse(const char *text, enum log_level *level)
{
	for (unsigned i = 0; i < ARRAY_SIZE(level_names); i++) {
		if (strcmp(text, level_names[i]) == 0) {
			*level = (enum log_level)i;
			return true;
		}
	}
	return false;
}

/* Text from others (names, paths) must not be able to begin a line or drive a terminal. */
static void replace_control_characters(char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
	}
}

void log_write(enum log_level level, const char *format, ...)
{
	int saved_errno = errno;
	char line[LINE_MAX_SIZE + 1]; /* with the end of the line in place of the NUL */
	size_t used;
	va_list ap;
	ssize_t n;

	if (!level_is_on(level))
		return;
	if (to_journal)
		used = (size_t)snprintf(line, LINE_MAX_SIZE, "<%d>", (int)level + PRIORITY_BASE);
	else
		used = (size_t)snprintf(line, LINE_MAX_SIZE, "%.64s: %s: ", program_name,
				level_names[level]);
	va_start(ap, format);
	vsnprintf(line + used, LINE_MAX_SIZE - used, format, ap);
	va_end(ap);
	replace_control_characters(line + used);
	used += strlen(line + used);
	line[used++] = '\n';
	do /* one write a line: lines of several threads do not mix */
		n = write(STDERR_FILENO, line, used);
	while (n < 0 && errno == EINTR);
	errno = saved_errno;
}

bool log_limit_pass(struct log_limit *limit, enum log_level level, unsigned burst)
{
	struct timespec ts;
	long now, was = atomic_load_explicit(&limit->minute, memory_order_relaxed);

	if (!level_is_on(level))
		return false;
	clock_gettime(CLOCK_BOOTTIME, &ts);
	now = ts.tv_sec / 60 + 1; /* 0 means: never yet */
	if (was < now && atomic_compare_exchange_strong(&limit->minute, &was, now)) {
		unsigned count = atomic_exchange(&limit->count, 0);

		if (count > burst)
			log_write(level, "%u messages like the next one were left out",
					count - burst);
	}
	return atomic_fetch_add(&limit->count, 1) < burst;
}
