/* The spawner: a small process that makes the supervisor's containers' processes.
 *   spawner CHANNEL VERSION        (descriptor of a SOCK_SEQPACKET socket; version of the supervisor's requests)
 * Its first message is the version of the requests that it reads; if that differs from VERSION, it exits.
 * Each request is one message with its descriptors. The reply is the pid of the new process or -errno, and the pid of an
 * ended helper process to be reaped, or 0. Both are children of the supervisor (CLONE_PARENT). A fork of this small
 * process costs a tenth of a fork of the interpreter, and its child has no page faults from reference counts. The
 * spawner makes no decisions and keeps no state. It exits at end of file on the channel, when the supervisor ends. */
#define _GNU_SOURCE
#include "spawner.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { NR_clone3 = 435 };
enum { MAX_ENTRANCES = 32 };

static char request[MAX_REQUEST];
static pid_t *sibling; /* in memory shared with the children */

/* clone3 that makes a child of the supervisor; `cgroup`: a descriptor, or -1. */
static long clone_sibling(uint64_t flags, int cgroup, pid_t *number_at, int *pidfd) {
    uint64_t arguments[11] = {flags | CLONE_PARENT}; /* struct clone_args: pidfd second, parent_tid fourth, cgroup last */
    arguments[1] = (uint64_t)(uintptr_t)pidfd;
    arguments[3] = (uint64_t)(uintptr_t)number_at;
    if (cgroup >= 0) {
        arguments[0] |= UINT64_C(0x200000000); /* CLONE_INTO_CGROUP */
        arguments[10] = (uint64_t)cgroup;
    }
    return syscall(NR_clone3, arguments, sizeof arguments);
}

static void set_oom_score(int64_t wanted) {
    char text[32] = "", path[] = "/proc/self/oom_score_adj";
    int fd = open(path, O_RDWR | O_CLOEXEC), bad = fd < 0 || read(fd, text, sizeof text - 1) < 0;
    if (!bad && strtoll(text, NULL, 10) != wanted) {
        snprintf(text, sizeof text, "%lld", (long long)wanted);
        bad = lseek(fd, 0, SEEK_SET) < 0 || write(fd, text, strlen(text)) < 0;
    }
    if (bad) fail(K_OTHER, errno, "error setting oom_score_adj to %lld", (long long)wanted);
    close(fd);
}

/* A new network namespace begins with `lo` down. */
static void loopback_up(void) {
    struct ifreq interface = {.ifr_name = "lo"};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int bad = fd < 0 || ioctl(fd, SIOCGIFFLAGS, &interface) < 0;
    interface.ifr_flags |= IFF_UP;
    if (bad || ioctl(fd, SIOCSIFFLAGS, &interface) < 0) fail(K_OTHER, errno, "error setting the loopback interface up");
    close(fd);
}

static int entrances[MAX_ENTRANCES];
static size_t entrance_count;

/* Files through which a process enters its cgroups (v1), opened while it still sees the host's paths. */
static void open_entrances(const struct entry *entry) {
    if (entry->tasks_count > MAX_ENTRANCES) fail(K_OTHER, 0, "too many cgroup hierarchies");
    for (entrance_count = 0; entrance_count < entry->tasks_count; entrance_count++) {
        const char *tasks = entry->tasks[entrance_count];
        entrances[entrance_count] = open(tasks, O_WRONLY | O_CLOEXEC);
        if (entrances[entrance_count] < 0) fail(K_OTHER, errno, "error entering the cgroup %s", tasks);
    }
}

static void enter_cgroups(void) {
    for (size_t i = 0; i < entrance_count; i++) {
        if (write(entrances[i], "0", 1) < 0) fail(K_OTHER, errno, "error entering the cgroup");
        close(entrances[i]);
    }
}

/* The steps that need the host's paths, before this process leaves any namespace of the host. */
static void settle(const struct entry *entry, const struct process *process) {
    const struct process_extra *extra = process->extra;
    if (process->has_oom_score_adj) set_oom_score(process->oom_score_adj);
    if (extra && extra->keeps_keyring) return;
    /* ENOSYS: a kernel without keyrings; EPERM: an outer seccomp forbids them */
    if (syscall(SYS_keyctl, 1, entry->keyring) < 0 && errno != ENOSYS && errno != EPERM)
        fail(K_OTHER, errno, "error joining a session keyring");
}

/* Call it while /proc is the host's: its link `self` has the pid that the host sees. */
static const char *outside_of(const struct start_request *request) {
    char pid[16] = "";
    if (request->outside == NULL) return NULL;
    if (readlink("/proc/self", pid, sizeof pid - 1) < 0) fail(K_OTHER, errno, "error reading /proc/self");
    size_t size = strlen(request->outside) + sizeof pid + 32;
    char *variable = allocate(size, 1);
    snprintf(variable, size, "COVE_OUTSIDE=pid=%s %s", pid, request->outside);
    return variable;
}

static void set_names(const struct rootfs *plan) {
    const char *host = plan->hostname, *domain = plan->domainname;
    if ((*host && sethostname(host, strlen(host)) < 0) || (*domain && setdomainname(domain, strlen(domain)) < 0))
        fail(K_OTHER, errno, "error setting the host name");
}

static _Noreturn void start(void) {
    int64_t began = now_ns();
    struct start_request request;
    read_start_request(&request);
    const struct process *process = &request.process;
    const struct process_extra *extra = process->extra;
    open_entrances(&request.entry);
    if (extra) set_affinity(extra->cpus_initial, extra->cpus_initial_count);
    enter_cgroups();
    setsid();
    settle(&request.entry, process);
    if (extra) set_affinity(extra->cpus_final, extra->cpus_final_count);
    if (extra) set_scheduling(extra);
    if (request.unshares_cgroup && unshare(CLONE_NEWCGROUP) < 0)
        fail(K_OTHER, errno, "error making a cgroup namespace");
    for (size_t i = 0; i < request.joins_count; i++)
        if (setns(request.joins[i].fd, (int)request.joins[i].flag) < 0)
            fail(K_OTHER, errno, "error joining a namespace");
    if (request.has_new_network) loopback_up();
    const char *outside = outside_of(&request);
    int root = make_root(&request);
    take_streams(root, process, &request.streams, 1);
    set_names(&request.rootfs);
    write_sysctls(&request.rootfs);
    int fd = ensure(root, process->cwd, 1);
    if (fd < 0) fail(K_OTHER, errno, "mkdir %s", process->cwd);
    close(fd);
    mask_paths(root, &request.rootfs);
    make_read_only(root, &request.rootfs);
    if (request.asks_for_hooks) ask("{\"hooks\":true}\n");
    finish_tmpfs(root, &request.rootfs);
    pivot(root, &request.rootfs);
    become_and_exec(root, process, &request.kernel, outside, began, now_ns());
}

/* Enter the container in two steps. A process in the container with SYS_PTRACE could trace a process in its PID
 * namespace from the beginning, with every right that it still has. So this process, which is outside of that PID
 * namespace, leaves the host's other namespaces first. Then it makes a sibling in the container's PID namespace, which
 * has nothing of the host but the request's descriptors. The sibling's pid goes to the spawner through memory that is
 * not mapped in the sibling. */
static _Noreturn void execute(void) {
    int64_t began = now_ns();
    struct exec_request request;
    read_exec_request(&request);
    const struct process *process = &request.process;
    const struct process_extra *extra = process->extra;
    open_entrances(&request.entry);
    if (request.namespaces & CLONE_NEWUSER) raise_limits(process);
    if (extra) set_affinity(extra->cpus_initial, extra->cpus_initial_count);
    settle(&request.entry, process);
    /* with a pidfd, also changes root and working directory */
    if (setns(request.container, (int)request.namespaces | CLONE_NEWPID) < 0) {
        if (errno == ESRCH) fail(K_OTHER, 0, "the container is not running");
        fail(K_OTHER, errno, "error joining the container's namespaces");
    }
    close(request.container);
    if (madvise(sibling, sizeof *sibling, MADV_DONTFORK) < 0) fail(K_OTHER, errno, "error hiding the spawner's memory");
    long child = clone_sibling(CLONE_PARENT_SETTID, -1, sibling, NULL); /* in this one's cgroup */
    if (child < 0) fail(K_OTHER, errno, "error making a process in the container");
    if (child > 0) _exit(0);
    enter_cgroups();
    setsid();
    if (extra) set_affinity(extra->cpus_final, extra->cpus_final_count);
    if (extra) set_scheduling(extra);
    if (request.namespaces & CLONE_NEWUSER) become_root();
    int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0) fail(K_OTHER, errno, "error opening the container's root");
    take_streams(root, process, &request.streams, 0);
    become_and_exec(root, process, &request.kernel, NULL, began, 0);
}

/* Carry out one request; `answer`: the new process's pid or -errno, and the pid of an ended helper or 0. */
static void make_child(int channel, int own_pid_ns, long answer[2]) {
    struct head head;
    read_head(&head);
    report_fd = head.report;
    go_fd = head.go;
    start_fd = head.start;
    started_fd = head.started;
    int helper = -1;
    *sibling = 0;
    answer[1] = 0;
    if (head.pid_namespace >= 0 && setns(head.pid_namespace, CLONE_NEWPID) < 0) {
        answer[0] = -errno;
        return;
    }
    answer[0] = head.kind == EXEC ? clone_sibling(CLONE_PIDFD, head.cgroup, NULL, &helper)
                                  : clone_sibling(head.clone_flags, head.cgroup, NULL, NULL);
    if (answer[0] == 0) {
        close(channel); /* so that only the spawner has this end */
        close(own_pid_ns);
        if (head.cgroup >= 0) close(head.cgroup);
        if (head.kind == START) start();
        if (head.kind == EXEC) execute();
        fail(K_OTHER, 0, "an unknown request to the spawner");
    }
    if (answer[0] < 0) answer[0] = -errno;
    /* otherwise the next child would start in that namespace too */
    if (head.pid_namespace >= 0 && setns(own_pid_ns, CLONE_NEWPID) < 0) _exit(1);
    if (helper < 0) return;
    struct pollfd end = {.fd = helper, .events = POLLIN};
    while (poll(&end, 1, -1) < 0 && errno == EINTR) continue;
    close(helper);
    if (*sibling) { /* otherwise the helper failed, and has reported why */
        answer[1] = answer[0];
        answer[0] = *sibling;
    }
}

int main(int argc, char **argv) {
    int channel = argc == 3 ? atoi(argv[1]) : -1, type = 0, fd;
    socklen_t size = sizeof type;
    if (getsockopt(channel, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_SEQPACKET) return 125;
    fcntl(channel, F_SETFD, FD_CLOEXEC);
    while ((fd = open("/dev/null", O_RDWR)) >= 0 && fd < 3) continue; /* 0 to 2 stay occupied */
    if (fd < 0) return 125;
    close(fd);
    prctl(PR_SET_NAME, "cove-spawner");
    setsid(); /* signals of the starter's terminal do not reach this process */
    /* The children inherit this until execve: no process of a container may trace them. */
    prctl(PR_SET_DUMPABLE, 0);
    for (int n = 1; n <= 64; n++) { /* the system call, because libc refuses 32 and 33 */
        uint64_t action[4] = {0};
        syscall(SYS_rt_sigaction, n, action, NULL, 8);
    }
    uint64_t none = 0;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof none);
    int own_pid_ns = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
    sibling = mmap(NULL, sizeof *sibling, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (own_pid_ns < 0 || sibling == MAP_FAILED || chdir("/") < 0) return 125;
    uint32_t version = REQUEST_VERSION;
    if (send(channel, &version, sizeof version, MSG_NOSIGNAL) < 0 || strtoull(argv[2], NULL, 10) != version) return 125;
    for (;;) {
        union {
            char space[CMSG_SPACE(sizeof fds)];
            struct cmsghdr align;
        } control;
        struct iovec vector = {request, sizeof request};
        struct msghdr message = {.msg_iov = &vector,
                                 .msg_iovlen = 1,
                                 .msg_control = control.space,
                                 .msg_controllen = sizeof control.space};
        ssize_t length = recvmsg(channel, &message, MSG_CMSG_CLOEXEC);
        if (length < 0 && errno == EINTR) continue;
        if (length <= 0) return 0;
        int count = 0;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
            count = (int)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
            memcpy(fds, CMSG_DATA(header), (size_t)count * sizeof(int));
        }
        for (int i = count; i < MAX_FDS; i++) fds[i] = -1;
        long answer[2] = {message.msg_flags & MSG_CTRUNC ? -EMFILE : -EMSGSIZE, 0};
        if (!(message.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
            request_begin(request, (size_t)length);
            make_child(channel, own_pid_ns, answer);
            explicit_bzero(request, (size_t)length); /* the next child is another container's */
        }
        for (int i = 0; i < count; i++) close(fds[i]);
        if (send(channel, answer, sizeof answer, MSG_NOSIGNAL) < 0) return 0;
    }
}
