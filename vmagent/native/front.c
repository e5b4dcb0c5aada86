/* `cove` on Linux: hands a command to an interpreter that is loaded already, or starts one.
 *
 * The warm server (desktop/front/server.py) listens on an abstract socket whose name depends on all that a process inherits
 * and cannot be handed over: user, groups, namespaces, root, control group, limits. So a command never runs with another
 * environment than its caller's. The request carries every open descriptor, the working directory, masks of signals, umask,
 * arguments and environment. The reply is a pidfd of the process that runs the command, then its wait status.
 * Signals that this process gets go on to it; this process ends as it ended. The server ends it when we die.
 *
 * Whatever does not fit (no server, another user behind the name, a background process group, too many descriptors) starts
 * the interpreter in our place, as the console script does. Without a server, one is started beside it for the next time.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_FDS = 250, MAX_REQUEST = 4 << 20 }; /* SCM_MAX_FD is 253 */

static char **arguments;
static int target = -1; /* pidfd of the process that runs the command */
static char status_file[64];

static const char RUN[] = "import sys\nfrom desktop.cli.main import entry\nsys.argv[0] = 'cove'\nsys.exit(entry())";
static const char SERVE[] = "import sys\nfrom desktop.front.server import main\nsys.exit(main(sys.argv[1]))";

static char interpreter[PATH_MAX];

/* The interpreter beside this program. */
static int find_interpreter(void)
{
    ssize_t size = readlink("/proc/self/exe", interpreter, sizeof interpreter - 8);
    if (size <= 0)
        return -1;
    interpreter[size] = 0;
    char *slash = strrchr(interpreter, '/');
    if (!slash || (size_t)(slash - interpreter) + sizeof "/python" > sizeof interpreter)
        return -1;
    strcpy(slash, "/python");
    return 0;
}

static _Noreturn void start_plainly(void)
{
    int count = 0;
    while (arguments[count])
        count++;
    char **argv = calloc((size_t)count + 6, sizeof *argv);
    if (argv) {
        char *head[] = {interpreter, "-P", "-c", (char *)RUN};
        memcpy(argv, head, sizeof head);
        for (int i = 1; i < count; i++)
            argv[3 + i] = arguments[i];
        execv(interpreter, argv);
    }
    fprintf(stderr, "cove: %s: %s\n", interpreter, strerror(errno));
    _exit(126);
}

/* --- the server's name */

static uint64_t hash = 14695981039346656037u; /* FNV-1a */

static void mix(const void *data, size_t size)
{
    const unsigned char *bytes = data;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ bytes[i]) * 1099511628211u;
}

static int mix_file_id(const char *path)
{
    struct stat found;
    if (stat(path, &found))
        return -1;
    mix(&found.st_dev, sizeof found.st_dev);
    mix(&found.st_ino, sizeof found.st_ino);
    return 0;
}

static int name_server(struct sockaddr_un *address, socklen_t *size)
{
    static const char *const spaces[] = {"cgroup", "ipc", "mnt", "net", "pid", "user", "uts"};
    char path[64];
    for (size_t i = 0; i < sizeof spaces / sizeof *spaces; i++) {
        snprintf(path, sizeof path, "/proc/self/ns/%s", spaces[i]);
        if (mix_file_id(path))
            return -1;
    }
    if (mix_file_id("/") || mix_file_id(interpreter))
        return -1;
    mix(interpreter, strlen(interpreter));
    uid_t users[3];
    gid_t groups[3], more[256];
    if (getresuid(users, users + 1, users + 2) || getresgid(groups, groups + 1, groups + 2))
        return -1;
    mix(users, sizeof users);
    mix(groups, sizeof groups);
    int count = getgroups(256, more);
    if (count < 0)
        return -1;
    mix(more, (size_t)count * sizeof *more);
    for (int i = 0; i < 16; i++) {
        struct rlimit limit;
        if (getrlimit(i, &limit))
            return -1;
        mix(&limit.rlim_cur, sizeof limit.rlim_cur);
        mix(&limit.rlim_max, sizeof limit.rlim_max);
    }
    int nice = getpriority(PRIO_PROCESS, 0);
    mix(&nice, sizeof nice);
    char group[4096];
    int fd = open("/proc/self/cgroup", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, group, sizeof group);
    if (fd >= 0)
        close(fd);
    if (got < 0)
        return -1;
    mix(group, (size_t)got);
    address->sun_family = AF_UNIX;
    memset(address->sun_path, 0, sizeof address->sun_path);
    int length = snprintf(address->sun_path + 1, sizeof address->sun_path - 1, "cove-warm-%016llx",
                          (unsigned long long)hash);
    *size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
    return 0;
}

/* Another user could listen at the name, since abstract names have no permissions. */
static int is_ours(int sock)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    return getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == geteuid();
}

/* Start a server that survives us, with nothing of ours open. */
static void start_server(const char *name)
{
    pid_t child = fork();
    if (child < 0)
        return;
    if (child) {
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
            ;
        return;
    }
    if (setsid() < 0 || fork() != 0)
        _exit(0);
    int null = open("/dev/null", O_RDWR);
    if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0)
        _exit(1);
    syscall(SYS_close_range, 3, ~0u, 0);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (int number = 1; number < 32; number++)
        signal(number, SIG_DFL);
    umask(022);
    if (chdir("/"))
        _exit(1);
    char *argv[] = {interpreter, "-P", "-c", (char *)SERVE, (char *)name, NULL};
    execv(interpreter, argv);
    _exit(1);
}

/* --- the request */

static char *request;
static size_t used;

static int put(const void *data, size_t size)
{
    if (used + size > MAX_REQUEST)
        return -1;
    memcpy(request + used, data, size);
    used += size;
    return 0;
}

static int put_text(const char *text) { return put(text, strlen(text) + 1); }

static int put_number(unsigned long long value)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", value);
    return put_text(text);
}

/* Every descriptor of ours that the command would inherit. */
static int open_descriptors(int *found)
{
    DIR *folder = opendir("/proc/self/fd");
    if (!folder)
        return -1;
    int count = 0;
    struct dirent *entry;
    while ((entry = readdir(folder))) {
        int fd = atoi(entry->d_name);
        if (entry->d_name[0] == '.' || fd == dirfd(folder))
            continue;
        int flags = fcntl(fd, F_GETFD);
        if (flags < 0 || flags & FD_CLOEXEC)
            continue;
        if (count == MAX_FDS) {
            count = -1;
            break;
        }
        found[count++] = fd;
    }
    closedir(folder);
    return count;
}

static uint64_t ignored_signals(void)
{
    uint64_t mask = 0;
    for (int number = 1; number < 65; number++) {
        struct sigaction known;
        if (sigaction(number, NULL, &known) == 0 && known.sa_handler == SIG_IGN)
            mask |= 1ull << (number - 1);
    }
    return mask;
}

/* The descriptors go with the first bytes; `fds` ends with the working directory. */
static int send_request(int sock, const int *fds, int count)
{
    uint32_t length = (uint32_t)used;
    char control[CMSG_SPACE(sizeof(int) * (MAX_FDS + 1))] = {0};
    struct iovec part = {&length, sizeof length};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control};
    message.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)count);
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)count);
    memcpy(CMSG_DATA(head), fds, sizeof(int) * (size_t)count);
    if (sendmsg(sock, &message, MSG_NOSIGNAL) != sizeof length)
        return -1;
    for (size_t sent = 0; sent < used;) {
        ssize_t got = send(sock, request + sent, used - sent, MSG_NOSIGNAL);
        if (got < 0)
            return -1;
        sent += (size_t)got;
    }
    return 0;
}

static int ask(int sock)
{
    extern char **environ;
    int fds[MAX_FDS + 1], count = open_descriptors(fds);
    if (count < 0 || !(request = malloc(MAX_REQUEST)))
        return -1;
    int here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (here < 0)
        return -1;
    mode_t mask = umask(0);
    umask(mask);
    sigset_t blocked;
    sigprocmask(SIG_BLOCK, NULL, &blocked);
    uint64_t blocked_mask = 0;
    for (int number = 1; number < 65; number++)
        if (sigismember(&blocked, number) == 1)
            blocked_mask |= 1ull << (number - 1);
    int failed = put_number((unsigned)count);
    for (int i = 0; i < count; i++)
        failed |= put_number((unsigned)fds[i]);
    failed |= put_number(mask) | put_number(ignored_signals()) | put_number(blocked_mask);
    unsigned words = 0;
    while (arguments[words])
        words++;
    failed |= put_number(words);
    for (unsigned i = 0; i < words; i++)
        failed |= put_text(arguments[i]);
    for (char **variable = environ; *variable; variable++)
        failed |= put_text(*variable);
    fds[count] = here;
    if (!failed)
        failed = send_request(sock, fds, count + 1);
    free(request);
    close(here);
    return failed ? -1 : 0;
}

/* --- the reply */

/* Whether the command handles SIGTSTP (`run` hands it on to the container). Async-signal-safe. */
static int handles_stop(void)
{
    char text[4096];
    int fd = open(status_file, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    if (size <= 0)
        return 0;
    text[size] = 0;
    const char *caught = strstr(text, "SigCgt:");
    return caught && strtoull(caught + 7, NULL, 16) >> (SIGTSTP - 1) & 1;
}

static void pass_on(int number)
{
    int saved = errno;
    /* The command is no member of the terminal's session, where the kernel would stop it. */
    int stops = number == SIGTSTP && !handles_stop();
    syscall(SYS_pidfd_send_signal, target, stops ? SIGSTOP : number, NULL, 0);
    if (stops)
        raise(SIGSTOP);
    errno = saved;
}

/* Know the name of the command's file in /proc. */
static void find_status_file(void)
{
    char name[64], text[1024];
    snprintf(name, sizeof name, "/proc/self/fdinfo/%d", target);
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    text[size > 0 ? size : 0] = 0;
    const char *pid = strstr(text, "Pid:");
    snprintf(status_file, sizeof status_file, "/proc/%ld/status", pid ? strtol(pid + 4, NULL, 10) : 0);
}

/* The pidfd of the process that the server has made; -1: the command is to be started plainly. */
static int receive_process(int sock)
{
    char kind = 0, control[CMSG_SPACE(sizeof(int))];
    struct iovec part = {&kind, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t got;
    while ((got = recvmsg(sock, &message, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR)
        ;
    struct cmsghdr *head = got == 1 && kind == 'S' ? CMSG_FIRSTHDR(&message) : NULL;
    if (!head || head->cmsg_type != SCM_RIGHTS)
        return -1;
    int fd;
    memcpy(&fd, CMSG_DATA(head), sizeof fd);
    return fd;
}

/* End as the command has ended. */
static int follow(int sock)
{
    find_status_file();
    static const int passed[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGTSTP, SIGCONT, SIGWINCH};
    for (size_t i = 0; i < sizeof passed / sizeof *passed; i++) {
        struct sigaction known;
        if (sigaction(passed[i], NULL, &known) || known.sa_handler == SIG_IGN)
            continue;
        struct sigaction action = {.sa_handler = pass_on, .sa_flags = SA_RESTART};
        sigaction(passed[i], &action, NULL);
    }
    uint32_t status;
    size_t have = 0;
    while (have < sizeof status) {
        ssize_t got = recv(sock, (char *)&status + have, sizeof status - have, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            fprintf(stderr, "cove: the process that ran the command is gone\n");
            return 1;
        }
        have += (size_t)got;
    }
    if (!WIFSIGNALED((int)status))
        return WEXITSTATUS((int)status);
    int number = WTERMSIG((int)status);
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    signal(number, SIG_DFL);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    raise(number);
    return 128 + number;
}

/* In the background, a process must be stopped when it uses the terminal, and the server's processes never are. */
static int is_in_background(void)
{
    for (int fd = 0; fd < 3; fd++) {
        pid_t front = tcgetpgrp(fd);
        if (front > 0 && front != getpgrp())
            return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    (void)argc;
    arguments = argv;
    if (find_interpreter()) {
        fprintf(stderr, "cove: no interpreter beside this program\n");
        return 126;
    }
    const char *wanted = getenv("COVE_WARM");
    struct sockaddr_un address;
    socklen_t size = 0;
    if ((wanted && !strcmp(wanted, "0")) || is_in_background() || name_server(&address, &size))
        start_plainly();
    int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (sock < 0)
        start_plainly();
    /* Not one of 0, 1, 2, where one of them is closed. */
    int above = fcntl(sock, F_DUPFD_CLOEXEC, 3);
    close(sock);
    if ((sock = above) < 0)
        start_plainly();
    if (connect(sock, (struct sockaddr *)&address, size)) {
        if (errno == ECONNREFUSED)
            start_server(address.sun_path + 1);
        close(sock);
        start_plainly();
    }
    struct timeval limit = {2, 0};
    setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (!is_ours(sock) || ask(sock) || (target = receive_process(sock)) < 0) {
        close(sock);
        start_plainly();
    }
    struct timeval forever = {0, 0};
    setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &forever, sizeof forever);
    return follow(sock);
}
