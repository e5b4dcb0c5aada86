/* The last steps before execve: streams, limits, identity, capabilities, seccomp, the command.
 * Same steps as in vmagent/runtime/process.py. No path of the container is trusted here. */
#define _GNU_SOURCE
#include "spawner.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { NR_close_range = 436, NR_faccessat2 = 439 };
enum { MAX_FILTER = 4096 };
#define CAP_SYS_ADMIN_BIT (UINT64_C(1) << 21)

/* A terminal of the container's own devpts; its master is sent to the supervisor. */
static int open_terminal(int root, int console, unsigned short rows, unsigned short columns) {
    const char *doing = "error opening a terminal in the container's /dev/pts";
    int master = open_in_root(root, "/dev/pts/ptmx", O_RDWR | O_NOCTTY), unlocked = 0;
    if (master < 0) fail(K_OTHER, errno, "%s", doing);
    if (filesystem_type(master) != DEVPTS_SUPER)
        fail(K_OTHER, 0, "/dev/pts in the container is not a devpts file system");
    int slave = ioctl(master, TIOCSPTLCK, &unlocked) < 0 ? -1 : ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    struct winsize size = {.ws_row = rows, .ws_col = columns};
    if (slave < 0 || ((rows || columns) && ioctl(master, TIOCSWINSZ, &size) < 0)) fail(K_OTHER, errno, "%s", doing);
    char byte = 'c';
    struct iovec vector = {&byte, 1};
    union {
        char space[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {{0}};
    struct msghdr message = {
        .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &master, sizeof master);
    if (sendmsg(console, &message, MSG_NOSIGNAL) < 0) fail(K_OTHER, errno, "error sending the terminal's master");
    close(master);
    return slave;
}

/* /dev/console is the terminal itself, bound from its descriptor (CVE-2025-52565: by path it could be another). */
static void bind_console(int root, int slave) {
    int target = ensure(root, "/dev/console", 0);
    int copy = target < 0 ? -1 : sys_open_tree(slave, "", OPEN_TREE_CLONE);
    if (copy < 0 || sys_move_mount(copy, target) < 0)
        fail(K_OTHER, errno, "error binding the terminal to /dev/console");
    close(copy);
    close(target);
}

void take_streams(int root, const struct process *process, const struct streams *streams, int binds_console) {
    int given[] = {streams->stdin_, streams->stdout_, streams->stderr_}, null_fd = -1;
    if (process->terminal) {
        int slave = open_terminal(root, streams->console, process->rows, process->columns);
        if (binds_console) bind_console(root, slave);
        if (ioctl(slave, TIOCSCTTY, 0) < 0) fail(K_OTHER, errno, "error taking the terminal");
        given[0] = given[1] = given[2] = slave;
    }
    for (int i = 0; i < 3; i++) {
        int fd = given[i];
        if (fd < 0 || is_null(fd)) fd = null_fd >= 0 ? null_fd : (null_fd = open_own_null(root));
        if (dup2(fd, i) < 0) fail(K_OTHER, errno, "error taking the standard streams");
    }
}

static void set_limits(const struct process *process) {
    for (size_t i = 0; i < process->rlimits_count; i++) {
        const struct rlimit *limit = &process->rlimits[i];
        uint64_t pair[2] = {limit->soft, limit->hard}; /* struct rlimit64 */
        if (syscall(SYS_prlimit64, 0, limit->number, pair, NULL) < 0)
            fail(K_OTHER, errno, "error setting rlimit type %d", (int)limit->number);
    }
}

/* Close everything but the streams and the pipes, so that no /proc/self/fd of this process leads to the host. */
static void close_others(void) {
    int kept[] = {report_fd, go_fd, start_fd, started_fd};
    unsigned first = 3;
    for (;;) {
        unsigned next = ~0u;
        for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
            if (kept[i] >= (int)first && (unsigned)kept[i] < next) next = (unsigned)kept[i];
        if (next > first && syscall(NR_close_range, first, next == ~0u ? next : next - 1, 0) < 0)
            fail(K_OTHER, errno, "error closing descriptors");
        if (next == ~0u) return;
        first = next + 1;
    }
}

/* Make the user the owner of the stream pipes, so that the command can open /dev/stdout. Not of the null device. */
static void give_streams_to(uid_t uid) {
    for (int fd = 0; fd < 3; fd++) {
        struct stat info;
        if (fstat(fd, &info) < 0) fail(K_OTHER, errno, "error looking at the standard streams");
        int may = S_ISFIFO(info.st_mode) || S_ISCHR(info.st_mode) || S_ISSOCK(info.st_mode);
        if (info.st_uid == uid || !may || is_null(fd)) continue;
        if (fchown(fd, uid, (gid_t)-1) < 0 && errno != EINVAL && errno != EPERM && errno != EROFS)
            fail(K_OTHER, errno, "error giving the standard streams to the user");
    }
}

static int capset3(uint64_t effective, uint64_t permitted, uint64_t inheritable) {
    struct {
        uint32_t version;
        int pid;
    } header = {0x20080522, 0};
    uint32_t data[6] = {(uint32_t)effective,         (uint32_t)permitted,         (uint32_t)inheritable,
                        (uint32_t)(effective >> 32), (uint32_t)(permitted >> 32), (uint32_t)(inheritable >> 32)};
    return (int)syscall(SYS_capset, &header, data);
}

struct sets {
    uint64_t bounding, effective, permitted, inheritable, ambient, own, last;
    int are_given;
};

/* Leave out what this kernel or this process does not have. */
static struct sets choose_sets(const struct capabilities *given, const struct kernel_facts *kernel, uid_t uid) {
    struct sets s = {.own = kernel->permitted, .last = kernel->last_capability, .are_given = given != NULL};
    if (given == NULL) {
        s.effective = s.permitted = uid == 0 ? s.own : 0;
        return s;
    }
    s.bounding = given->bounding;
    s.permitted = given->permitted & s.own;
    s.inheritable = given->inheritable & s.own;
    s.effective = given->effective & s.permitted;
    s.ambient = given->ambient & s.permitted & s.inheritable;
    return s;
}

static void change_user(const struct identity *who, const struct sets *s, mode_t mask) {
    int bad = 0;
    for (uint64_t n = 0; s->are_given && !bad && n <= s->last; n++)
        if (!(s->bounding >> n & 1)) bad = prctl(PR_CAPBSET_DROP, n, 0, 0, 0) < 0;
    bad = bad || prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 || syscall(SYS_setgroups, who->count, who->groups) < 0 ||
          syscall(SYS_setresgid, who->gid, who->gid, who->gid) < 0 ||
          syscall(SYS_setresuid, who->uid, who->uid, who->uid) < 0 || prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0;
    umask(mask);
    /* SYS_ADMIN stays until the filter is loaded: without no_new_privs the kernel asks for it. */
    if (bad || capset3(s->effective | CAP_SYS_ADMIN_BIT, s->own, s->inheritable) < 0)
        fail(K_OTHER, errno, "error changing to user %u:%u", who->uid, who->gid);
}

/* Enter the working directory, and make sure that it lies inside (CVE-2024-21626). The first call comes before the user
 * changes: the command need not have the right to enter it. On a file system where root has less rights than the user
 * (NFS) the first call may be refused: then it returns 0, and the second call tries again as the user. */
static int change_folder(const char *cwd, int may_fail) {
    static char place[PATH_MAX];
    int result = chdir(cwd);
    if (result < 0 && may_fail && (errno == EACCES || errno == EPERM)) return 0;
    if (result < 0) fail(K_PERMISSION, errno, "chdir to cwd (\"%s\") set in config.json failed", cwd);
    if (syscall(SYS_getcwd, place, sizeof place) < 0 || place[0] != '/')
        fail(K_OTHER, 0, "the working directory is outside of the container's file system");
    return 1;
}

enum { FINE, NO_STAT, NO_RIGHT };

static int check_command(const char *path) {
    struct stat info;
    if (stat(path, &info) < 0) return NO_STAT;
    if (S_ISDIR(info.st_mode) || syscall(NR_faccessat2, AT_FDCWD, path, X_OK, AT_EACCESS) < 0) return NO_RIGHT;
    return FINE;
}

static const char *find_command(const char *name, const char *path) {
    static char candidate[2 * PATH_MAX];
    if (strchr(name, '/')) {
        int problem = check_command(name);
        if (problem == FINE) return name;
        if (problem == NO_RIGHT) fail(K_PERMISSION, 0, "exec: \"%s\": permission denied", name);
        fail(errno == EACCES ? K_PERMISSION : K_NOT_FOUND, errno, "exec: \"%s\": stat %s", name, name);
    }
    int is_name = *name && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
    for (; is_name; path++) {
        int length = (int)until(path, ':');
        int used = snprintf(candidate, sizeof candidate, "%.*s/%s", length ? length : 1, length ? path : ".", name);
        if (used < (int)sizeof candidate && check_command(candidate) == FINE) return candidate;
        path += length;
        if (!*path) break;
    }
    fail(K_NOT_FOUND, 0, "exec: \"%s\": executable file not found in $PATH", name);
}

static int read_byte(int fd) {
    unsigned char byte;
    ssize_t done;
    do
        done = read(fd, &byte, 1);
    while (done < 0 && errno == EINTR);
    return done == 1 ? byte : -1;
}

/* Report something that the supervisor has to do first, and wait for its reply of one line. */
void ask(const char *line) {
    int byte;
    say(line);
    do
        if ((byte = read_byte(go_fd)) < 0) fail(K_ABANDONED, 0, "abandoned");
    while (byte != '\n');
}

static void wait_for_go(void) {
    if (read_byte(go_fd) != 'g') fail(K_ABANDONED, 0, "abandoned");
    if (start_fd < 0) return;
    read_byte(start_fd);
    if (started_fd >= 0) report_fd = started_fd;
}

static void load_filter(const struct filter *filter) {
    static uint64_t instructions[MAX_FILTER]; /* aligned, unlike the bytes of the request */
    size_t length = filter->instructions_size;
    if (length > sizeof instructions) fail(K_OTHER, 0, "the seccomp filter is too long");
    memcpy(instructions, filter->instructions, length);
    struct {
        unsigned short count;
        void *filter;
    } program = {(unsigned short)(length / 8), instructions};
    if (syscall(SYS_seccomp, 1, filter->flags, &program) < 0) fail(K_OTHER, errno, "error applying capabilities and seccomp");
}

static void confine(const struct sets *s, const struct filter *filter, int no_new_privileges) {
    int bad = no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0;
    if (!bad && !no_new_privileges && filter) load_filter(filter);
    bad = bad || capset3(s->effective, s->permitted, s->inheritable) < 0;
    if (!bad && s->are_given) {
        bad = prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0;
        for (uint64_t n = 0; !bad && n <= s->last; n++)
            if (s->ambient >> n & 1) bad = prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, n, 0, 0) < 0;
    }
    if (bad) fail(K_OTHER, errno, "error applying capabilities and seccomp");
    if (no_new_privileges && filter) load_filter(filter);
}

/* The strings, room for two more, and a terminating NULL. */
static const char **vector_of(const char **strings, size_t count) {
    const char **vector = allocate(count + 3, sizeof *vector);
    memcpy(vector, strings, count * sizeof *vector);
    return vector;
}

static const char **environment_of(const struct process *process, const struct identity *who, const char *outside) {
    size_t count = process->environment_count;
    const char **environment = vector_of(process->environment, process->environment_count);
    if (!process->has_home) {
        char *home = allocate(strlen(who->home) + 6, 1);
        sprintf(home, "HOME=%s", who->home);
        environment[count++] = home;
    }
    if (outside) environment[count] = outside;
    return environment;
}

void become_and_exec(int root, const struct process *process, const struct kernel_facts *kernel, const char *outside,
                     int64_t began, int64_t mounted) {
    char line[128];
    if (process->args_count == 0) fail(K_OTHER, 0, "the request to the spawner has no command");
    const struct identity *who = look_up(root, process);
    const struct sets sets = choose_sets(process->capabilities, kernel, who->uid);
    const char **arguments = vector_of(process->args, process->args_count);
    const char **environment = environment_of(process, who, outside);
    set_limits(process);
    close_others();
    give_streams_to(who->uid);
    int is_there = change_folder(process->cwd, 1);
    change_user(who, &sets, (mode_t)process->umask);
    if (!is_there) change_folder(process->cwd, 0);
    const char *path = find_command(arguments[0], process->path);
    int64_t now = now_ns();
    if (mounted == 0) mounted = began;
    snprintf(line, sizeof line, "{\"mount_ms\":%.3f,\"setup_ms\":%.3f}\n", (double)(mounted - began) / 1e6,
             (double)(now - began) / 1e6);
    say(line);
    wait_for_go();
    confine(&sets, process->seccomp, process->no_new_privileges);
    execve(path, (char *const *)arguments, (char *const *)environment);
    const char *kind = errno == EACCES || errno == ENOEXEC || errno == EPERM ? K_PERMISSION : K_OTHER;
    fail(errno == ENOENT ? K_NOT_FOUND : kind, errno, "exec %s", path);
}
