/* SPDX-License-Identifier: BSD-2-Clause */
/* Copyright (c) 2026 The anyrelay authors */
#include "priv.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/sockios.h>
#include <pwd.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/log.h"
#include "base/util.h"

void priv_harden(void)
{
	struct rlimit none = {0, 0};
	int fd;

	/* A closed standard descriptor would be given to a socket, and a message written into that. */
	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

/*
 * Keys are in many places (directory, sessions, epoch keys), so all memory is
 * kept from swap, each page from when it is first touched.  What is allocated
 * later can only be locked where the limit may be raised (CAP_SYS_RESOURCE, or
 * LimitMEMLOCK= in the unit).
 */
static void lock_memory(void)
{
	struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};
	int future = setrlimit(RLIMIT_MEMLOCK, &all) == 0 ? MCL_FUTURE : 0;

	if (mlockall(MCL_CURRENT | MCL_ONFAULT | future) != 0)
		log_warning("memory with keys cannot be kept from swap: %s", strerror(errno));
}

/* ---- user and capabilities ---- */

/* Leaves CAP_NET_ADMIN in the set to be applied, if we have it at all. */
static void choose_capabilities(void)
{
	bool have;

	capng_get_caps_process();
	have = capng_have_capability(CAPNG_PERMITTED, CAP_NET_ADMIN);
	capng_clear(CAPNG_SELECT_BOTH);
	if (have)
		capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, CAP_NET_ADMIN);
}

static int become(const char *user, char *error, size_t error_size)
{
	struct passwd *pw;
	int code;

	errno = 0;
	pw = getpwnam(user);
	if (!pw)
		return fail(errno ? -errno : -ENOENT, error, error_size,
				"there is no user %s on this machine: make it, or set User to one "
				"that exists", user);
	if (geteuid() == pw->pw_uid)
		return priv_drop(NULL, error, error_size);
	if (geteuid() != 0)
		return fail(-EPERM, error, error_size, "cannot become user %s: only root can; start "
				"as root, or as that user", user);
	choose_capabilities();
	code = capng_change_id((int)pw->pw_uid, (int)pw->pw_gid,
			CAPNG_DROP_SUPP_GRP | CAPNG_CLEAR_BOUNDING);
	if (code != 0)
		return fail(-EPERM, error, error_size, "cannot become user %s with CAP_NET_ADMIN "
				"alone: libcap-ng error %d", user, code);
	return 0;
}

static int stay(char *error, size_t error_size)
{
	capng_select_t set = CAPNG_SELECT_CAPS;

	choose_capabilities();
	if (geteuid() == 0) /* the bounding set takes CAP_SETPCAP, which an own user lacks */
		set = CAPNG_SELECT_BOTH;
	if (capng_apply(set) != 0)
		return fail(-EPERM, error, error_size,
				"cannot give up capabilities: the kernel refuses capset");
	return 0;
}

int priv_drop(const char *user, char *error, size_t error_size)
{
	int result;

	lock_memory();
	result = user ? become(user, error, error_size) : stay(error, error_size);
	if (result != 0)
		return result;
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	/* A change of user puts back what priv_harden() has set. */
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return fail(-errno, error, error_size, "cannot set no_new_privs: %s",
				strerror(errno));
	return 0;
}

/* ---- seccomp ---- */

/* What a running daemon calls, whatever the arguments. */
static const int allowed[] = {
	/* packets and the control socket */
	SCMP_SYS(recvmmsg), SCMP_SYS(sendmmsg), SCMP_SYS(recvmsg), SCMP_SYS(sendmsg),
	SCMP_SYS(recvfrom), SCMP_SYS(sendto), SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv),
	SCMP_SYS(writev), SCMP_SYS(bind), SCMP_SYS(connect), SCMP_SYS(listen), SCMP_SYS(accept4),
	SCMP_SYS(shutdown), SCMP_SYS(getsockopt), SCMP_SYS(setsockopt), SCMP_SYS(getsockname),
	SCMP_SYS(getpeername), SCMP_SYS(close),
	/* waiting */
	SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_pwait2), SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_create1), SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(eventfd2),
	SCMP_SYS(timerfd_create), SCMP_SYS(timerfd_settime), SCMP_SYS(signalfd4),
	SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep), SCMP_SYS(restart_syscall),
	/* files: reload, state, control socket, /proc/net */
	SCMP_SYS(openat), SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(statx), SCMP_SYS(lseek),
	SCMP_SYS(pread64), SCMP_SYS(pwrite64), SCMP_SYS(fsync), SCMP_SYS(fdatasync),
	SCMP_SYS(ftruncate), SCMP_SYS(rename), SCMP_SYS(renameat), SCMP_SYS(renameat2),
	SCMP_SYS(unlink), SCMP_SYS(unlinkat), SCMP_SYS(fchmod), SCMP_SYS(chmod),
	SCMP_SYS(fchmodat), SCMP_SYS(umask), SCMP_SYS(access), SCMP_SYS(faccessat),
	SCMP_SYS(faccessat2), SCMP_SYS(getdents64), SCMP_SYS(fcntl), SCMP_SYS(dup), SCMP_SYS(dup3),
	/* memory and threads: malloc, glibc, liburcu (futex, membarrier), OpenSSL (madvise, mlock) */
	SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(mlock),
	SCMP_SYS(mlock2), SCMP_SYS(munlock), SCMP_SYS(futex), SCMP_SYS(membarrier),
	SCMP_SYS(sched_yield), SCMP_SYS(sched_getaffinity), SCMP_SYS(rseq),
	SCMP_SYS(set_robust_list), SCMP_SYS(set_tid_address), SCMP_SYS(exit), SCMP_SYS(exit_group),
	/* signals, identity, time, randomness */
	SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigtimedwait), SCMP_SYS(sigaltstack), SCMP_SYS(tgkill), SCMP_SYS(getpid),
	SCMP_SYS(gettid), SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid), SCMP_SYS(getegid),
	SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres), SCMP_SYS(gettimeofday), SCMP_SYS(getrandom),
	SCMP_SYS(getrusage), SCMP_SYS(sysinfo), SCMP_SYS(uname), SCMP_SYS(getcpu),
};

/* Only an intruder would try these: the process ends. */
static const int hostile[] = {
	SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv),
	SCMP_SYS(process_vm_writev), SCMP_SYS(pidfd_getfd), SCMP_SYS(mount), SCMP_SYS(move_mount),
	SCMP_SYS(pivot_root), SCMP_SYS(init_module), SCMP_SYS(finit_module), SCMP_SYS(kexec_load),
	SCMP_SYS(kexec_file_load), SCMP_SYS(setns), SCMP_SYS(unshare), SCMP_SYS(userfaultfd),
	SCMP_SYS(perf_event_open), SCMP_SYS(keyctl), SCMP_SYS(io_uring_setup),
};

/* An argument that is an int: the upper half of its register is undefined. */
#define INT_IS(n, value)         {n, SCMP_CMP_MASKED_EQ, UINT32_MAX, value}
#define BITS_ARE(n, mask, value) {n, SCMP_CMP_MASKED_EQ, mask, value}

/* What a running daemon calls, but with few arguments only. */
static const struct {
	int call;
	struct scmp_arg_cmp argument;
} allowed_with[] = {
	/* IP, the control socket and rtnetlink; no raw packets, no other protocols */
	{SCMP_SYS(socket), INT_IS(0, AF_UNIX)},
	{SCMP_SYS(socket), INT_IS(0, AF_INET)},
	{SCMP_SYS(socket), INT_IS(0, AF_INET6)},
	{SCMP_SYS(socket), INT_IS(0, AF_NETLINK)},
	/* none of TUNSET*; TCGETS is stdio's question for a terminal */
	{SCMP_SYS(ioctl), INT_IS(1, FIONBIO)},
	{SCMP_SYS(ioctl), INT_IS(1, FIONREAD)},
	{SCMP_SYS(ioctl), INT_IS(1, TCGETS)},
	{SCMP_SYS(ioctl), INT_IS(1, SIOCGIFINDEX)},
	{SCMP_SYS(ioctl), INT_IS(1, SIOCGIFHWADDR)},
	/*
	 * The relays' table, by descriptors that are open: no programs, no new maps.  And what such a
	 * descriptor is: libbpf asks when it attaches one to an uplink that is back.
	 */
	{SCMP_SYS(bpf), INT_IS(0, BPF_MAP_LOOKUP_ELEM)},
	{SCMP_SYS(bpf), INT_IS(0, BPF_MAP_UPDATE_ELEM)},
	{SCMP_SYS(bpf), INT_IS(0, BPF_MAP_DELETE_ELEM)},
	{SCMP_SYS(bpf), INT_IS(0, BPF_OBJ_GET_INFO_BY_FD)},
	/* no memory that can be run */
	{SCMP_SYS(mmap), BITS_ARE(2, PROT_EXEC, 0)},
	{SCMP_SYS(mprotect), BITS_ARE(2, PROT_EXEC, 0)},
	/* threads, not processes; see clone3 below */
	{SCMP_SYS(clone), BITS_ARE(0, CLONE_THREAD, CLONE_THREAD)},
	{SCMP_SYS(prctl), INT_IS(0, PR_SET_NAME)},
	/* asking for a limit, not setting one */
	{SCMP_SYS(prlimit64), {2, SCMP_CMP_EQ, 0, 0}},
};

static int add_rules(scmp_filter_ctx ctx)
{
	int result = 0;

	for (size_t i = 0; result == 0 && i < ARRAY_SIZE(allowed); i++)
		result = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed[i], 0);
	for (size_t i = 0; result == 0 && i < ARRAY_SIZE(allowed_with); i++)
		result = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, allowed_with[i].call, 1,
				&allowed_with[i].argument);
	for (size_t i = 0; result == 0 && i < ARRAY_SIZE(hostile); i++)
		result = seccomp_rule_add(ctx, SCMP_ACT_KILL_PROCESS, hostile[i], 0);
	/* Its flags lie in memory, where no filter can look; on ENOSYS glibc falls back to clone. */
	if (result == 0)
		result = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	return result;
}

int priv_seccomp(void)
{
	/* EPERM by default: a library's harmless extra call becomes its error, not our end. */
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int result;

	if (!ctx)
		return -ENOMEM;
	/* All threads, also those that run already. */
	result = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
	if (result == 0)
		result = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a binary tree */
	if (result == 0)
		result = add_rules(ctx);
	if (result == 0)
		result = seccomp_load(ctx);
	seccomp_release(ctx);
	return result;
}
