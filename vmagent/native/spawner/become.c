/* The last steps before execve: streams, limits, identity, capabilities, seccomp, the command; as
 * vmagent/runtime/process.py has them. No path of the container is trusted here. */
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
static int open_terminal(int root, int console, uint64_t rows, uint64_t columns) {
    const char *doing = "error opening a terminal in the container's /dev/pts";
    int master = open_in_root(root, "/dev/pts/ptmx", O_RDWR | O_NOCTTY), unlocked = 0;
    if (master < 0) fail(K_OTHER, errno, "%s", doing);
    if (filesystem_type(master) != DEVPTS_SUPER)
        fail(K_OTHER, 0, "/dev/pts in the container is not a devpts file system");
    int slave = ioctl(master, TIOCSPTLCK, &unlocked) < 0 ? -1 : ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns};
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

void take_streams(int root, int binds_console) {
    int null_fd = -1;
    if (number()) {
        int console = descriptor();
        uint64_t rows = number(), columns = number();
        int slave = open_terminal(root, console, rows, columns);
        if (binds_console) bind_console(root, slave);
        if (ioctl(slave, TIOCSCTTY, 0) < 0) fail(K_OTHER, errno, "error taking the terminal");
        for (int i = 0; i < 3; i++)
            if (dup2(slave, i) < 0) fail(K_OTHER, errno, "error taking the standard streams");
        return;
    }
    for (int i = 0; i < 3; i++) {
        int fd = descriptor();
        if (fd < 0 || is_null(fd)) fd = null_fd >= 0 ? null_fd : (null_fd = open_own_null(root));
        if (dup2(fd, i) < 0) fail(K_OTHER, errno, "error taking the standard streams");
    }
}

static void set_limits(void) {
    for (uint64_t count = number(); count; count--) {
        uint64_t which = number(), pair[2] = {number(), 0}; /* struct rlimit64: soft, hard */
        pair[1] = number();
        if (syscall(SYS_prlimit64, 0, which, pair, NULL) < 0)
            fail(K_OTHER, errno, "error setting rlimit type %d", (int)which);
    }
}

/* Nothing but the streams and the pipes outlives this: no /proc/self/fd of ours leads to the host. */
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

/* The command may open /dev/stdout: the pipes are to be its user's. Not so the null device: it is everyone's. */
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
    uint64_t wanted, bounding, effective, permitted, inheritable, ambient, own, last;
};

/* What this kernel or this process does not have is left out. */
static void read_sets(struct sets *s, uid_t uid) {
    s->own = number();
    s->last = number();
    s->wanted = number();
    s->bounding = number();
    s->effective = number();
    s->permitted = number();
    s->inheritable = number();
    s->ambient = number();
    if (s->wanted) {
        s->permitted &= s->own;
        s->inheritable &= s->own;
        s->effective &= s->permitted;
    } else {
        s->effective = s->permitted = uid == 0 ? s->own : 0;
        s->inheritable = 0;
    }
}

static void change_user(const struct identity *who, const struct sets *s, mode_t mask) {
    int bad = 0;
    for (uint64_t n = 0; s->wanted && !bad && n <= s->last; n++)
        if (!(s->bounding >> n & 1)) bad = prctl(PR_CAPBSET_DROP, n, 0, 0, 0) < 0;
    bad = bad || prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 || syscall(SYS_setgroups, who->count, who->groups) < 0 ||
          syscall(SYS_setresgid, who->gid, who->gid, who->gid) < 0 ||
          syscall(SYS_setresuid, who->uid, who->uid, who->uid) < 0 || prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0;
    umask(mask);
    /* SYS_ADMIN stays until the filter is loaded: without no_new_privs the kernel asks for it. */
    if (bad || capset3(s->effective | CAP_SYS_ADMIN_BIT, s->own, s->inheritable) < 0)
        fail(K_OTHER, errno, "error changing to user %u:%u", who->uid, who->gid);
}

/* Make sure that the working folder lies inside (CVE-2024-21626). */
static void change_folder(const char *cwd) {
    static char place[PATH_MAX];
    if (chdir(cwd) < 0) fail(K_PERMISSION, errno, "chdir to cwd (\"%s\") set in config.json failed", cwd);
    if (syscall(SYS_getcwd, place, sizeof place) < 0 || place[0] != '/')
        fail(K_OTHER, 0, "the working directory is outside of the container's file system");
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

/* Say something that the supervisor has to do first; it answers with one line. */
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

static void load_filter(const char *filter, size_t length, uint64_t flags) {
    static uint64_t instructions[MAX_FILTER];
    if (length > sizeof instructions) fail(K_OTHER, 0, "the seccomp filter is too long");
    memcpy(instructions, filter, length);
    struct {
        unsigned short count;
        void *filter;
    } program = {(unsigned short)(length / 8), instructions};
    if (syscall(SYS_seccomp, 1, flags, &program) < 0) fail(K_OTHER, errno, "error applying capabilities and seccomp");
}

static void confine(const struct sets *s, uint64_t no_new_privileges) {
    uint64_t flags = number();
    size_t length;
    const char *filter = bytes(&length);
    int bad = no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0;
    if (!bad && !no_new_privileges && length) load_filter(filter, length, flags);
    bad = bad || capset3(s->effective, s->permitted, s->inheritable) < 0;
    if (!bad && s->wanted) {
        bad = prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0;
        uint64_t ambient = s->ambient & s->permitted & s->inheritable;
        for (uint64_t n = 0; !bad && n <= s->last; n++)
            if (ambient >> n & 1) bad = prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, n, 0, 0) < 0;
    }
    if (bad) fail(K_OTHER, errno, "error applying capabilities and seccomp");
    if (no_new_privileges && length) load_filter(filter, length, flags);
}

/* A vector of strings with room for one more and the NULL. */
static const char **read_vector(uint64_t *count) {
    *count = number();
    const char **vector = *count < MAX_REQUEST ? malloc((*count + 2) * sizeof *vector) : NULL;
    if (vector == NULL) fail(K_OTHER, ENOMEM, "error reading the command");
    for (uint64_t i = 0; i < *count; i++) vector[i] = string();
    vector[*count] = vector[*count + 1] = NULL;
    return vector;
}

void become_and_exec(const struct identity *who, int64_t began, int64_t mounted) {
    char line[128];
    struct sets sets;
    uint64_t args_count, env_count;
    set_limits();
    close_others();
    give_streams_to(who->uid);
    read_sets(&sets, who->uid);
    change_user(who, &sets, (mode_t)number());
    change_folder(string());
    const char **arguments = read_vector(&args_count), **environment = read_vector(&env_count);
    if (args_count == 0) fail(K_OTHER, 0, "the request to the spawner has no command");
    if (number()) {
        char *home = malloc(strlen(who->home) + 6);
        if (home == NULL) fail(K_OTHER, ENOMEM, "error reading the command");
        sprintf(home, "HOME=%s", who->home);
        environment[env_count] = home;
    }
    const char *path = find_command(arguments[0], string());
    uint64_t no_new_privileges = number();
    int64_t now = now_ns();
    if (mounted == 0) mounted = began;
    snprintf(line, sizeof line, "{\"mount_ms\":%.3f,\"setup_ms\":%.3f}\n", (double)(mounted - began) / 1e6,
             (double)(now - began) / 1e6);
    say(line);
    wait_for_go();
    confine(&sets, no_new_privileges);
    execve(path, (char *const *)arguments, (char *const *)environment);
    const char *kind = errno == EACCES || errno == ENOEXEC || errno == EPERM ? K_PERMISSION : K_OTHER;
    fail(errno == ENOENT ? K_NOT_FOUND : kind, errno, "exec %s", path);
}
