"""The default filter of system calls, and how a profile becomes a program.

The default is Docker's, as facts: everything is refused but what stands here; capabilities, architecture and arguments
open more.  A profile of the user's own may have OCI's form (``linux.seccomp``) or Docker's (with ``includes`` and
``excludes``); both are resolved here, then assembled by kernel/seccomp.py.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from corten.errors import Invalid
from corten.kernel import flags, seccomp, syscalls
from corten.kernel.seccomp import Condition, Rule

_ALWAYS = """
_llseek _newselect accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir chmod chown
chown32 clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64
clock_nanosleep clock_nanosleep_time64 close close_range connect copy_file_range creat dup dup2 dup3
epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd
eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark
fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock
fork fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futex
futex_requeue futex_time64 futex_wait futex_waitv futex_wake futimesat get_robust_list get_thread_area getcpu
getcwd getdents getdents64 getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getitimer
getpeername getpgid getpgrp getpid getppid getpriority getrandom getresgid getresgid32 getresuid getresuid32
getrlimit getrusage getsid getsockname getsockopt gettid gettimeofday getuid getuid32 getxattr getxattrat
inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents
io_pgetevents_time64 io_setup io_submit ioctl ioprio_get ioprio_set ipc kill landlock_add_rule
landlock_create_ruleset landlock_restrict_self lchown lchown32 lgetxattr link linkat listen listmount listxattr
listxattrat llistxattr lremovexattr lseek lsetxattr lstat lstat64 madvise map_shadow_stack membarrier
memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap mmap2 mprotect
mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64
mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall munmap name_to_handle_at nanosleep
newfstatat open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect
poll ppoll ppoll_time64 prctl pread64 preadv preadv2 prlimit64 process_mrelease process_vm_readv
process_vm_writev pselect6 pselect6_time64 ptrace pwrite64 pwritev pwritev2 read readahead readlink readlinkat
readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages removexattr removexattrat rename renameat
renameat2 restart_syscall riscv_hwprobe rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo
rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_get_priority_max
sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval
sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield
seccomp select semctl semget semop semtimedop semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto
set_robust_list set_thread_area set_tid_address setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32
setgroups setgroups32 setitimer setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid
setresuid32 setreuid setreuid32 setrlimit setsid setsockopt setuid setuid32 setxattr setxattrat shmat shmctl
shmdt shmget shutdown sigaltstack signalfd signalfd4 sigprocmask sigreturn socketcall socketpair splice stat
stat64 statfs statfs64 statmount statx symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time
timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64
timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill truncate
truncate64 ugetrlimit umask uname unlink unlinkat uretprobe utime utimensat utimensat_time64 utimes vfork
vmsplice wait4 waitid waitpid write writev
"""

_WITH_CAPABILITY = {
    "CAP_DAC_READ_SEARCH": "open_by_handle_at",
    "CAP_SYS_ADMIN": (
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr "
        "lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl "
        "quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare"
    ),
    "CAP_SYS_BOOT": "reboot",
    "CAP_SYS_CHROOT": "chroot",
    "CAP_SYS_MODULE": "delete_module init_module finit_module",
    "CAP_SYS_PACCT": "acct",
    "CAP_SYS_PTRACE": "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
    "CAP_SYS_RAWIO": "iopl ioperm",
    "CAP_SYS_TIME": "settimeofday stime clock_settime clock_settime64",
    "CAP_SYS_TTY_CONFIG": "vhangup",
    "CAP_SYS_NICE": "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    "CAP_SYSLOG": "syslog",
    "CAP_BPF": "bpf",
    "CAP_PERFMON": "perf_event_open",
}

_BY_ARCHITECTURE = {
    flags.AUDIT_ARCH_X86_64: "arch_prctl modify_ldt",
    flags.AUDIT_ARCH_I386: "arch_prctl modify_ldt",
    flags.AUDIT_ARCH_AARCH64: "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls",
}

_PERSONALITIES = (0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)  # Linux, 32-bit limits, uname 2.6, both, and asking
_CLONE_NAMESPACES = 0x7E020000  # every CLONE_NEW… flag
_AF_ALG, _AF_VSOCK = 38, 40  # the kernel's crypto and the hypervisor stay out of reach

_OPERATORS = {
    "SCMP_CMP_EQ": "eq",
    "SCMP_CMP_NE": "ne",
    "SCMP_CMP_LT": "lt",
    "SCMP_CMP_LE": "le",
    "SCMP_CMP_GT": "gt",
    "SCMP_CMP_GE": "ge",
    "SCMP_CMP_MASKED_EQ": "masked",
}
_ARCHITECTURES = {"x86_64": (flags.AUDIT_ARCH_X86_64, flags.AUDIT_ARCH_I386), "aarch64": (flags.AUDIT_ARCH_AARCH64,)}
_DOCKER_NAMES = {
    flags.AUDIT_ARCH_X86_64: {"amd64", "x32"},
    flags.AUDIT_ARCH_I386: {"amd64", "x86"},
    flags.AUDIT_ARCH_AARCH64: {"arm64", "arm"},
}


@cache
def default_program(capabilities: frozenset[str], machine: str = os.uname().machine) -> bytes:
    """The default profile for a bounding set."""
    refusal = seccomp.errno_action(errno.EPERM)
    tables = {
        arch: _table(arch, _default_rules(arch, capabilities), refusal) for arch in _ARCHITECTURES.get(machine, ())
    }
    return seccomp.assemble(tables, refusal)


def default_rules(capabilities: frozenset[str], machine: str = os.uname().machine) -> dict[str, list[Rule]]:
    """The default profile by name, for the machine's own architecture; empty for a machine that we have none for."""
    return next((_default_rules(arch, capabilities) for arch in _ARCHITECTURES.get(machine, ())), {})


def applying(profile: Mapping[str, Any], held: frozenset[str], machine: str) -> list[Mapping[str, Any]]:
    """The entries of a profile that hold for the machine's own architecture and a bounding set."""
    arch = next(iter(_ARCHITECTURES.get(machine, ())), None)
    entries = profile.get("syscalls") or ()
    return [entry for entry in entries if arch is not None and _applies(entry, held, arch)]


def _default_rules(arch: int, capabilities: frozenset[str]) -> dict[str, list[Rule]]:
    allow = Rule(flags.SECCOMP_RET_ALLOW)
    rules: dict[str, list[Rule]] = {name: [allow] for name in _ALWAYS.split()}
    for name in _BY_ARCHITECTURE[arch].split():
        rules[name] = [allow]
    rules["socket"] = [
        Rule(allow.action, (Condition(0, "lt", _AF_ALG),)),
        Rule(allow.action, (Condition(0, "eq", 39),)),
        Rule(allow.action, (Condition(0, "gt", _AF_VSOCK),)),
    ]
    rules["personality"] = [Rule(allow.action, (Condition(0, "eq", value),)) for value in _PERSONALITIES]
    if "CAP_SYS_ADMIN" not in capabilities:
        # Threads yes, namespaces no.  clone3 hides its flags in memory, so it must look as if it did not exist.
        rules["clone"] = [Rule(allow.action, (Condition(0, "masked", 0, _CLONE_NAMESPACES),))]
        rules["clone3"] = [Rule(seccomp.errno_action(errno.ENOSYS))]
    for capability in capabilities:
        for name in _WITH_CAPABILITY.get(capability, "").split():
            rules[name] = [allow]
    return rules


def _table(arch: int, rules: Mapping[str, list[Rule]], refusal: int) -> seccomp.Table:
    numbers = syscalls.numbers(arch)
    by_number = {numbers[name]: tuple(listed) for name, listed in rules.items() if name in numbers}
    # A refusal by EPERM is read as "no" by programs; for calls newer than the profile "unknown" is the honest answer.
    is_errno = refusal & 0xFFFF0000 == flags.SECCOMP_RET_ERRNO
    unknown = seccomp.errno_action(errno.ENOSYS) if is_errno else refusal
    return seccomp.Table(by_number, max(numbers.values()), unknown)


def program(profile: Mapping[str, Any], capabilities: Iterable[str], machine: str = os.uname().machine) -> bytes:
    """Any profile in OCI's or Docker's form, for a bounding set."""
    held = frozenset(capabilities)
    try:
        default = _action(str(profile["defaultAction"]), profile.get("defaultErrnoRet"))
        tables = {}
        for arch in _ARCHITECTURES.get(machine, ()):
            rules: dict[str, list[Rule]] = {}
            for entry in profile.get("syscalls") or ():
                if not _applies(entry, held, arch):
                    continue
                made = _rules(entry)
                for name in entry.get("names") or [entry["name"]]:
                    rules.setdefault(name, []).extend(made)
            for listed in rules.values():
                listed.sort(key=lambda rule: not rule.conditions)  # what tests arguments comes first
            tables[arch] = _table(arch, rules, default)
    except (KeyError, TypeError, ValueError) as failure:
        raise Invalid(f"seccomp profile: {type(failure).__name__}: {failure}") from failure
    return seccomp.assemble(tables, default)


def _action(name: str, number: int | None) -> int:
    if name == "SCMP_ACT_ERRNO":
        return seccomp.errno_action(errno.EPERM if number is None else number)
    if name == "SCMP_ACT_TRACE":
        return flags.SECCOMP_RET_TRACE | (number or 0) & 0xFFFF
    return {
        "SCMP_ACT_ALLOW": flags.SECCOMP_RET_ALLOW,
        "SCMP_ACT_LOG": flags.SECCOMP_RET_LOG,
        "SCMP_ACT_TRAP": flags.SECCOMP_RET_TRAP,
        "SCMP_ACT_KILL": flags.SECCOMP_RET_KILL_THREAD,
        "SCMP_ACT_KILL_THREAD": flags.SECCOMP_RET_KILL_THREAD,
        "SCMP_ACT_KILL_PROCESS": flags.SECCOMP_RET_KILL_PROCESS,
    }[name]


def _applies(entry: Mapping[str, Any], held: frozenset[str], arch: int) -> bool:
    includes, excludes = entry.get("includes") or {}, entry.get("excludes") or {}
    names = _DOCKER_NAMES[arch]
    if includes.get("caps") and not held.issuperset(includes["caps"]):
        return False
    if includes.get("arches") and names.isdisjoint(includes["arches"]):
        return False
    if excludes.get("caps") and not held.isdisjoint(excludes["caps"]):
        return False
    return not (excludes.get("arches") and not names.isdisjoint(excludes["arches"]))


def _rules(entry: Mapping[str, Any]) -> list[Rule]:
    action = _action(str(entry["action"]), entry.get("errnoRet"))
    conditions = [_condition(each) for each in entry.get("args") or ()]
    indexes = [each.index for each in conditions]
    if len(set(indexes)) < len(indexes):
        # docker: tests of one argument more than once are alternatives, each a rule of its own
        return [Rule(action, (each,)) for each in conditions]
    return [Rule(action, tuple(conditions))]


def _condition(body: Mapping[str, Any]) -> Condition:
    op, value, second = _OPERATORS[body["op"]], int(body.get("value") or 0), int(body.get("valueTwo") or 0)
    if op == "masked":
        return Condition(int(body["index"]), op, second, value)  # value is the mask, valueTwo the datum
    return Condition(int(body["index"]), op, value)
